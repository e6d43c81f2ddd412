import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Ahead, type Place } from "../src/video/ahead";
import type { Answer } from "../src/video/whep";

const offer = { camera: "cam-1", width: 1100 };
const answer = { session: "/api/v1/live/session-1", relay: false } as Answer;

describe("a camera that was asked for by the press that leads to its page", () => {
  let dropped: (Answer | undefined)[];
  let taken: number;
  let ahead: Ahead<string, number>;
  const place = (): Place<string, number> => ({ link: "link", slot: ++taken, answer: Promise.resolve(answer), drop: (got) => dropped.push(got) });

  beforeEach(() => {
    vi.useFakeTimers();
    [dropped, taken, ahead] = [[], 0, new Ahead()];
  });
  afterEach(() => vi.useRealTimers());

  test("is handed over once, to the page that shows it", async () => {
    ahead.ask("site", offer, place);
    ahead.ask("site", offer, place); // the click behind the pointer's press
    expect(taken).toBe(1);
    expect(ahead.claim("site", { ...offer, width: 900 })).toMatchObject({ link: "link", slot: 1 });
    expect(ahead.claim("site", offer)).toBeUndefined();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(dropped).toEqual([]);
  });

  test.each([
    ["of another site", "elsewhere", offer],
    ["of another camera", "site", { ...offer, camera: "cam-2" }],
    ["of another stream", "site", { ...offer, stream: "sub" as const }],
    ["of a recording", "site", { ...offer, fromUs: 1 }],
    ["in a small tile", "site", { ...offer, width: 320 }],
  ])("is not handed over to a view %s", (_, site, wished) => {
    ahead.ask("site", offer, place);
    expect(ahead.claim(site, wished)).toBeUndefined();
    expect(ahead.claim("site", offer)).toBeDefined();
  });

  test("is let go of when no page comes", async () => {
    ahead.ask("site", offer, place);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(dropped).toEqual([answer]);
    expect(ahead.claim("site", offer)).toBeUndefined();
  });

  test("makes room for another one", async () => {
    ahead.ask("site", offer, place);
    ahead.ask("site", { ...offer, camera: "cam-2" }, place);
    await vi.advanceTimersByTimeAsync(1);
    expect(dropped).toEqual([answer]);
    expect(ahead.claim("site", { ...offer, camera: "cam-2" })).toMatchObject({ slot: 2 });
  });

  test("gives its place back when the site refuses", async () => {
    ahead.ask("site", offer, () => ({ ...place(), answer: Promise.reject(new Error("refused")) }));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(dropped).toEqual([undefined]);
  });

  test("is nothing where no connection has a place", () => {
    ahead.ask("site", offer, () => undefined);
    expect(ahead.claim("site", offer)).toBeUndefined();
  });
});
