import { describe, expect, test } from "vitest";

import { clock, DAY, HOUR, MINUTE, SECOND } from "../src/lib/time";
import { around, askedRange, bounded, following, keyStep, longestSpan, nowShare, panned, shortestSpan, spanOf, spans, ticks, tickStep, usAt, xOf, zoomed } from "../src/timeline/scale";

const us = (iso: string): number => Date.parse(iso) * 1000;
const now = us("2026-11-23T15:00:00Z");

describe("places", () => {
  const view = { fromUs: now - HOUR, toUs: now };
  test("x and moment are each other's inverse", () => {
    for (const x of [0, 1, 333.3, 1000]) expect(xOf(usAt(x, view, 1000), view, 1000)).toBeCloseTo(x, 6);
    expect(usAt(500, view, 1000)).toBe(now - 30 * MINUTE);
  });

  test("a following view holds now at its place", () => {
    for (const span of spans) expect(xOf(now, following(now, span), 1000)).toBeCloseTo(nowShare * 1000, 6);
  });
});

describe("zoom and pan", () => {
  test("the moment under the pointer stays where it is", () => {
    const view = { fromUs: now - 10 * HOUR, toUs: now - 4 * HOUR };
    const at = now - 9 * HOUR;
    const closer = zoomed(view, 0.5, at, now);
    expect(spanOf(closer)).toBe(3 * HOUR);
    expect(xOf(at, closer, 900)).toBeCloseTo(xOf(at, view, 900), 6);
    const back = zoomed(closer, 2, at, now);
    expect(back.fromUs).toBeCloseTo(view.fromUs, 0);
  });

  test("spans stay inside their bounds", () => {
    const view = following(now, HOUR);
    expect(spanOf(zoomed(view, 1e-9, now, now))).toBe(shortestSpan);
    expect(spanOf(zoomed(view, 1e9, now - HOUR, now))).toBe(longestSpan);
  });

  test("nobody pans further into the future than a following view shows", () => {
    const view = following(now, HOUR);
    const far = panned(view, 10 * DAY, now);
    expect(far.toUs).toBeCloseTo(view.toUs, 0);
    expect(spanOf(far)).toBe(HOUR);
    expect(panned(view, -DAY, now).fromUs).toBeCloseTo(view.fromUs - DAY, 0);
    expect(bounded({ fromUs: now, toUs: now + HOUR }, now).toUs).toBeCloseTo(now + HOUR * (1 - nowShare), 0);
    expect(around(now, DAY, now).toUs).toBeLessThanOrEqual(now + DAY * (1 - nowShare) + 1);
  });
});

describe("ticks", () => {
  test("have room for their labels at every span", () => {
    for (const width of [320, 1100]) {
      for (const span of spans) {
        const view = following(now, span);
        const step = tickStep(view, width, 76);
        const found = ticks(view, step, "Europe/Madrid");
        expect(found.length).toBeGreaterThan(1);
        expect((step / span) * width).toBeGreaterThanOrEqual(76);
        for (const tick of found) expect(tick.us).toBeGreaterThanOrEqual(view.fromUs);
      }
    }
  });

  test("stand at round wall-clock times of the zone", () => {
    const view = { fromUs: us("2026-06-01T10:07:00Z"), toUs: us("2026-06-01T16:00:00Z") };
    expect(ticks(view, HOUR, "Asia/Kolkata").map((tick) => clock(tick.us, "Asia/Kolkata"))).toEqual(["16:00", "17:00", "18:00", "19:00", "20:00", "21:00"]);
  });

  test("stay round where summer time begins, and never stand twice", () => {
    const zone = "Europe/Madrid";
    const view = { fromUs: us("2026-03-28T20:00:00Z"), toUs: us("2026-03-29T10:00:00Z") };
    const found = ticks(view, HOUR, zone);
    const labels = found.map((tick) => clock(tick.us, zone));
    expect(labels).toContain("01:00");
    expect(labels).toContain("03:00");
    expect(labels).not.toContain("02:00");
    expect(new Set(found.map((tick) => tick.us)).size).toBe(found.length);
    for (const [at, tick] of found.entries()) if (at > 0) expect(tick.us).toBeGreaterThan(found[at - 1]?.us ?? 0);
    expect(found.find((tick) => tick.day)?.us).toBe(us("2026-03-28T23:00:00Z"));
  });

  test("stay round where summer time ends", () => {
    const zone = "Europe/Madrid";
    const found = ticks({ fromUs: us("2026-10-24T20:00:00Z"), toUs: us("2026-10-25T12:00:00Z") }, 2 * HOUR, zone);
    for (const tick of found) expect(clock(tick.us, zone)).toMatch(/^(\d[02468]):00$/);
  });
});

describe("keys", () => {
  test("a press moves a small, natural step", () => {
    expect(keyStep({ fromUs: 0, toUs: MINUTE })).toBe(SECOND);
    expect(keyStep({ fromUs: 0, toUs: HOUR })).toBe(30 * SECOND);
    expect(keyStep({ fromUs: 0, toUs: DAY })).toBe(10 * MINUTE);
    expect(keyStep({ fromUs: 0, toUs: 30 * DAY })).toBe(6 * HOUR);
  });
});

describe("what is asked of the cloud", () => {
  test("covers the view and stays the same for small pans", () => {
    const view = { fromUs: now - 9 * HOUR, toUs: now - 3 * HOUR };
    const asked = askedRange(view, now);
    expect(asked.fromUs).toBeLessThanOrEqual(view.fromUs);
    expect(asked.toUs).toBeGreaterThanOrEqual(view.toUs);
    const pans = Array.from({ length: 60 }, (_, minute) => askedRange(panned(view, -minute * MINUTE, now), now));
    expect(new Set(pans.map((range) => JSON.stringify(range))).size).toBeLessThanOrEqual(4);
  });

  test("does not reach far into the future, and is never empty", () => {
    for (const span of spans) {
      const asked = askedRange(following(now, span), now);
      expect(asked.toUs).toBeGreaterThanOrEqual(now);
      expect(asked.toUs - now).toBeLessThanOrEqual(span / 4);
      expect(asked.toUs).toBeGreaterThan(asked.fromUs);
    }
    const ahead = askedRange({ fromUs: now + DAY, toUs: now + 2 * DAY }, now);
    expect(ahead.toUs).toBeGreaterThan(ahead.fromUs);
  });

  test("stays the same while time goes on for a while", () => {
    const asked = new Set(Array.from({ length: 60 }, (_, second) => JSON.stringify(askedRange(following(now + second * SECOND, 6 * HOUR), now + second * SECOND))));
    expect(asked.size).toBeLessThanOrEqual(2);
  });
});
