import { describe, expect, test } from "vitest";

import type { Range } from "../src/api/types";
import { MINUTE } from "../src/lib/time";
import { type Band, columns, kindOf, playable, rowsFor, shareAt, shares, together } from "../src/timeline/bands";
import { narrowestGap } from "../src/timeline/coverage";
import { overGap } from "../src/timeline/jump";

const at = (minute: number): number => minute * MINUTE;
const range = (from: number, to: number, state: Range["state"], more: Partial<Range> = {}): Range => ({ start_us: at(from), end_us: at(to), state, ...more });
const band = (camera: string, ranges: Range[], dark = false): Band => ({ camera, name: camera, site: "s", ranges, dark });

const bands: Band[] = [
  band("door", [range(0, 4, "site"), range(4, 6, "gap", { reason: "stalled" }), range(6, 10, "site")]),
  band("yard", [range(0, 5, "site"), range(5, 6, "gap", { reason: "unreachable" }), range(6, 8, "gap", { reason: "schedule" }), range(8, 10, "in_flight")]),
  band("till", [range(0, 2, "cloud", { clip: "k" }), range(2, 5.5, "site"), range(5.5, 7, "gap", { reason: "host_off" }), range(7, 10, "unknown")]),
];

describe("how many cameras have video", () => {
  test("is said of every moment, and every camera is counted in all of them", () => {
    const all = shares(bands);
    expect(all.map(({ start_us, end_us, video, gap, intended, unknown }) => [start_us / MINUTE, end_us / MINUTE, video, gap, intended, unknown])).toEqual([
      [0, 4, 3, 0, 0, 0], [4, 5, 2, 1, 0, 0], [5, 5.5, 1, 2, 0, 0], [5.5, 6, 0, 3, 0, 0], [6, 7, 1, 1, 1, 0], [7, 8, 1, 0, 1, 1], [8, 10, 2, 0, 0, 1],
    ]);
    for (const share of all) expect(share.video + share.gap + share.intended + share.unknown).toBe(3);
    expect(shareAt(all, at(5.6))?.video).toBe(0);
    expect(shareAt(all, at(10))).toBeUndefined();
    expect(shares([])).toEqual([]);
  });

  test("what no answer covers is not known", () => {
    const all = shares([bands[0]!, band("late", [range(2, 3, "site")])]);
    expect(all.map(({ start_us, video, unknown }) => [start_us / MINUTE, video, unknown])).toEqual([[0, 1, 1], [2, 2, 0], [3, 1, 1], [4, 0, 1], [6, 1, 1]]);
  });

  test("of a dark site only what the cloud keeps can be played", () => {
    const dark = band("till", [...bands[2]!.ranges], true);
    expect(playable(dark.ranges[0]!, dark)).toBe("video");
    expect(playable(dark.ranges[1]!, dark)).toBe("gap");
    expect(kindOf(dark.ranges[1]!)).toBe("video");
    expect(shares([dark], playable).map(({ video }) => video)).toEqual([1, 0, 0]);
  });

  test("a gap of the wall is a time in which no camera has video", () => {
    const ranges = together(shares(bands));
    expect(ranges.map(({ start_us, end_us, state }) => [start_us / MINUTE, end_us / MINUTE, state])).toEqual([[0, 5.5, "site"], [5.5, 6, "gap"], [6, 10, "site"]]);
    expect(overGap(ranges, at(1), 1)).toBe(at(6));
    expect(overGap(ranges, at(9), -1)).toBe(at(5.5) - 10_000_000);
  });
});

describe("what is painted", () => {
  test("no gap hides, however many fall into one pixel", () => {
    const ranges = Array.from({ length: 1000 }, (_, i): Range[] => [range(i, i + 0.9, "site"), range(i + 0.9, i + 1, "gap", { reason: "stalled" })]).flat();
    const wide = columns(shares([band("door", ranges)]), { fromUs: 0, toUs: at(1000) }, 100);
    expect(wide.length).toBeLessThan(110);
    expect(wide.filter(({ gap }) => gap > 0).length).toBeGreaterThan(45);
    for (const { width, gap } of wide) if (gap > 0) expect(width).toBeGreaterThanOrEqual(narrowestGap);
    const one = columns(shares([band("door", [range(0, 500, "site"), range(500, 500.01, "gap", { reason: "stalled" }), range(500.01, 1000, "site")])]), { fromUs: 0, toUs: at(1000) }, 100);
    expect(one.map(({ gap }) => gap)).toEqual([0, 1, 0]);
  });

  test("36 bands take hardly more room than a few", () => {
    for (let count = 1; count <= 36; count++) {
      const { height, between } = rowsFor(count);
      expect(height).toBeGreaterThanOrEqual(2);
      expect(count * (height + between)).toBeLessThanOrEqual(78);
    }
  });
});
