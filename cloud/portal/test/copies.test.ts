import { describe, expect, test } from "vitest";

import type { Clip } from "../src/api/types";
import { copiesOf, copyAfter, copyAt, copyBefore } from "../src/video/copies";

const clip = (id: string, from: number, to: number, more: Partial<Clip> = {}): Clip =>
  ({ id, camera: "door", stream: "main", playable: true, start_us: from, end_us: to, cut_start_us: from, cut_end_us: to, gaps: [], ...more }) as unknown as Clip;

const clips = [
  clip("late", 500, 600), clip("small", 100, 300, { stream: "sub" }), clip("full", 150, 200),
  clip("torn", 320, 400, { gaps: [{ start_us: 340, end_us: 360, reason: "stalled" }] }), clip("other", 0, 900, { camera: "yard" }), clip("cut", 0, 900, { playable: false }),
  clip("less", 650, 800, { cut_start_us: 700 }),
];
const copies = copiesOf(clips, "door");
const at = (us: number) => copyAt(copies, us)?.clip.id;

describe("what the cloud keeps of a camera", () => {
  test("is what its playable clips hold, without their gaps and without what was not cut", () => {
    expect(copies.map(({ startUs, endUs, zeroUs, clip: { id } }) => [id, startUs, endUs, zeroUs])).toEqual([
      ["small", 100, 300, 100], ["full", 150, 200, 150], ["torn", 320, 340, 320], ["torn", 360, 400, 320], ["late", 500, 600, 500], ["less", 700, 800, 700],
    ]);
  });

  test("of a moment the full picture is shown, else the small one, and in a gap none", () => {
    expect([99, 100, 150, 199, 200, 299, 300, 330, 340, 360, 699, 700].map(at)).toEqual([
      undefined, "small", "full", "full", "small", "small", undefined, "torn", undefined, "torn", undefined, "less",
    ]);
  });

  test("the next one and the last one around a moment that there is none of", () => {
    expect(copyAfter(copies, 350)?.startUs).toBe(360);
    expect(copyAfter(copies, 800)).toBeUndefined();
    expect(copyBefore(copies, 350)?.endUs).toBe(340);
    expect(copyBefore(copies, 300)?.clip.id).toBe("small");
    expect(copyBefore(copies, 99)).toBeUndefined();
  });
});
