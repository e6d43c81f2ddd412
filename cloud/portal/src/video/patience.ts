// How long a picture may take to come, and what is to be made of one that does not.
import type { Phase } from "./snapshot";

const firstPictureMs = 12_000;
const stallMs = 4_000;
const giveUpMs = 9_000;
/** Backwards a picture comes for each of the camera's key frames, which are no further apart. */
const slowestKeyMs = 20_000;

/** What there is to judge by. */
export interface Pause {
  /** For how long nothing has moved. */
  ms: number;
  /** For how long the far end has said nothing. */
  silentMs: number;
  /** How far apart it says that pictures are at most, because the line has no room for more; 0: it leaves none out. */
  apartMs: number;
  /** Of playback. */
  rate: number;
}

/** never: no first picture comes; over: what has stalled does not go on; none: what was taken for a stall is none. */
export type Verdict = "wait" | "never" | "stalled" | "over" | "none";

/** What it means that nothing moves. Where pictures are left out, the far end is there as long as it says something. */
export function judge(phase: Phase, { ms, silentMs, apartMs, rate }: Pause): Verdict {
  const apart = Math.max(apartMs, rate < 0 ? slowestKeyMs : 0) / Math.abs(rate);
  const still = ms - apart;
  if (phase === "waiting") return still > firstPictureMs ? "never" : "wait";
  if (phase !== "playing" && phase !== "stalled") return "wait";
  const stalls = phase === "playing";
  if (apartMs === 0) return still > (stalls ? stallMs : giveUpMs) ? (stalls ? "stalled" : "over") : "wait";
  const silent = Math.min(ms, silentMs);
  if (silent > stallMs) return stalls ? "stalled" : silent > giveUpMs ? "over" : "wait";
  // A picture that was lost on the way is followed by the next one, which may take as long.
  if (still > apart + stallMs) return stalls ? "stalled" : "wait";
  return stalls ? "wait" : "none";
}

/** What a session has seen and heard of late. */
export class Patience {
  movedMs = 0;
  private heardMs = 0;
  private everyMs = 0;
  private apartMs = 0;

  /** Another far end, of which nothing is known. */
  begin(): void {
    this.movedMs = this.heardMs = performance.now();
    this.everyMs = this.apartMs = 0;
  }

  /** There is another picture, or another one is asked for; what was left out before it is so no longer. */
  moves(): void {
    this.movedMs = performance.now();
    this.apartMs = this.everyMs;
  }

  /** The far end has said something. */
  hears(): void {
    this.heardMs = performance.now();
  }

  /** It says how far apart pictures are at most, microseconds, while some are left out. Until the next one they may be as far
   *  apart as before. */
  told(everyUs: number | undefined): void {
    this.everyMs = (everyUs ?? 0) / 1000;
    this.apartMs = Math.max(this.apartMs, this.everyMs);
  }

  judge(phase: Phase, rate: number): Verdict {
    const now = performance.now();
    return judge(phase, { ms: now - this.movedMs, silentMs: now - this.heardMs, apartMs: this.apartMs, rate });
  }
}
