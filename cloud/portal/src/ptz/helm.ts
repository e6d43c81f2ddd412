// Orders to a camera that turns and zooms. What is held down is said again while it is held, since the site stops a camera of
// which it hears nothing for a second, and is taken back the moment it is let go.
import type { PTZRequest, Turn } from "../api/types";

/** Speeds: -1 to 1, to the right, up and closer above 0. */
export interface Way {
  pan: number;
  tilt: number;
  zoom: number;
}

export const rest: Way = { pan: 0, tilt: 0, zoom: 0 };

/** A move that is held is said again so often. */
const renewMs = 350;
/** Other speeds are not said more often than this. */
const leastMs = 80;

export type Order = Omit<PTZRequest, "number">;
export type Send = (order: PTZRequest) => Promise<Turn>;
/** Hears what became of an order: whose turn it is, or the error. */
export type Told = (turn: Turn | undefined, error?: unknown) => void;

const same = (a: Way, b: Way): boolean => a.pan === b.pan && a.tilt === b.tilt && a.zoom === b.zoom;

export class Helm {
  private way = rest;
  private flying = false; // an order to move is on its way
  private timer: ReturnType<typeof setTimeout> | undefined;
  private sentMs = -Infinity;
  private number = 0;

  constructor(private readonly send: Send, private readonly told: Told) {}

  /** Moves at these speeds until it is told otherwise. */
  hold(way: Way): void {
    if (same(way, this.way)) return;
    this.way = way;
    clearTimeout(this.timer);
    if (same(way, rest)) void this.say({ act: "stop" });
    else this.move();
  }

  /** Does one thing. */
  once(order: Order): void {
    this.way = rest;
    clearTimeout(this.timer);
    void this.say(order);
  }

  /** Lets go; the camera stands still then. */
  close(): void {
    this.hold(rest);
  }

  private move(): void {
    if (this.flying) return; // it goes on when that one is back, with the speeds of then
    const wait = this.sentMs + leastMs - performance.now();
    if (wait > 0) {
      this.timer = setTimeout(() => this.move(), wait);
      return;
    }
    this.flying = true;
    this.sentMs = performance.now();
    const { way } = this;
    void this.say({ act: "move", ...way }).then((good) => {
      this.flying = false;
      if (!good) this.way = rest; // whoever still holds it must press anew
      if (same(this.way, rest)) return;
      const again = same(this.way, way) ? this.sentMs + renewMs - performance.now() : 0;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.move(), Math.max(0, again));
    });
  }

  private async say(order: Order): Promise<boolean> {
    this.number = Math.max(this.number + 1, Date.now());
    try {
      this.told(await this.send({ ...order, number: this.number }));
      return true;
    } catch (error) {
      this.told(undefined, error);
      return false;
    }
  }
}

/** Less than this share of the pad's radius is its middle. */
const middle = 0.16;

/** The way that a pad leads when it is held so far from its middle, in radii to the right and up: one of eight, the
 *  faster the further out. */
export function padWay(x: number, y: number): Way {
  const out = Math.hypot(x, y);
  if (out < middle) return rest;
  const eighth = Math.PI / 4;
  const angle = Math.round(Math.atan2(y, x) / eighth) * eighth;
  const speed = Math.max(0.05, ((Math.min(out, 1) - middle) / (1 - middle)) ** 1.5);
  const part = (share: number) => Math.round(share * speed * 100) / 100 || 0; // no -0
  return { pan: part(Math.cos(angle)), tilt: part(Math.sin(angle)), zoom: 0 };
}

/** The keys, by what they say: the arrows turn, plus and minus zoom. */
const keys: Record<string, Partial<Way>> = {
  ArrowLeft: { pan: -1 }, ArrowRight: { pan: 1 }, ArrowUp: { tilt: 1 }, ArrowDown: { tilt: -1 },
  "+": { zoom: 1 }, "=": { zoom: 1 }, "-": { zoom: -1 },
};

const keySpeed = 0.5;

/** The keys that are held down, and where they lead together. */
export class HeldKeys {
  private readonly held = new Map<string, Partial<Way>>(); // by the place on the keyboard: what it says may change with Shift

  /** Whether the key is one of ours. */
  press(key: string, code: string): boolean {
    const way = keys[key];
    if (way) this.held.set(code, way);
    return way !== undefined;
  }

  lift(code: string): boolean {
    return this.held.delete(code);
  }

  clear(): void {
    this.held.clear();
  }

  way(): Way {
    const sum = { ...rest };
    for (const way of this.held.values()) {
      for (const axis of ["pan", "tilt", "zoom"] as const) sum[axis] += way[axis] ?? 0;
    }
    const speed = (v: number) => Math.max(-1, Math.min(1, v)) * keySpeed;
    return { pan: speed(sum.pan), tilt: speed(sum.tilt), zoom: speed(sum.zoom) };
  }
}
