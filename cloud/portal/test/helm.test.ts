import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { ApiError } from "../src/api/errors";
import type { PTZRequest, Turn } from "../src/api/types";
import { HeldKeys, Helm, padWay, rest } from "../src/ptz/helm";

const turn: Turn = { name: "Ana", mine: true, left_ms: 15_000, may_take: false };

/** A helm on a far end that answers after so long. */
function helmAt(answerMs: number, fail?: (order: PTZRequest) => Error | undefined) {
  const orders: PTZRequest[] = [];
  const errors: unknown[] = [];
  const helm = new Helm(async (order) => {
    orders.push(order);
    await new Promise((done) => setTimeout(done, answerMs));
    const error = fail?.(order);
    if (error) throw error;
    return turn;
  }, (_, error) => { if (error) errors.push(error); });
  return { helm, orders, errors };
}

describe("the helm", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  test("what is held is said again, and taken back at once", async () => {
    const { helm, orders } = helmAt(20);
    helm.hold({ ...rest, pan: 0.5 });
    await vi.advanceTimersByTimeAsync(2000);
    const moves = orders.length;
    expect(moves).toBeGreaterThanOrEqual(5);
    expect(moves).toBeLessThanOrEqual(7);
    expect(orders.every((order) => order.act === "move" && order.pan === 0.5)).toBe(true);
    helm.hold(rest);
    expect(orders[moves]).toMatchObject({ act: "stop" });
    await vi.advanceTimersByTimeAsync(5000);
    expect(orders).toHaveLength(moves + 1);
    for (let i = 1; i < orders.length; i++) expect(orders[i]!.number).toBeGreaterThan(orders[i - 1]!.number);
  });

  test("a stop does not wait for a slow answer", async () => {
    const { helm, orders } = helmAt(3000);
    helm.hold({ ...rest, tilt: 1 });
    await vi.advanceTimersByTimeAsync(100);
    helm.hold(rest);
    expect(orders.map((order) => order.act)).toEqual(["move", "stop"]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(orders).toHaveLength(2);
  });

  test("of many speeds the newest goes, and one order at a time", async () => {
    const { helm, orders } = helmAt(200);
    for (let i = 1; i <= 50; i++) {
      helm.hold({ ...rest, pan: i / 50 });
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(orders.length).toBeLessThanOrEqual(4);
    await vi.advanceTimersByTimeAsync(210);
    expect(orders.at(-1)).toMatchObject({ act: "move", pan: 1 });
    helm.close();
  });

  test("a refusal ends it, until it is pressed anew", async () => {
    const { helm, orders, errors } = helmAt(5, () => new ApiError(409, "Vera moves this camera."));
    helm.hold({ ...rest, zoom: 1 });
    await vi.advanceTimersByTimeAsync(3000);
    expect(orders).toHaveLength(1);
    expect(errors).toHaveLength(1);
    helm.hold({ ...rest, zoom: 1 });
    expect(orders).toHaveLength(2);
  });
});

describe("hands", () => {
  test("the pad leads eight ways, faster further out", () => {
    expect(padWay(0.1, 0.1)).toEqual(rest);
    expect(padWay(1, 0.1)).toEqual({ pan: 1, tilt: 0, zoom: 0 });
    expect(padWay(0.02, -3)).toEqual({ pan: 0, tilt: -1, zoom: 0 });
    const corner = padWay(-0.9, 0.8);
    expect(corner.pan).toBe(-corner.tilt);
    expect(padWay(0.5, 0).pan).toBeLessThan(0.5);
    expect(padWay(0.17, 0).pan).toBeGreaterThan(0);
  });

  test("keys add up, and are lifted by their place", () => {
    const keys = new HeldKeys();
    expect(keys.press("a", "KeyA")).toBe(false);
    expect(keys.press("ArrowLeft", "ArrowLeft") && keys.press("ArrowUp", "ArrowUp") && keys.press("+", "Equal")).toBe(true);
    expect(keys.way()).toEqual({ pan: -0.5, tilt: 0.5, zoom: 0.5 });
    expect(keys.lift("Equal")).toBe(true);
    expect(keys.lift("Equal")).toBe(false);
    keys.press("ArrowRight", "ArrowRight");
    expect(keys.way()).toEqual({ pan: 0, tilt: 0.5, zoom: 0 });
    keys.clear();
    expect(keys.way()).toEqual(rest);
  });
});
