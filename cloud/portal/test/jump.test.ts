import { describe, expect, test } from "vitest";

import type { Event, Range } from "../src/api/types";
import { HOUR, SECOND } from "../src/lib/time";
import { eventAfter, eventBefore, overGap } from "../src/timeline/jump";

const begin = 1_700_000_000 * SECOND;

/** A cloud with events at these seconds, that answers with the newest few of a range. */
function cloud(seconds: number[], most: number) {
  const asked: [number, number][] = [];
  return {
    asked,
    ask: async (fromUs: number, toUs: number) => {
      asked.push([fromUs, toUs]);
      const found = seconds.map((s) => ({ at_us: begin + s * SECOND }) as Event).filter((e) => e.at_us >= fromUs && e.at_us < toUs).reverse();
      return { events: found.slice(0, most), more: found.length > most };
    },
  };
}

describe("events", () => {
  const second = (event: Event | undefined) => event && (event.at_us - begin) / SECOND;

  test("the one before, past the one that was just come to", async () => {
    const { ask } = cloud([10, 50], 1);
    expect(second(await eventBefore(ask, begin + 100 * SECOND))).toBe(50);
    expect(second(await eventBefore(ask, begin + 51 * SECOND))).toBe(10);
    expect(await eventBefore(ask, begin + 11 * SECOND)).toBeUndefined();
  });

  test("the next one, however many come after it", async () => {
    const { ask } = cloud(Array.from({ length: 3000 }, (_, i) => 10 + i), 100);
    expect(second(await eventAfter(ask, begin + 500 * SECOND, begin + 10_000 * SECOND))).toBe(501);
  });

  test("the next one, however far away", async () => {
    const { ask, asked } = cloud([10, 30 * 86_400], 100);
    expect(second(await eventAfter(ask, begin + 10 * SECOND, begin + 40 * 24 * HOUR))).toBe(30 * 86_400);
    expect(asked.length).toBeLessThan(10);
    expect(await eventAfter(ask, begin + 31 * 24 * HOUR, begin + 40 * 24 * HOUR)).toBeUndefined();
  });
});

describe("gaps", () => {
  const range = (from: number, to: number, state: string) => ({ start_us: begin + from * SECOND, end_us: begin + to * SECOND, state }) as Range;
  const ranges = [range(0, 100, "site"), range(100, 110, "gap"), range(110, 120, "gap"), range(120, 200, "cloud"), range(200, 300, "gap")];
  const over = (s: number, direction: 1 | -1) => {
    const us = overGap(ranges, begin + s * SECOND, direction);
    return us === undefined ? undefined : (us - begin) / SECOND;
  };

  test("the video goes on behind a whole gap", () => {
    expect(over(50, 1)).toBe(120);
    expect(over(150, 1)).toBeUndefined();
  });

  test("and back it is the last moments before it", () => {
    expect(over(150, -1)).toBe(90);
    expect(over(50, -1)).toBeUndefined();
  });
});
