// Figures as people read them: short, honest about what is not known, never more precise than useful.
import { DAY, HOUR, MINUTE, SECOND } from "./time";

/** "1 camera", "3 cameras" */
export const plural = (count: number, one: string, many: string): string => `${whole(count)} ${count === 1 ? one : many}`;

const thousands = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** "12 345", with narrow spaces, so that no one takes a comma for a point. */
export const whole = (count: number): string => thousands.format(count).replaceAll(",", "\u202f");

const byteUnits = ["B", "kB", "MB", "GB", "TB", "PB"];

/** "4.2 GB", decimal units as disks are sold. */
export function bytes(count: number): string {
  let unit = 0;
  let value = Math.max(0, count);
  while (value >= 999.5 && unit < byteUnits.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)}\u00a0${byteUnits[unit]}`;
}

/** "850 kbit/s", "2.4 Mbit/s" */
export function bitrate(kbps: number): string {
  return kbps < 1000 ? `${Math.round(kbps)} kbit/s` : `${(kbps / 1000).toFixed(1)} Mbit/s`;
}

/** "8 s", "3 min 12 s", "2 h 5 min", "4 days": two units at most. */
export function duration(us: number): string {
  const span = Math.abs(us);
  if (span < SECOND) return span === 0 ? "0 s" : "under 1 s";
  if (span < MINUTE) return `${Math.floor(span / SECOND)} s`;
  if (span < HOUR) return pair(span, MINUTE, "min", SECOND, "s");
  if (span < 2 * DAY) return pair(span, HOUR, "h", MINUTE, "min");
  return `${Math.floor(span / DAY)} days`;
}

function pair(span: number, big: number, bigName: string, small: number, smallName: string): string {
  const head = Math.floor(span / big);
  const rest = Math.floor((span - head * big) / small);
  return rest === 0 ? `${head} ${bigName}` : `${head} ${bigName} ${rest} ${smallName}`;
}

/** "8 s ago", "3 min ago", "2 h ago", "4 days ago": one unit, for something that goes on ageing on the screen. */
export function age(us: number): string {
  if (us < 2 * SECOND) return "just now";
  return `${ageSpan(us)} ago`;
}

/** The same without "ago". */
export function ageSpan(us: number): string {
  const span = Math.max(0, us);
  if (span < MINUTE) return `${Math.floor(span / SECOND)} s`;
  if (span < HOUR) return `${Math.floor(span / MINUTE)} min`;
  if (span < 2 * DAY) return `${Math.floor(span / HOUR)} h`;
  return `${Math.floor(span / DAY)} days`;
}

/** "04:59" for a countdown, "1:04:59" above an hour. */
export function countdown(us: number): string {
  const left = Math.max(0, Math.ceil(us / SECOND));
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(left / 60);
  return minutes < 60 ? `${two(minutes)}:${two(left % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(left % 60)}`;
}

/** "12 %"; "under 1 %" and never "100 %" before it is true. */
export function percent(share: number): string {
  if (share <= 0) return "0 %";
  if (share >= 1) return "100 %";
  return share < 0.01 ? "under 1 %" : `${Math.min(99, Math.floor(share * 100))} %`;
}

/** "11 days", "9 h" of disk left; undefined when it is not yet known. */
export function daysLeft(days: number | undefined): string | undefined {
  if (days === undefined || days <= 0) return undefined;
  return days < 2 ? `${Math.round(days * 24)} h` : `${Math.floor(days)} days`;
}

/** "+0.4 s", "−12 ms" of a clock */
export function offset(us: number): string {
  const sign = us < 0 ? "\u2212" : "+";
  const span = Math.abs(us);
  if (span < SECOND) return `${sign}${Math.round(span / 1000)} ms`;
  return span < MINUTE ? `${sign}${(span / SECOND).toFixed(1)} s` : `${sign}${duration(span)}`;
}

/** "H.264", "H.265" out of an RFC 6381 codecs string; the string itself when it is none of those known here. */
export function codecName(codec: string): string {
  const head = codec.split(".")[0]?.toLowerCase() ?? "";
  const names: Record<string, string> = {
    avc1: "H.264", avc3: "H.264", h264: "H.264", hvc1: "H.265", hev1: "H.265", h265: "H.265", hevc: "H.265",
    av01: "AV1", mp4a: "AAC", opus: "Opus", pcma: "G.711 A-law", pcmu: "G.711 µ-law",
  };
  return names[head] ?? codec;
}

/** True for the codec names that browsers here cannot decode everywhere. */
export const isH265 = (codec: string | undefined): boolean => codec !== undefined && codecName(codec) === "H.265";
