// The timeline's arithmetic: which moment is where, how to zoom and pan, where ticks go. Pure functions.
import { DAY, fromLocal, HOUR, MINUTE, SECOND, zoneOffsetUs } from "../lib/time";

/** What is shown: moments from `fromUs` up to `toUs`, microseconds. */
export interface View {
  fromUs: number;
  toUs: number;
}

export const shortestSpan = MINUTE;
export const longestSpan = 31 * DAY;

/** The spans that have a button. */
export const spans = [5 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY] as const;

/** Where "now" stands in a view that follows it. */
export const nowShare = 0.88;

export const spanOf = (view: View): number => view.toUs - view.fromUs;

export const xOf = (us: number, view: View, width: number): number => ((us - view.fromUs) / spanOf(view)) * width;

export const usAt = (x: number, view: View, width: number): number => view.fromUs + (x / width) * spanOf(view);

/** A view of the given span that follows now. */
export function following(nowUs: number, span: number): View {
  const fromUs = nowUs - span * nowShare;
  return { fromUs, toUs: fromUs + span };
}

/** A view of the given span around a moment, which never looks further ahead than one that follows now. */
export function around(atUs: number, span: number, nowUs: number): View {
  return bounded({ fromUs: atUs - span / 2, toUs: atUs + span / 2 }, nowUs);
}

/** The view kept inside what can be looked at: not beyond what a following view shows of the future. */
export function bounded(view: View, nowUs: number): View {
  const span = clamp(spanOf(view), shortestSpan, longestSpan);
  const latest = nowUs + span * (1 - nowShare);
  const middle = (view.fromUs + view.toUs) / 2;
  const toUs = Math.min(middle + span / 2, latest);
  return { fromUs: toUs - span, toUs };
}

/** The view zoomed by a factor (below 1: closer) with the moment `atUs` staying where it is. */
export function zoomed(view: View, factor: number, atUs: number, nowUs: number): View {
  const span = clamp(spanOf(view) * factor, shortestSpan, longestSpan);
  const share = (atUs - view.fromUs) / spanOf(view);
  const fromUs = atUs - span * share;
  return bounded({ fromUs, toUs: fromUs + span }, nowUs);
}

export const panned = (view: View, byUs: number, nowUs: number): View =>
  bounded({ fromUs: view.fromUs + byUs, toUs: view.toUs + byUs }, nowUs);

export const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

const steps = [
  SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
  DAY, 2 * DAY, 3 * DAY, 7 * DAY, 14 * DAY,
] as const;

/** What a turn of the wheel over `atUs` makes of a view: with Shift, or sideways, it moves, else it zooms. */
export function wheeled(view: View, turn: Pick<WheelEvent, "deltaX" | "deltaY" | "shiftKey">, atUs: number, width: number, nowUs: number): View {
  const sideways = turn.shiftKey ? turn.deltaY || turn.deltaX : turn.deltaX;
  if (turn.shiftKey || Math.abs(turn.deltaX) > Math.abs(turn.deltaY)) return panned(view, (sideways / width) * spanOf(view), nowUs);
  return zoomed(view, Math.exp(clamp(turn.deltaY, -120, 120) * 0.0032), atUs, nowUs);
}

export interface Tick {
  us: number;
  /** Midnight in the zone: it carries the day's name. */
  day: boolean;
}

/** The distance between labelled ticks so that each has at least `room` pixels. */
export function tickStep(view: View, width: number, room: number): number {
  const smallest = (spanOf(view) / width) * room;
  return steps.find((step) => step >= smallest) ?? 14 * DAY;
}

/** Ticks at round wall-clock times of the zone, right across changes of summer time. */
export function ticks(view: View, step: number, zone: string): Tick[] {
  const found: Tick[] = [];
  let local = Math.floor((view.fromUs + zoneOffsetUs(view.fromUs, zone)) / step) * step;
  for (let count = 0; count < 400; count++, local += step) {
    const us = fromLocal(local, zone);
    if (us > view.toUs) break;
    // A wall-clock time that summer time skips maps to a neighbour: never label it twice.
    if (us < view.fromUs || us <= (found.at(-1)?.us ?? -Infinity)) continue;
    found.push({ us, day: local % DAY === 0 });
  }
  return found;
}

/** How far one press of an arrow key moves: about an eightieth of what is shown, rounded to a natural step. */
export function keyStep(view: View): number {
  const wanted = spanOf(view) / 80;
  const natural = [SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR];
  return natural.findLast((step) => step <= wanted) ?? SECOND;
}

/** The range to ask the cloud for: wider than the view and snapped, so that small pans ask nothing new. */
export function askedRange(view: View, nowUs: number): View {
  const span = spanOf(view);
  const grid = 2 ** Math.floor(Math.log2(span / 4 / SECOND)) * SECOND;
  const fromUs = Math.floor((view.fromUs - span / 4) / grid) * grid;
  const toUs = Math.ceil((view.toUs + span / 4) / grid) * grid;
  // The future has no coverage; the end is snapped up so that the question stays the same for a while.
  const latest = Math.ceil(nowUs / grid) * grid;
  return { fromUs, toUs: Math.max(fromUs + grid, Math.min(toUs, latest)) };
}
