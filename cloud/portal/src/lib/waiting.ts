// What waits at a site for its line, and how long that will take at the speed of now.
import type { components } from "../api/schema";
import { MINUTE, SECOND } from "./time";

export type Queue = components["schemas"]["QueueInfo"];
export type Loss = components["schemas"]["ClipLoss"];

/** Whether stepping down to the small stream can still be chosen against a loss. */
export const offered = (loss: Loss): boolean => !loss.step_down && loss.sub_bytes !== undefined && loss.sub_bytes < loss.bytes;

/** When the reports that wait will have gone, in microseconds from now; undefined while that can't be said. */
export function factsLeft(queue: Queue): number | undefined {
  return queue.facts > 0 && queue.facts_minute > 0 ? (queue.facts / queue.facts_minute) * MINUTE : undefined;
}

/** The same of clips: at the speed at which they go, or at what the line allows when none goes at this moment. */
export function clipsLeft(queue: Queue): number | undefined {
  const rate = queue.clip_rate > 0 ? queue.clip_rate : lineRate(queue);
  return queue.clip_bytes > 0 && rate > 0 ? (queue.clip_bytes / rate) * SECOND : undefined;
}

/** What the line carries under its cap, in bytes per second; 0 while that is not known. */
export function lineRate(queue: Queue): number {
  const rates = [queue.line_rate, queue.cap].filter((rate) => rate > 0);
  return rates.length > 0 ? Math.min(...rates) : 0;
}
