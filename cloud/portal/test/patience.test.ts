import { afterEach, expect, test, vi } from "vitest";

import { judge, Patience } from "../src/video/patience";
import type { Phase } from "../src/video/snapshot";

const whole = (phase: Phase, ms: number, rate = 1) => judge(phase, { ms, silentMs: 0, apartMs: 0, rate });
/** A picture comes every ten seconds, of a camera with a key frame every two. */
const stills = (phase: Phase, ms: number, silentMs: number, rate = 1) => judge(phase, { ms, silentMs, apartMs: 12_000, rate });

test("a picture that does not come is judged by what was there before", () => {
  expect(whole("waiting", 11_999)).toBe("wait");
  expect(whole("waiting", 12_001)).toBe("never");
  expect(whole("playing", 4_001)).toBe("stalled");
  expect(whole("stalled", 8_999)).toBe("wait");
  expect(whole("stalled", 9_001)).toBe("over");
  expect(whole("reconnecting", 60_000)).toBe("wait");
});

test("backwards there is time for the next key frame", () => {
  expect(whole("playing", 23_000, -1)).toBe("wait");
  expect(whole("playing", 24_001, -1)).toBe("stalled");
  expect(whole("playing", 9_001, -4)).toBe("stalled");
});

test("a picture that stands because the line has no room for more is no stall", () => {
  expect(stills("playing", 11_900, 900)).toBe("wait");
  expect(stills("playing", 27_900, 900)).toBe("wait"); // one was lost on the way
  expect(stills("waiting", 23_900, 900)).toBe("wait");
  expect(stills("waiting", 24_100, 900)).toBe("never");
  expect(stills("playing", 47_000, 900, 0.5)).toBe("wait"); // a recording at half the speed of life
});

test("where pictures are left out a view is not given up as long as the far end says something", () => {
  expect(stills("playing", 28_100, 900)).toBe("stalled");
  expect(stills("stalled", 300_000, 3_900)).toBe("wait");
});

test("a site that has fallen silent is told as soon, however far apart its pictures were", () => {
  expect(stills("playing", 9_000, 4_100)).toBe("stalled");
  expect(stills("stalled", 9_000, 8_900)).toBe("wait");
  expect(stills("stalled", 12_000, 9_100)).toBe("over");
  expect(stills("playing", 2_000, 30_000)).toBe("wait"); // a picture is a word too
});

test("what was taken for a stall before the line was known to be narrow is none", () => {
  expect(stills("stalled", 5_000, 900)).toBe("none");
  expect(stills("stalled", 5_000, 4_100)).toBe("wait");
});

afterEach(() => vi.useRealTimers());

test("what was left out before is so until the next picture", () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const patience = new Patience();
  /** Seconds in which only words come. */
  const wait = (seconds: number) => {
    vi.advanceTimersByTime(seconds * 1000);
    patience.hears();
  };
  patience.begin();
  patience.told(12_000_000);
  wait(11);
  expect(patience.judge("playing", 1)).toBe("wait");
  patience.told(undefined); // there is room again: the next key frame is still to come
  wait(8);
  expect(patience.judge("playing", 1)).toBe("wait");
  patience.moves();
  wait(4.5);
  expect(patience.judge("playing", 1)).toBe("stalled");
  patience.told(12_000_000);
  expect(patience.judge("stalled", 1)).toBe("none");
  patience.begin();
  wait(4.5);
  expect(patience.judge("playing", 1)).toBe("stalled");
});
