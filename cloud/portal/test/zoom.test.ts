import { describe, expect, test } from "vitest";

import { bounded, closest, fitted, moved, type Point, seen, shift, type Size, type View, whole, zoomed } from "../src/video/zoom";

const picture: Size = { width: 1280, height: 720 };
const frames: Record<string, Size> = {
  "of the same shape": { width: 960, height: 540 },
  "with margins beside it": { width: 1000, height: 400 },
  "with margins over it": { width: 390, height: 844 },
};

/** Where a point of the picture lies, in pixels from the middle of the frame. */
function placeOf(point: Point, view: View, frame: Size): Point {
  const fit = fitted(picture, frame);
  const by = shift(view, picture, frame);
  return { x: by.x + (point.x - 0.5) * view.scale * fit.width, y: by.y + (point.y - 0.5) * view.scale * fit.height };
}

/** The edges of the enlarged picture against those of its frame: below 0, the frame shows something beside it. */
function overlap(view: View, frame: Size): [number, number][] {
  const first = placeOf({ x: 0, y: 0 }, view, frame);
  const last = placeOf({ x: 1, y: 1 }, view, frame);
  return [[-frame.width / 2 - first.x, last.x - frame.width / 2], [-frame.height / 2 - first.y, last.y - frame.height / 2]];
}

describe("a picture in its frame", () => {
  test("is as large as it can be whole", () => {
    expect(fitted(picture, { width: 1000, height: 400 })).toEqual({ width: 400 * 16 / 9, height: 400 });
    expect(fitted(picture, { width: 390, height: 844 })).toEqual({ width: 390, height: 390 * 9 / 16 });
  });

  test("lies in the middle and is seen whole at first", () => {
    for (const frame of Object.values(frames)) {
      expect(shift(whole, picture, frame)).toEqual({ x: 0, y: 0 });
      expect(seen(whole, picture, frame)).toEqual({ x: 0, y: 0, ...picture });
    }
  });
});

describe.each(Object.entries(frames))("in a frame %s", (_, frame) => {
  const at = { x: frame.width / 5, y: -frame.height / 20 };

  test("what is under the pointer stays there", () => {
    // Close enough that no edge holds the picture back.
    const close = zoomed(whole, 5, { x: 0, y: 0 }, picture, frame);
    const fit = fitted(picture, frame);
    const under = { x: close.x + at.x / (close.scale * fit.width), y: close.y + at.y / (close.scale * fit.height) };
    for (const times of [1.3, 1.1, 0.9]) {
      const view = zoomed(close, times, at, picture, frame);
      expect(view.scale).toBeCloseTo(5 * times, 9);
      expect(placeOf(under, view, frame).x).toBeCloseTo(at.x, 6);
      expect(placeOf(under, view, frame).y).toBeCloseTo(at.y, 6);
    }
  });

  test("nothing leads past 8 times, or under the whole", () => {
    expect(zoomed(whole, 1000, at, picture, frame).scale).toBe(closest);
    expect(zoomed(zoomed(whole, 3, at, picture, frame), 0.01, at, picture, frame)).toEqual(whole);
    expect(zoomed(whole, 0.5, at, picture, frame)).toEqual(whole);
  });

  test("the picture never leaves it", () => {
    let view = whole;
    for (const [times, x, y] of [[2, 1, 1], [1, 9999, 9999], [1.7, -1, 1], [1, -9999, 40], [0.6, 0.5, -1], [3, 1, -1], [1, 70, -9999], [0.2, 0, 0]] as const) {
      view = times === 1 ? moved(view, { x, y }, picture, frame) : zoomed(view, times, { x: x * frame.width / 2, y: y * frame.height / 2 }, picture, frame);
      for (const [before, after] of overlap(view, frame)) {
        // Either both edges lie outside the frame, or the picture is smaller than it and in the middle.
        if (Math.min(before, after) < -1e-6) expect(before).toBeCloseTo(after, 6);
      }
    }
  });

  test("a drag moves the picture by as much as the pointer moves", () => {
    const close = zoomed(whole, 6, { x: 0, y: 0 }, picture, frame);
    const before = placeOf({ x: 0.5, y: 0.5 }, close, frame);
    const after = placeOf({ x: 0.5, y: 0.5 }, moved(close, { x: 30, y: -12 }, picture, frame), frame);
    expect([after.x - before.x, after.y - before.y]).toEqual([expect.closeTo(30, 6), expect.closeTo(-12, 6)]);
  });

  test("the whole picture can't be moved", () => {
    expect(moved(whole, { x: 40, y: 40 }, picture, frame)).toEqual(whole);
  });
});

describe("a frame that changes its shape", () => {
  test("goes on showing the same place, as far as it can", () => {
    const view = zoomed(whole, 4, { x: -200, y: 100 }, picture, { width: 960, height: 540 });
    const full = bounded(view, picture, { width: 1920, height: 1080 });
    expect(full).toEqual(view);
    const tall = bounded(view, picture, { width: 390, height: 844 });
    expect(tall.scale).toBe(4);
    for (const [before, after] of overlap(tall, { width: 390, height: 844 })) expect(Math.min(before, after)).toBeGreaterThan(-1e-6);
  });
});

describe("what is seen", () => {
  const frame = { width: 960, height: 540 };
  test("is the part around the middle, in the picture's own pixels", () => {
    expect(seen({ scale: 2, x: 0.5, y: 0.5 }, picture, frame)).toEqual({ x: 320, y: 180, width: 640, height: 360 });
    expect(seen({ scale: 8, x: 1 - 1 / 16, y: 1 / 16 }, picture, frame)).toEqual({ x: 1120, y: 0, width: 160, height: 90 });
  });

  test("holds every pixel that is seen in part", () => {
    expect(seen({ scale: 3, x: 0.5, y: 0.5 }, picture, frame)).toEqual({ x: 426, y: 240, width: 428, height: 240 });
  });

  test("has the shape of a frame that the picture fills", () => {
    // 4 times in a frame with margins beside it: 400 px of height show a quarter, 1000 px of width show more than that.
    const wide = { width: 1000, height: 400 };
    const view = zoomed(whole, 4, { x: 0, y: 0 }, picture, wide);
    const part = seen(view, picture, wide);
    expect(part.height).toBe(180);
    expect(part.width).toBe(450);
  });

  test("stays inside the picture", () => {
    const view = moved(zoomed(whole, 2.7, { x: 0, y: 0 }, picture, frame), { x: -5000, y: -5000 }, picture, frame);
    const part = seen(view, picture, frame);
    expect([part.x + part.width, part.y + part.height]).toEqual([1280, 720]);
  });
});
