// What stands under a snapshot: whose picture it is, and of which moment, with what is known of that moment and no more.
import { offset } from "../lib/format";
import { clockMillis, clockSeconds, dayDate, SECOND, zoneName } from "../lib/time";
import { text } from "../text";
import type { Size } from "./zoom";

/** The moment of a picture on the screen. */
export interface Moment {
  atUs: number;
  recorded: boolean;
  /** Known to the picture; else to about a second. */
  exact: boolean;
  /** Whose clock says so. */
  clock: "site" | "cloud" | "viewer";
  /** What is to be added to the site's clock as it was when this was recorded; as it is now where that is not known. */
  offUs?: number | undefined;
}

/** Whose picture it is. */
export interface Origin {
  site: string;
  camera: string;
  zone: string;
  /** The site's clock minus the cloud's, as measured last. */
  clockOffsetUs: number;
}

/** A clock that is off by less counts as right, here as elsewhere in the portal: over a busy line the two are compared no
 *  better than to a few tenths. */
const wrongUs = SECOND;

/** The site's clock minus the cloud's at the moment; 0 where it is right, or another clock's word. */
function error(moment: Moment, clockOffsetUs: number): number {
  const us = moment.offUs === undefined ? clockOffsetUs : -moment.offUs;
  return moment.clock === "site" && Math.abs(us) >= wrongUs ? us : 0;
}

/** The moment, put right where the site's clock is wrong. */
export function corrected(moment: Moment, clockOffsetUs: number): number {
  return moment.atUs - error(moment, clockOffsetUs);
}

/** The lines that tell of the moment, the moment itself first, and last that this is only a part of the whole picture. */
export function told(moment: Moment, { zone, clockOffsetUs }: Origin, part: Size, whole: Size): string[] {
  const atUs = corrected(moment, clockOffsetUs);
  const wrong = error(moment, clockOffsetUs);
  const clock = (us: number, exact: boolean) => (exact ? clockMillis(us, zone).slice(0, -1) : clockSeconds(us, zone));
  const { stamp } = text;
  const how = moment.recorded ? (moment.exact ? stamp.recorded : stamp.recordedMoving) : moment.exact ? stamp.live : stamp.liveUnknown;
  const lines = [`${dayDate(atUs, zone)} ${clock(atUs, moment.exact && wrong === 0)} ${zoneName(atUs, zone)}`, how];
  if (wrong !== 0) lines.push(stamp.corrected(clock(moment.atUs, moment.exact), offset(wrong)));
  if (part.width < whole.width || part.height < whole.height) lines.push(stamp.part(pixels(part), pixels(whole)));
  return lines;
}

const pixels = ({ width, height }: Size): string => `${width} × ${height}`;

/** The words, or as many of their letters as fit, with a sign that some are missing. */
export function shortened(words: string, room: number, widthOf: (words: string) => number): string {
  if (widthOf(words) <= room) return words;
  const letters = [...words];
  let [fits, long] = [0, letters.length];
  const cut = (count: number) => `${letters.slice(0, count).join("").trimEnd()}…`;
  while (fits < long - 1) {
    const half = (fits + long) >> 1;
    if (widthOf(cut(half)) <= room) fits = half;
    else long = half;
  }
  return cut(fits);
}
