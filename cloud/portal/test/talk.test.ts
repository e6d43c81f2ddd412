import { describe, expect, test } from "vitest";

import { ApiError } from "../src/api/errors";
import { touched } from "../src/api/touched";
import { text } from "../src/text";
import { levelOf } from "../src/video/meter";
import { reason } from "../src/video/microphone";

describe("why nobody can speak", () => {
  test("what the browser says has words that say what to do", () => {
    expect(reason(new DOMException("no", "NotAllowedError"))).toBe(text.talk.denied);
    expect(reason(new DOMException("no", "NotFoundError"))).toBe(text.talk.none);
    expect(reason(new DOMException("no", "NotReadableError"))).toBe(text.talk.busy);
  });

  test("what the site says is said as it is", () => {
    expect(reason(new ApiError(409, "Anna is speaking."))).toBe("Anna is speaking.");
    expect(reason(undefined)).toBe(text.errors.unexpected);
  });

  test("a change of who speaks makes that old alone", () => {
    expect(touched({ kind: "talk", site: "s", camera: "c" })).toEqual([["talk", "c"]]);
  });
});

describe("how loud it is", () => {
  const tone = (loud: number) => Float32Array.from({ length: 1024 }, (_, i) => loud * Math.sin(i / 5));

  test("from silence to as loud as can be", () => {
    expect(levelOf(new Float32Array(1024))).toBe(0);
    expect(levelOf(tone(0.001))).toBe(0);
    expect(levelOf(tone(0.1))).toBeGreaterThan(0.4);
    expect(levelOf(tone(1))).toBeGreaterThan(levelOf(tone(0.1)));
    expect(levelOf(tone(5))).toBe(1);
  });
});
