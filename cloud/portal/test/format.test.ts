import { describe, expect, test } from "vitest";

import { age, ageSpan, bitrate, bytes, codecName, countdown, daysLeft, duration, isH265, offset, percent, plural, whole } from "../src/lib/format";
import { eventName } from "../src/lib/events";
import { DAY, HOUR, MINUTE, SECOND } from "../src/lib/time";
import { reasonWords } from "../src/text/health";

test("bytes are decimal and short", () => {
  expect(bytes(0)).toBe("0\u00a0B");
  expect(bytes(999)).toBe("999\u00a0B");
  expect(bytes(1000)).toBe("1.0\u00a0kB");
  expect(bytes(999_960)).toBe("1.0\u00a0MB");
  expect(bytes(84_000_000)).toBe("84.0\u00a0MB");
  expect(bytes(123_456_789)).toBe("123\u00a0MB");
  expect(bytes(8e12)).toBe("8.0\u00a0TB");
  expect(bytes(-5)).toBe("0\u00a0B");
});

test("durations have two units at most", () => {
  expect(duration(0)).toBe("0 s");
  expect(duration(400_000)).toBe("under 1 s");
  expect(duration(59.9 * SECOND)).toBe("59 s");
  expect(duration(3 * MINUTE + 12 * SECOND)).toBe("3 min 12 s");
  expect(duration(3 * MINUTE)).toBe("3 min");
  expect(duration(26 * HOUR + 5 * MINUTE)).toBe("26 h 5 min");
  expect(duration(4.9 * DAY)).toBe("4 days");
});

test("ages have one unit and never lie about the future", () => {
  expect(age(-3 * SECOND)).toBe("just now");
  expect(age(1.5 * SECOND)).toBe("just now");
  expect(age(12 * SECOND)).toBe("12 s ago");
  expect(age(119 * SECOND)).toBe("1 min ago");
  expect(ageSpan(47 * HOUR)).toBe("47 h");
  expect(ageSpan(49 * HOUR)).toBe("2 days");
});

test("a share is never 0 or 100 % before it is true", () => {
  expect(percent(0)).toBe("0 %");
  expect(percent(0.001)).toBe("under 1 %");
  expect(percent(0.629)).toBe("62 %");
  expect(percent(0.9999)).toBe("99 %");
  expect(percent(1)).toBe("100 %");
});

test("countdowns do not go below zero", () => {
  expect(countdown(299.2 * SECOND)).toBe("05:00");
  expect(countdown(3661 * SECOND)).toBe("1:01:01");
  expect(countdown(-5)).toBe("00:00");
});

describe("what is not known is not shown as a figure", () => {
  test("days left", () => {
    expect(daysLeft(undefined)).toBeUndefined();
    expect(daysLeft(0)).toBeUndefined();
    expect(daysLeft(0.4)).toBe("10 h");
    expect(daysLeft(21.4)).toBe("21 days");
  });
});

test("clock offsets carry their sign", () => {
  expect(offset(12_000)).toBe("+12 ms");
  expect(offset(-1_500_000)).toBe("\u22121.5 s");
  expect(offset(90 * SECOND)).toBe("+1 min 30 s");
});

test("codecs by their common names", () => {
  expect(codecName("avc1.64001f")).toBe("H.264");
  expect(codecName("hvc1.1.6.L93.B0")).toBe("H.265");
  expect(codecName("vp09.00")).toBe("vp09.00");
  expect(isH265("hev1.1.6.L93.B0")).toBe(true);
  expect(isH265(undefined)).toBe(false);
});

test("counts", () => {
  expect(plural(1, "camera", "cameras")).toBe("1 camera");
  expect(plural(0, "camera", "cameras")).toBe("0 cameras");
  expect(whole(12345)).toBe("12\u202f345");
  expect(bitrate(850.4)).toBe("850 kbit/s");
  expect(bitrate(2140)).toBe("2.1 Mbit/s");
});

test("words for what a newer site may say", () => {
  expect(reasonWords("auth_failed")).toBe("Camera refused the password");
  expect(reasonWords("eaten_by_dog")).toBe("eaten by dog");
  expect(reasonWords(undefined)).toBe("");
  expect(eventName("door_forced")).toBe("Door forced");
  expect(eventName("cash_drawer")).toBe("Cash drawer");
});
