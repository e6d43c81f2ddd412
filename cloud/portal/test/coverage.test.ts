import { describe, expect, test } from "vitest";

import type { Range } from "../src/api/types";
import { MINUTE, SECOND } from "../src/lib/time";
import { blocks, gapsIn, goingOn, lookOf, missingIn, narrowestGap, neighbourGap, nextVideo, previousVideo, rangeAt, unknownIn, wholeGap } from "../src/timeline/coverage";

const at = (minute: number): number => minute * MINUTE;
const range = (from: number, to: number, state: Range["state"], more: Partial<Range> = {}): Range => ({ start_us: at(from), end_us: at(to), state, ...more });

/** Ten minutes: site, a gap of two reasons, site, cloud, a gap, in flight, unknown. */
const ranges: Range[] = [
  range(0, 2, "site"), range(2, 3, "gap", { reason: "unreachable" }), range(3, 4, "gap", { reason: "await_keyframe" }), range(4, 6, "site"),
  range(6, 7, "cloud", { clip: "c1" }), range(7, 8, "gap", { reason: "stalled" }), range(8, 9, "in_flight"), range(9, 10, "unknown"),
];

describe("questions", () => {
  test("which range holds a moment", () => {
    expect(rangeAt(ranges, at(0))?.state).toBe("site");
    expect(rangeAt(ranges, at(2))?.reason).toBe("unreachable");
    expect(rangeAt(ranges, at(3) - 1)?.reason).toBe("unreachable");
    expect(rangeAt(ranges, at(10))).toBeUndefined();
    expect(rangeAt(ranges, -1)).toBeUndefined();
    expect(rangeAt([], 0)).toBeUndefined();
  });

  test("where the next and the last video is", () => {
    expect(nextVideo(ranges, at(1))).toBe(at(1));
    expect(nextVideo(ranges, at(2.5))).toBe(at(4));
    expect(nextVideo(ranges, at(9.5))).toBeUndefined();
    expect(previousVideo(ranges, at(3))?.end_us).toBe(at(2));
    expect(previousVideo(ranges.slice(1), at(3))).toBeUndefined();
  });

  test("the whole time without video is told, whatever its reasons", () => {
    expect(wholeGap(ranges, ranges[2] as Range)).toEqual({ start_us: at(2), end_us: at(4) });
    expect(wholeGap(ranges, ranges[5] as Range)).toEqual({ start_us: at(7), end_us: at(8) });
  });

  test("the neighbouring gaps", () => {
    expect(neighbourGap(ranges, at(0), 1)?.start_us).toBe(at(2));
    expect(neighbourGap(ranges, at(5), -1)?.start_us).toBe(at(3));
    expect(neighbourGap(ranges, at(9), 1)).toBeUndefined();
  });

  test("gaps that touch count as one, and only what is in view counts", () => {
    expect(gapsIn(ranges, { fromUs: at(0), toUs: at(10) })).toEqual({ count: 2, us: at(3) });
    expect(gapsIn(ranges, { fromUs: at(3.5), toUs: at(7.5) })).toEqual({ count: 2, us: at(1) });
    expect(gapsIn(ranges, { fromUs: at(4), toUs: at(7) })).toEqual({ count: 0, us: 0 });
    expect(missingIn(ranges, at(1), at(8))).toBe(at(3));
    expect(missingIn(ranges, at(2), at(4))).toBe(at(2));
    expect(unknownIn(ranges, { fromUs: at(0), toUs: at(9.5) })).toBe(at(0.5));
  });
});

describe("between two answers of the cloud", () => {
  test("recording and open gaps go on for a while, and not for ever", () => {
    const flight = goingOn([range(0, 4, "site"), range(4, 5, "in_flight"), range(5, 9, "unknown")]);
    expect(flight.map((part) => [part.state, part.end_us / MINUTE])).toEqual([["site", 4], ["in_flight", 6.5], ["unknown", 9]]);
    const gap = goingOn([range(0, 4, "site"), range(4, 5, "gap", { reason: "stalled" }), range(5, 6, "unknown")]);
    expect(gap).toEqual([range(0, 4, "site"), range(4, 6, "gap", { reason: "stalled" })]);
  });

  test("a site that has not reported stays unknown", () => {
    const dark = [range(0, 4, "site"), range(4, 9, "unknown")];
    expect(goingOn(dark)).toEqual(dark);
    expect(goingOn([range(0, 9, "unknown")])).toEqual([range(0, 9, "unknown")]);
    expect(goingOn([])).toEqual([]);
  });
});

describe("gaps that are as they should be", () => {
  const kept: Range[] = [range(0, 4, "gap", { reason: "expired" }), range(4, 5, "gap", { reason: "disk_failed" }), range(5, 6, "gap", { reason: "disabled" }), range(6, 7, "gap", { reason: "a_new_one" })];
  test("look calmer and are not counted, but hold no video either", () => {
    expect(kept.map(lookOf)).toEqual(["intended", "gap", "intended", "gap"]);
    expect(gapsIn(kept, { fromUs: at(0), toUs: at(7) })).toEqual({ count: 2, us: at(2) });
    expect(missingIn(kept, at(0), at(7))).toBe(at(7));
  });
});

describe("what is painted", () => {
  const view = { fromUs: at(0), toUs: at(10) };
  test("covers the whole width, gaps last", () => {
    const painted = blocks(ranges, view, 1000);
    expect(painted.reduce((sum, block) => sum + block.width, 0)).toBeCloseTo(1000, 3);
    const looks = painted.map((block) => block.look);
    expect(looks.slice(-2)).toEqual(["gap", "gap"]);
    expect(looks.indexOf("gap")).toBe(looks.length - 2);
  });

  test("a gap of a tenth of a second in 30 days is still seen", () => {
    const day = 24 * 60;
    const tiny: Range[] = [
      range(0, 15 * day, "site"), { start_us: at(15 * day), end_us: at(15 * day) + SECOND / 10, state: "gap" },
      { start_us: at(15 * day) + SECOND / 10, end_us: at(30 * day), state: "site" },
    ];
    const gap = blocks(tiny, { fromUs: 0, toUs: at(30 * day) }, 1000).find((block) => block.look === "gap");
    expect(gap?.width).toBe(narrowestGap);
    expect((gap?.x ?? 0) + narrowestGap / 2).toBeCloseTo(500, 0);
  });

  test("thousands of short ranges become few blocks", () => {
    const many = Array.from({ length: 40_000 }, (_, minute) => range(minute, minute + 1, "site"));
    expect(blocks(many, { fromUs: 0, toUs: at(40_000) }, 1000)).toHaveLength(1);
  });

  test("nothing outside the view is painted", () => {
    const painted = blocks(ranges, { fromUs: at(4), toUs: at(5) }, 100);
    expect(painted).toEqual([{ x: 0, width: 100, look: "site" }]);
  });
});
