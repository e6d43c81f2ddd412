import { describe, expect, test } from "vitest";

import { clock, dateInput, DAY, dayWord, fromDateInput, fromLocal, HOUR, MINUTE, moment, startOfDay, validZone, zoneName, zoneOffsetUs } from "../src/lib/time";

const us = (iso: string): number => Date.parse(iso) * 1000;
const madrid = "Europe/Madrid";

describe("zones", () => {
  test("the offset follows summer time", () => {
    expect(zoneOffsetUs(us("2026-01-15T12:00:00Z"), madrid)).toBe(HOUR);
    expect(zoneOffsetUs(us("2026-07-15T12:00:00Z"), madrid)).toBe(2 * HOUR);
    expect(zoneOffsetUs(us("2026-07-15T12:00:00Z"), "Asia/Kolkata")).toBe(5 * HOUR + 30 * MINUTE);
    expect(zoneOffsetUs(us("2026-07-15T12:00:00Z"), "America/St_Johns")).toBe(-(2 * HOUR + 30 * MINUTE));
  });

  test("a day begins at the zone's midnight, also when it is 23 or 25 hours long", () => {
    const spring = startOfDay(us("2026-03-29T12:00:00Z"), madrid);
    expect(spring).toBe(us("2026-03-28T23:00:00Z"));
    expect(startOfDay(us("2026-03-30T12:00:00Z"), madrid) - spring).toBe(23 * HOUR);
    const autumn = startOfDay(us("2026-10-25T12:00:00Z"), madrid);
    expect(autumn).toBe(us("2026-10-24T22:00:00Z"));
    expect(startOfDay(us("2026-10-26T12:00:00Z"), madrid) - autumn).toBe(25 * HOUR);
  });

  test("of two moments with the same wall clock the earlier is meant", () => {
    const local = us("2026-10-25T02:30:00Z");
    expect(fromLocal(local, madrid)).toBe(us("2026-10-25T00:30:00Z"));
  });

  test("an unknown zone falls back to UTC", () => {
    expect(validZone("Mars/Olympus")).toBe("UTC");
    expect(validZone("")).toBe("UTC");
    expect(clock(us("2026-01-15T12:34:00Z"), "Mars/Olympus")).toBe("12:34");
    expect(zoneOffsetUs(us("2026-01-15T12:34:00Z"), "Mars/Olympus")).toBe(0);
  });

  test("microseconds before and after a second keep the offset whole", () => {
    expect(zoneOffsetUs(us("2026-01-15T12:00:00Z") + 999_999, madrid)).toBe(HOUR);
    expect(zoneOffsetUs(-1, "UTC")).toBe(0);
  });
});

describe("words", () => {
  const now = us("2026-11-23T15:00:00Z");
  test("days are named as people name them", () => {
    expect(dayWord(now - HOUR, madrid, now)).toBe("today");
    expect(dayWord(now - DAY, madrid, now)).toBe("yesterday");
    expect(dayWord(now - 3 * DAY, madrid, now)).toBe("Fri 20 Nov");
    expect(moment(now - DAY, madrid, now)).toBe("yesterday 16:00");
  });

  test("yesterday is found across a change of summer time", () => {
    const monday = us("2026-03-30T10:00:00Z");
    expect(dayWord(us("2026-03-28T23:30:00Z"), madrid, monday)).toBe("yesterday");
    expect(dayWord(us("2026-03-28T22:30:00Z"), madrid, monday)).toBe("Sat 28 Mar");
  });

  test("the zone's short name follows the season", () => {
    expect(zoneName(us("2026-01-15T12:00:00Z"), "Europe/London")).toBe("GMT");
    expect(zoneName(us("2026-07-15T12:00:00Z"), "Europe/London")).toBe("BST");
  });
});

describe("date inputs", () => {
  test("go there and back in any zone", () => {
    for (const zone of [madrid, "America/Los_Angeles", "Pacific/Auckland", "UTC"]) {
      const start = fromDateInput("2026-10-25", zone);
      expect(start).toBeDefined();
      expect(dateInput(start ?? 0, zone)).toBe("2026-10-25");
      expect(dateInput((start ?? 0) - 1, zone)).toBe("2026-10-24");
    }
  });

  test("what is no date is undefined", () => {
    expect(fromDateInput("", madrid)).toBeUndefined();
    expect(fromDateInput("2026-13-45", madrid)).toBeUndefined();
  });
});
