import { expect, test } from "vitest";

import { figuresOf, spanOf, standsFor } from "../src/video/figures";
import { blank } from "../src/video/snapshot";

const stats = { codec: "H264", width: 640, height: 360, fps: 14.6, kbps: 182, lost: 0, rttMs: undefined, path: "host", framesDecoded: 1 };

test("a picture that moves says nothing of its age", () => {
  expect(standsFor(undefined)).toBe("");
  expect(standsFor(1999)).toBe("");
});

test("a picture that stands says how old it is, roughly once that is long", () => {
  expect(standsFor(2000)).toBe("Picture 2.0 s old");
  expect(standsFor(9949)).toBe("Picture 9.9 s old");
  expect(standsFor(9951)).toBe("Picture 10 s old");
  expect(spanOf(119_000)).toBe("119 s");
  expect(spanOf(179_000)).toBe("3 min");
});

test("figures that are not known are left out, and pictures are not counted where hardly any come", () => {
  expect(Object.values(figuresOf(blank)).every((figure) => figure === undefined)).toBe(true);
  const known = figuresOf({ ...blank, stats, delayMs: 37.4, insideMs: 83.2, codec: "avc1.4d401f" });
  expect(known).toMatchObject({ codec: "H.264", size: "640 × 360, 15 fps", age: "37 ms", inside: "83 ms", delay: undefined });
  expect(figuresOf({ ...blank, stats: { ...stats, fps: 0.1, kbps: 0 } })).toMatchObject({ size: "640 × 360", rate: undefined });
});
