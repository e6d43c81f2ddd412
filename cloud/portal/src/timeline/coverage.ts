// Questions to a list of coverage ranges: sorted by start, without a hole. Pure functions.
import type { CoverageState, Range } from "../api/types";
import { SECOND } from "../lib/time";
import { type View, xOf } from "./scale";

/** The range that holds a moment; ranges are [start, end). */
export function rangeAt(ranges: readonly Range[], us: number): Range | undefined {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle] as Range;
    if (us < range.start_us) high = middle - 1;
    else if (us >= range.end_us) low = middle + 1;
    else return range;
  }
  return undefined;
}

/** True for what can be played: recorded at the site or kept in the cloud, or so new that it is on its way. */
export const isVideo = (state: CoverageState): boolean => state === "site" || state === "cloud" || state === "in_flight";

/** Reasons of gaps that somebody wished or that retention brings: true, declared, and nothing to worry about. */
const intended: readonly string[] = ["not_configured", "disabled", "schedule", "expired", "deleted_by_person"];

/** True for a gap that is as it should be. */
export const isIntended = (range: Range): boolean => range.state === "gap" && intended.includes(range.reason ?? "");

/** How a range looks: its state, but gaps that are as they should be look calmer. */
export type Look = CoverageState | "intended";

export const lookOf = (range: Range): Look => (isIntended(range) ? "intended" : range.state);

/** The first moment at or after `us` that has video. */
export function nextVideo(ranges: readonly Range[], us: number): number | undefined {
  const range = ranges.find((found) => found.end_us > us && isVideo(found.state));
  return range && Math.max(range.start_us, us);
}

/** The end of the last video before `us`. */
export function previousVideo(ranges: readonly Range[], us: number): Range | undefined {
  return ranges.findLast((range) => range.start_us < us && isVideo(range.state));
}

/** The start of the next gap after `us`, or of the one before it. */
export function neighbourGap(ranges: readonly Range[], us: number, direction: 1 | -1): Range | undefined {
  return direction === 1
    ? ranges.find((range) => range.state === "gap" && range.start_us > us)
    : ranges.findLast((range) => range.state === "gap" && range.start_us < us);
}

/** The whole gap around a range: neighbours without video joined, so that a person is told the whole time without. */
export function wholeGap(ranges: readonly Range[], range: Range): { start_us: number; end_us: number } {
  const at = ranges.indexOf(range);
  let first = at;
  let last = at;
  while (first > 0 && ranges[first - 1]?.state === "gap") first--;
  while (last < ranges.length - 1 && ranges[last + 1]?.state === "gap") last++;
  return { start_us: (ranges[first] ?? range).start_us, end_us: (ranges[last] ?? range).end_us };
}

/** For how long what was true at an answer is taken to go on, until the next answer comes. */
const goesOnUs = 90 * SECOND;

/** The ranges with their end carried on: an answer ends where its moment was, with the future unknown behind it, but
 *  a camera that was recording then goes on recording, and an open gap stays open. */
export function goingOn(ranges: readonly Range[]): Range[] {
  const last = ranges.at(-1);
  const before = ranges.at(-2);
  if (last?.state !== "unknown" || (before?.state !== "in_flight" && before?.state !== "gap")) return [...ranges];
  const until = Math.min(last.end_us, last.start_us + goesOnUs);
  return [...ranges.slice(0, -2), { ...before, end_us: until }, ...(until < last.end_us ? [{ ...last, start_us: until }] : [])];
}

/** How many gaps that should not be lie in a view, and how long they are inside it. */
export function gapsIn(ranges: readonly Range[], view: View): { count: number; us: number } {
  const isFault = (range: Range) => range.state === "gap" && !isIntended(range);
  let count = 0;
  let us = 0;
  let touching = false;
  for (const range of ranges) {
    const length = Math.min(range.end_us, view.toUs) - Math.max(range.start_us, view.fromUs);
    if (!isFault(range) || length <= 0) {
      if (range.end_us > view.fromUs) touching = false;
      continue;
    }
    if (!touching) count++;
    touching = true;
    us += length;
  }
  return { count, us };
}

/** How much of a view the site has not reported yet. */
export function unknownIn(ranges: readonly Range[], view: View): number {
  return ranges.reduce((us, range) => us + (range.state === "unknown" ? Math.max(0, Math.min(range.end_us, view.toUs) - Math.max(range.start_us, view.fromUs)) : 0), 0);
}

/** How much of [from, to) has no video for sure. */
export function missingIn(ranges: readonly Range[], fromUs: number, toUs: number): number {
  const inside = (range: Range) => Math.max(0, Math.min(range.end_us, toUs) - Math.max(range.start_us, fromUs));
  return ranges.reduce((us, range) => us + (range.state === "gap" ? inside(range) : 0), 0);
}

export interface Block {
  x: number;
  width: number;
  look: Look;
}

/** A gap is never narrower than this on the screen, however short it was: no gap hides. */
export const narrowestGap = 2;

/** What to paint, in pixels: neighbours of one state joined, and gaps last, so that they lie on top. */
export function blocks(ranges: readonly Range[], view: View, width: number): Block[] {
  const under: Block[] = [];
  const over: Block[] = [];
  for (const range of ranges) {
    if (range.end_us <= view.fromUs || range.start_us >= view.toUs) continue;
    const x = Math.max(0, xOf(range.start_us, view, width));
    const end = Math.min(width, xOf(range.end_us, view, width));
    const list = range.state === "gap" ? over : under;
    const last = list.at(-1);
    const look = lookOf(range);
    if (last && last.look === look && x - (last.x + last.width) < 0.5) last.width = Math.max(last.width, end - last.x);
    else list.push({ x, width: end - x, look });
  }
  for (const gap of over) {
    if (gap.width >= narrowestGap) continue;
    gap.x = Math.max(0, gap.x - (narrowestGap - gap.width) / 2);
    gap.width = narrowestGap;
  }
  return [...under, ...over];
}
