import { describe, expect, test } from "vitest";

import { Delay, shownMs } from "../src/video/delay";

const siteAheadMs = 1_700_000_000_000;
const pong = (askedMs: number, atSiteMs: number) => ({ type: "pong", at_us: askedMs * 1000, sent_us: (siteAheadMs + atSiteMs) * 1000 }) as const;
const born = (rtp: number, sentMs: number, ageMs: number) =>
  ({ type: "position", at_us: 0, born: { rtp, sent_us: (siteAheadMs + sentMs) * 1000, age_us: ageMs * 1000 } }) as const;

describe("the delay from site to screen", () => {
  test("is not known before both clocks and a picture are", () => {
    const delay = new Delay();
    expect(delay.of(0, 100)).toBeUndefined();
    delay.hear(pong(0, 10), 20);
    expect(delay.of(0, 100)).toBeUndefined();
    delay.hear(born(0, 50, 5), 60);
    expect(delay.of(undefined, 100)).toBeUndefined();
    expect(delay.of(0, 100)).toBeCloseTo(55);
  });

  test("goes by the quickest answer, whichever way the slow ones were held up", () => {
    const delay = new Delay();
    delay.hear(pong(0, 190), 200); // held up on its way to the site
    delay.hear(pong(1000, 1010), 1020);
    delay.hear(pong(2000, 2005), 2400); // held up on its way back
    delay.hear(born(9000, 3000, 40), 3010);
    expect(delay.of(9000 + 90 * 100, 3160)).toBeCloseTo(100);
  });

  test("counts over the wrap of RTP time", () => {
    const delay = new Delay();
    delay.hear(pong(0, 10), 20);
    delay.hear(born(2 ** 32 - 90, 100, 0), 110);
    expect(delay.of(90, 152)).toBeCloseTo(50);
  });

  test("forgets old answers, for clocks drift", () => {
    const delay = new Delay();
    delay.hear(pong(0, 1), 2);
    for (let i = 1; i <= 8; i++) delay.hear(pong(i * 1000, i * 1000 + 10 + 500), i * 1000 + 20);
    delay.hear(born(0, 10_000, 0), 10_000);
    expect(delay.of(0, 10_000)).toBeCloseTo(500);
  });

  test("leaves the moment of a picture's birth to the far clock alone", () => {
    const delay = new Delay();
    expect(delay.bornMs(0)).toBeUndefined();
    delay.hear(born(2 ** 32 - 90, 100, 30), 110);
    expect(delay.bornMs(90 * 9)).toBeCloseTo(siteAheadMs + 80);
    expect(delay.bornMs(undefined)).toBeUndefined();
  });

  test("does not tell the moment of a picture of the burst, however long it stands there", () => {
    const delay = new Delay();
    delay.hear(born(9000, 1000, 20), 1010);
    expect(delay.bornMs(8999)).toBeUndefined();
    expect(delay.bornMs(9000)).toBeCloseTo(siteAheadMs + 980);
    delay.hear(born(9000 + 90_000, 2000, 20), 2010);
    expect(delay.bornMs(8999)).toBeUndefined();
    expect(delay.bornMs(9090)).toBeCloseTo(siteAheadMs + 981);
  });

  test("asks with its own time", () => {
    expect(JSON.parse(Delay.ask(12.3456))).toEqual({ type: "ping", at_us: 12_346 });
  });
});

test("a picture is shown when it is expected to be, unless that cannot be", () => {
  expect(shownMs({ presentationTime: 1000, expectedDisplayTime: 1032 })).toBe(1032);
  expect(shownMs({ presentationTime: 1000, expectedDisplayTime: 480 })).toBe(1017); // of the picture before
  expect(shownMs({ presentationTime: 1000, expectedDisplayTime: 1700 })).toBe(1017);
});
