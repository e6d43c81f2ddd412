import { describe, expect, test } from "vitest";

import type { Clip } from "../src/api/types";
import { HOUR, MINUTE } from "../src/lib/time";
import { copiesOf, copyAfter, copyAt, copyBefore, nearest } from "../src/video/copies";

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

describe("the clips that are nearest to a moment that there is none of", () => {
  /** Answers as the cloud does: newest first, so many at a time. */
  const cloud = (clips: readonly Clip[], limit = 100) => {
    const asked: [number, number][] = [];
    const ask = async (from: number, to: number) => {
      asked.push([from, to]);
      const found = clips.filter((each) => each.end_us > from && each.start_us < to).sort((a, b) => b.start_us - a.start_us);
      return { clips: found.slice(0, limit), more: found.length > limit };
    };
    return { ask, asked };
  };
  const starts = async (clips: readonly Clip[], us: number, limit?: number) => {
    const { before, after } = await nearest(cloud(clips, limit).ask, "door", us, 1000 * HOUR);
    return [before?.startUs, after?.startUs];
  };
  const day = [clip("old", HOUR, HOUR + MINUTE), clip("far", 500 * HOUR, 501 * HOUR), clip("farther", 600 * HOUR, 601 * HOUR)];

  test("are found however far away they are, and none where there is none", async () => {
    expect(await starts(day, 2 * HOUR)).toEqual([HOUR, 500 * HOUR]);
    expect(await starts(day, 700 * HOUR)).toEqual([600 * HOUR, undefined]);
    expect(await starts(day, 0)).toEqual([undefined, HOUR]);
    expect(await starts([], 0)).toEqual([undefined, undefined]);
  });

  test("the next one is found also where many follow it", async () => {
    const many = Array.from({ length: 300 }, (_, at) => clip(`c${at}`, (10 + at) * MINUTE, (10 + at) * MINUTE + MINUTE / 2));
    expect(await starts(many, MINUTE, 20)).toEqual([undefined, 10 * MINUTE]);
  });

  test("around a gap inside of a clip they are its own stretches", async () => {
    expect(await starts([clip("torn", 10, 100, { gaps: [{ start_us: 40, end_us: 60, reason: "stalled" }] })], 50)).toEqual([10, 60]);
  });

  test("no more is asked for than is needed", async () => {
    const { ask, asked } = cloud([clip("next", 3 * HOUR, 4 * HOUR)]);
    await nearest(ask, "door", 2 * HOUR, 1000 * HOUR);
    expect(asked).toEqual([[0, 2 * HOUR], [2 * HOUR, 8 * HOUR]]);
  });
});
