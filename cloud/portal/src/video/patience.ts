// How long a picture may take to come, and what is to be made of one that does not.
import type { Phase } from "./snapshot";

const firstPictureMs = 12_000;
const stallMs = 4_000;
const giveUpMs = 9_000;
/** Backwards a picture comes for each of the camera's key frames, which are no further apart. */
const slowestKeyMs = 20_000;

/** What it means that nothing has moved for so long, at a rate of playback: never: no first picture comes; over: what has
 *  stalled does not go on. */
export function judge(phase: Phase, ms: number, rate: number): "wait" | "never" | "stalled" | "over" {
  const still = ms - (rate < 0 ? slowestKeyMs / -rate : 0);
  if (phase === "waiting") return still > firstPictureMs ? "never" : "wait";
  if (phase === "playing") return still > stallMs ? "stalled" : "wait";
  return phase === "stalled" && still > giveUpMs ? "over" : "wait";
}
