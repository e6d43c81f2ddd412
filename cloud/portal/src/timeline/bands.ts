// The coverage of several cameras at once: one band each, or all of them as one. Pure functions.
import type { Range } from "../api/types";
import { isVideo, lookOf, narrowestGap } from "./coverage";
import { type View, xOf } from "./scale";

/** One camera's band. */
export interface Band {
  camera: string;
  name: string;
  site: string;
  ranges: readonly Range[];
  /** Its site can't be asked: only what the cloud keeps of it can be played. */
  dark: boolean;
}

/** What can be said of a camera at a moment, the best first. */
export const kinds = ["video", "unknown", "intended", "gap"] as const;
export type Kind = (typeof kinds)[number];

export type Counts = Record<Kind, number>;

/** A time in which it is the same for as many cameras. */
export interface Share extends Counts {
  start_us: number;
  end_us: number;
}

const nothing: Counts = { video: 0, unknown: 0, intended: 0, gap: 0 };

/** What is the case in a range of a band. */
export function kindOf(range: Range): Kind {
  if (isVideo(range.state)) return "video";
  const look = lookOf(range);
  return look === "gap" || look === "intended" ? look : "unknown";
}

/** The same where only what can be played counts: a dark site's own disk is out of reach. */
export const playable = (range: Range, band: Pick<Band, "dark">): Kind => (band.dark && isVideo(range.state) && range.state !== "cloud" ? "gap" : kindOf(range));

/** How many cameras have video at every time, sorted and without a hole; what no answer covers is unknown. */
export function shares(bands: readonly Band[], kind: (range: Range, band: Band) => Kind = kindOf): Share[] {
  const edges: { us: number; kind: Kind; by: 1 | -1 }[] = [];
  for (const band of bands) {
    for (const range of band.ranges) {
      const of = kind(range, band);
      edges.push({ us: range.start_us, kind: of, by: 1 }, { us: range.end_us, kind: of, by: -1 });
    }
  }
  edges.sort((a, b) => a.us - b.us);
  const found: Share[] = [];
  const counts = { ...nothing };
  for (const [at, edge] of edges.entries()) {
    counts[edge.kind] += edge.by;
    const end_us = edges[at + 1]?.us;
    if (end_us === undefined || end_us === edge.us) continue;
    const now = { ...counts };
    now.unknown = bands.length - now.video - now.intended - now.gap;
    const last = found.at(-1);
    if (last && kinds.every((each) => last[each] === now[each])) last.end_us = end_us;
    else found.push({ start_us: edge.us, end_us, ...now });
  }
  return found;
}

/** The share that holds a moment. */
export const shareAt = (all: readonly Share[], us: number): Share | undefined => all.find(({ start_us, end_us }) => start_us <= us && us < end_us);

/** Where any of them has video, as the ranges of one camera: a gap is a time in which none has. */
export function together(all: readonly Share[]): Range[] {
  const found: Range[] = [];
  for (const { start_us, end_us, video, unknown } of all) {
    const state = video > 0 ? "site" : unknown > 0 ? "unknown" : "gap";
    const last = found.at(-1);
    if (last?.state === state) last.end_us = end_us;
    else found.push({ start_us, end_us, state });
  }
  return found;
}

export interface Column extends Counts {
  x: number;
  width: number;
}

/** What to paint of the shares, in pixels, from left to right. Of the times that fall into the same pixels the one with the
 *  most gaps counts: no gap hides. */
export function columns(all: readonly Share[], view: View, width: number): Column[] {
  const found: Column[] = [];
  for (const share of all) {
    if (share.end_us <= view.fromUs || share.start_us >= view.toUs) continue;
    const x = Math.max(0, xOf(share.start_us, view, width));
    const end = Math.min(width, xOf(share.end_us, view, width));
    const { video, unknown, intended, gap } = share;
    const column = { x, width: end - x, video, unknown, intended, gap };
    const last = found.at(-1);
    if (last && last.width < narrowestGap && column.width < narrowestGap) found[found.length - 1] = { ...(gap > last.gap ? column : last), x: last.x, width: end - last.x };
    else found.push(column);
  }
  for (const column of found) {
    if (column.gap > 0 && column.width < narrowestGap) column.width = narrowestGap;
  }
  return found;
}

/** How high each of so many bands is, and what lies between two, in pixels: a wall of 36 takes as much room as a few. */
export function rowsFor(count: number): { height: number; between: number } {
  const height = Math.max(2, Math.min(12, Math.floor(76 / Math.max(1, count))));
  return height >= 5 ? { height: height - 1, between: 1 } : { height, between: 0 };
}
