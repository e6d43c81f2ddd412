// Where a jump from a moment goes: the events and the gaps around it.
import { HOUR, MINUTE, SECOND } from "../lib/time";
import type { Event, Range } from "../api/types";
import { neighbourGap, nextVideo, previousVideo, wholeGap } from "./coverage";

/** Asks for the events in a range, newest first, and whether there are more than those. */
export type AskEvents = (fromUs: number, toUs: number) => Promise<{ events: readonly Event[]; more: boolean }>;

/** Whoever has just come to an event and wishes for the one before does not mean the same. */
const passedUs = 2 * SECOND;
/** Before a gap, so much of the video is shown. */
const beforeGapUs = 10 * SECOND;

/** The last event before a moment. */
export async function eventBefore(ask: AskEvents, us: number): Promise<Event | undefined> {
  return (await ask(0, Math.max(0, us - passedUs))).events[0];
}

/** The first event after a moment: the list is newest first, so it is looked for nearby, then further and further away. */
export async function eventAfter(ask: AskEvents, us: number, nowUs: number): Promise<Event | undefined> {
  let reach = HOUR;
  for (let fromUs = us + 1; fromUs < nowUs;) {
    const toUs = Math.min(fromUs + reach, nowUs);
    const { events, more } = await ask(fromUs, toUs);
    if (more && reach > MINUTE) {
      reach /= 4;
      continue;
    }
    const first = events.at(-1);
    if (first) return first;
    fromUs = toUs;
    reach *= 4;
  }
  return undefined;
}

/** Where video goes on behind the gap that is next, or the last moments before the gap that was last. */
export function overGap(ranges: readonly Range[], us: number, direction: 1 | -1): number | undefined {
  const gap = neighbourGap(ranges, us, direction);
  if (!gap) return undefined;
  const whole = wholeGap(ranges, gap);
  if (direction === 1) return nextVideo(ranges, whole.end_us);
  const before = previousVideo(ranges, whole.start_us);
  return before && Math.max(before.start_us, whole.start_us - beforeGapUs);
}
