import { expect, test } from "vitest";

import { HOUR, MINUTE, SECOND } from "../src/lib/time";
import { clipsLeft, factsLeft, lineRate, type Loss, offered, type Queue } from "../src/lib/waiting";

const idle: Queue = { facts: 0, clips: 0, clip_bytes: 0, facts_minute: 0, clip_rate: 0, stills: 0, up_rate: 0, line_rate: 0, cap: 0, losses: [] };

test("nothing is promised while nothing is known", () => {
  expect(factsLeft(idle)).toBeUndefined();
  expect(factsLeft({ ...idle, facts: 10 })).toBeUndefined();
  expect(clipsLeft({ ...idle, clips: 1, clip_bytes: 1000 })).toBeUndefined();
  expect(clipsLeft({ ...idle, clips: 1, clip_rate: 1000 })).toBeUndefined();
});

test("what waits is done at the speed of now", () => {
  expect(factsLeft({ ...idle, facts: 600, facts_minute: 200 })).toBe(3 * MINUTE);
  expect(clipsLeft({ ...idle, clip_bytes: 450e6, clip_rate: 125_000 })).toBe(HOUR);
});

test("clips that wait for their turn are reckoned at what the line allows", () => {
  expect(clipsLeft({ ...idle, clip_bytes: 1e6, line_rate: 100_000 })).toBe(10 * SECOND);
  expect(lineRate({ ...idle, line_rate: 100_000, cap: 50_000 })).toBe(50_000);
  expect(lineRate({ ...idle, cap: 50_000 })).toBe(50_000);
});

test("the small stream is offered where it is smaller and not chosen yet", () => {
  const loss: Loss = { camera: "c", camera_name: "Door", start_us: 1, end_us: 2, due_us: 3, more: 4, bytes: 500, sub_bytes: 50, step_down: false };
  const { sub_bytes: _, ...none } = loss;
  expect(offered(loss)).toBe(true);
  expect(offered({ ...loss, step_down: true })).toBe(false);
  expect(offered({ ...loss, sub_bytes: 500 })).toBe(false);
  expect(offered(none)).toBe(false);
});
