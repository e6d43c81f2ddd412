import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Order } from "../src/video/control";
import { longestStep, scrubMs, seekMs, Shuttle } from "../src/video/shuttle";

let said: Order[];
let deaf: boolean;
let atUs: number;
let shuttle: Shuttle;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  said = [];
  deaf = false;
  atUs = 1_000_000;
  shuttle = new Shuttle({
    say: (order) => {
      if (!deaf) said.push(order);
      return !deaf;
    },
    positionUs: () => atUs,
    expect: (us) => { atUs = us; },
  });
});
afterEach(() => void vi.useRealTimers());

describe("steps", () => {
  beforeEach(() => shuttle.heard(true));

  test("go out at once, one word at a time, and add up meanwhile", () => {
    shuttle.step(1);
    shuttle.step(1);
    shuttle.step(1);
    shuttle.step(-1);
    expect(said).toEqual([{ type: "step", count: 1 }]);
    shuttle.heard(true);
    expect(said.at(-1)).toEqual({ type: "step", count: 1 });
    shuttle.heard(true);
    expect(said).toHaveLength(2);
  });

  test("that cancel each other out are none", () => {
    shuttle.step(1);
    shuttle.step(1);
    shuttle.step(-1);
    shuttle.heard(true);
    expect(said).toHaveLength(1);
  });

  test("have the site's bound", () => {
    shuttle.step(1);
    for (let i = 0; i < 500; i++) shuttle.step(-1);
    shuttle.heard(true);
    expect(said.at(-1)).toEqual({ type: "step", count: -longestStep });
  });

  test("go on when an answer is lost", () => {
    shuttle.step(1);
    shuttle.step(2);
    vi.advanceTimersByTime(2900);
    expect(said).toHaveLength(1);
    vi.advanceTimersByTime(200);
    expect(said.at(-1)).toEqual({ type: "step", count: 2 });
  });

  test("wait until the site can be told", () => {
    deaf = true;
    shuttle.step(1);
    deaf = false;
    shuttle.heard(true);
    expect(said).toEqual([{ type: "step", count: 1 }]);
  });

  test("that are not under way are forgotten", () => {
    shuttle.step(1);
    shuttle.step(1);
    shuttle.forget();
    shuttle.heard(true);
    vi.advanceTimersByTime(5000);
    expect(said).toHaveLength(1);
  });
});

describe("scrubbing", () => {
  beforeEach(() => shuttle.heard(true));

  test("asks for the newest moment, at most fifteen a second", () => {
    for (let ms = 0; ms < 1000; ms += 5) {
      shuttle.scrub(ms * 1000);
      shuttle.heard(true);
      vi.advanceTimersByTime(5);
    }
    vi.advanceTimersByTime(scrubMs);
    expect(said.length).toBeGreaterThan(10);
    expect(said.length).toBeLessThanOrEqual(17);
    expect(said.at(-1)).toEqual({ type: "scrub", at_us: 995_000 });
  });

  test("waits for the picture before it asks for the next", () => {
    shuttle.scrub(1);
    vi.advanceTimersByTime(500);
    shuttle.scrub(2);
    shuttle.scrub(3);
    vi.advanceTimersByTime(500);
    expect(said).toEqual([{ type: "scrub", at_us: 1 }]);
    shuttle.heard(true);
    vi.advanceTimersByTime(3000);
    expect(said).toEqual([{ type: "scrub", at_us: 1 }, { type: "scrub", at_us: 3 }]);
  });

  test("and steps take each other's place", () => {
    shuttle.step(1);
    shuttle.step(1);
    shuttle.scrub(7);
    shuttle.heard(true);
    expect(said.at(-1)).toEqual({ type: "scrub", at_us: 7 });
  });
});

describe("a site from before these words", () => {
  test("is sought in, by a picture each", () => {
    shuttle.heard(false);
    shuttle.step(1);
    expect(said).toEqual([{ type: "seek", at_us: 1_000_001 }]);
    shuttle.step(-1);
    expect(said.at(-1)).toEqual({ type: "seek", at_us: Math.round(1_000_001 - 1_000_000 / 15) });
  });

  test("is sought in while the pointer moves, not too often", () => {
    shuttle.heard(false);
    shuttle.scrub(1);
    shuttle.scrub(2);
    shuttle.scrub(3);
    expect(said).toEqual([{ type: "seek", at_us: 1 }]);
    vi.advanceTimersByTime(seekMs);
    expect(said).toEqual([{ type: "seek", at_us: 1 }, { type: "seek", at_us: 3 }]);
  });

  test("is found out by the first word of where it is", () => {
    deaf = true;
    shuttle.scrub(5);
    deaf = false;
    shuttle.heard(false);
    expect(said).toEqual([{ type: "seek", at_us: 5 }]);
  });
});
