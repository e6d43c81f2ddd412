// Wall times are microseconds since 1970 (as everywhere in Holdfast); they are exact in a double until the
// year 2255. Everything that shows a moment names the time zone it is shown in: the site's own.

export const MS = 1_000;
export const SECOND = 1_000_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** The viewer's own zone, as an IANA name. */
export const hereZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

export const nowUs = (): number => Date.now() * MS;

const formats = new Map<string, Intl.DateTimeFormat>();

function format(zone: string, name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${zone}|${name}`;
  let found = formats.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat("en-GB", { timeZone: validZone(zone), ...options });
    formats.set(key, found);
  }
  return found;
}

/** The zone itself if this browser knows it, else UTC: a wrong name at a site must not break a page. */
export function validZone(zone: string | undefined): string {
  if (!zone) return "UTC";
  try {
    new Intl.DateTimeFormat("en-GB", { timeZone: zone });
    return zone;
  } catch {
    return "UTC";
  }
}

const asDate = (us: number): Date => new Date(us / MS);

/** "14:03" */
export const clock = (us: number, zone: string): string =>
  format(zone, "clock", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(asDate(us));

/** "14:03:22" */
export const clockSeconds = (us: number, zone: string): string =>
  format(zone, "seconds", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(asDate(us));

/** "14:03:22.067" */
export const clockMillis = (us: number, zone: string): string =>
  `${clockSeconds(us, zone)}.${String(Math.floor(us / MS) % 1000).padStart(3, "0")}`;

/** "Mon 23 Nov" */
export const dayName = (us: number, zone: string): string =>
  format(zone, "day", { weekday: "short", day: "numeric", month: "short" }).format(asDate(us)).replace(",", "");

/** "23 Nov 2026" */
export const dayDate = (us: number, zone: string): string =>
  format(zone, "date", { day: "numeric", month: "short", year: "numeric" }).format(asDate(us));

/** "CET", "GMT+1": the zone's short name at that moment. */
export function zoneName(us: number, zone: string): string {
  const parts = format(zone, "zone", { timeZoneName: "short", hour: "numeric" }).formatToParts(asDate(us));
  return parts.find((part) => part.type === "timeZoneName")?.value ?? zone;
}

/** How far the zone's wall clock is ahead of UTC at that moment. */
export function zoneOffsetUs(us: number, zone: string): number {
  const seconds = Math.floor(us / SECOND);
  const parts = format(zone, "parts", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  }).formatToParts(new Date(seconds * 1000));
  const part = (type: Intl.DateTimeFormatPartTypes) => Number(parts.find((found) => found.type === type)?.value ?? 0);
  const wall = Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute"), part("second"));
  return (wall / 1000 - seconds) * SECOND;
}

/** The first moment of the day, in the zone, that holds the given moment. */
export function startOfDay(us: number, zone: string): number {
  const local = us + zoneOffsetUs(us, zone);
  return fromLocal(Math.floor(local / DAY) * DAY, zone);
}

/** The moment at which the zone's wall clock shows `localUs`: of two such moments the earlier, and for a time that
 *  summer time skips the moment of the skip plus what the time lies behind it. */
export function fromLocal(localUs: number, zone: string): number {
  const byBefore = localUs - zoneOffsetUs(localUs - DAY, zone);
  const byAfter = localUs - zoneOffsetUs(localUs + DAY, zone);
  const shown = [byBefore, byAfter].filter((us) => zoneOffsetUs(us, zone) === localUs - us);
  return shown.length > 0 ? Math.min(...shown) : byBefore;
}

/** "today", "yesterday" or "Mon 23 Nov", in the zone. */
export function dayWord(us: number, zone: string, now: number = nowUs()): string {
  const day = startOfDay(us, zone);
  const today = startOfDay(now, zone);
  if (day === today) return "today";
  if (day === startOfDay(today - HOUR, zone)) return "yesterday";
  return dayName(us, zone);
}

/** "today 14:03", "yesterday 14:03", "Mon 23 Nov 14:03" */
export const moment = (us: number, zone: string, now?: number): string => `${dayWord(us, zone, now)} ${clock(us, zone)}`;

/** "23 Nov 2026 14:03:22 CET": nothing left to guess. */
export const fullMoment = (us: number, zone: string): string =>
  `${dayDate(us, zone)} ${clockSeconds(us, zone)} ${zoneName(us, zone)}`;

/** The value of an <input type="datetime-local"> for a moment, in the zone, to the second. */
export const momentInput = (us: number, zone: string): string => new Date((us + zoneOffsetUs(us, zone)) / MS).toISOString().slice(0, 19);

/** The moment that an <input type="datetime-local"> names, or undefined when it is empty or not one. */
export function fromMomentInput(value: string, zone: string): number | undefined {
  const ms = Date.parse(`${value}Z`);
  return Number.isNaN(ms) ? undefined : fromLocal(ms * MS, zone);
}

/** The value of an <input type="date"> for a moment, in the zone. */
export const dateInput = (us: number, zone: string): string => momentInput(us, zone).slice(0, 10);

/** The first moment of the day that an <input type="date"> names, or undefined when it is empty or not a date. */
export const fromDateInput = (value: string, zone: string): number | undefined => fromMomentInput(`${value}T00:00:00`, zone);
