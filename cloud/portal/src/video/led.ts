// What a conductor leads, and what it says of it.

/** One recording that is led. Moments are microseconds since 1970 by the cloud's clock. */
export interface Player {
  /** Goes to the picture nearest to a moment and stands there. Where there is none it is the next one after it; backwards it
   *  may be the one before. */
  prepare(atUs: number, backwards: boolean): void;
  play(): void;
  hold(): void;
  /** Below 0: backwards. Where it turns, fromUs is the moment that is to be on the screen as it does. */
  pace(rate: number, fromUs?: number): void;
  /** Goes so many pictures on, or back, and stands there. */
  step(count: number): void;
  /** The moment of the picture that the last step has led to, once it is on the screen. */
  stepped(): number | undefined;
  /** The moment on the screen and when it came there, by `performance.now()`; undefined until what was prepared is there. */
  shown(): { atUs: number; shownMs: number } | undefined;
  /** It stands by itself where it has played backwards: nothing was recorded before. */
  stopped(): boolean;
  failed(): boolean;
  /** From an order to what it does on the screen. */
  delayMs(): number;
}

export interface Place {
  /** On its way; with the others; without a recording of this moment; behind since its line or its site is too slow; failed. */
  where: "coming" | "on" | "gap" | "behind" | "failed";
  /** How far the picture is ahead of the common moment, the way that it plays, as measured last; behind below 0. */
  driftUs: number | undefined;
  /** In a gap: where the recording goes on. */
  nextUs: number | undefined;
}

/** What came of itself, and people are told. */
export type News = { what: "skipped"; us: number } | { what: "beginning" };

/** What the controls show. */
export interface Direction {
  playing: boolean;
  /** Below 0: backwards, by key frames. */
  rate: number;
  /** They come together: the moment stands still. */
  gathering: boolean;
  news: News | undefined;
}

/** A recording as its conductor knows it. */
export interface Part {
  player: Player;
  /** crosses: it goes back over a gap to the picture before. stands: it shows a picture and waits for its cue. */
  mode: "coming" | "crosses" | "stands" | "plays" | "failed";
  sinceMs: number;
  /** What was prepared last. */
  askedUs: number;
  /** How far ahead of the moment it has to be prepared to be there in time. */
  leadMs: number;
  measuredMs: number;
  /** When the picture that was measured last came to the screen. */
  seenMs: number;
  pace: number;
  /** Seeks that have not brought it back, and the last one. */
  misses: number;
  soughtMs: number;
  driftUs: number | undefined;
  /** Nothing is recorded any further this way. */
  over: boolean;
  /** As it was told last. */
  place: Place;
}

export const nowhere: Place = { where: "coming", driftUs: undefined, nextUs: undefined };

/** A recording that has just joined. */
export const newcomer = (player: Player, nowMs: number): Part => ({
  player, mode: "coming", sinceMs: nowMs, askedUs: 0, leadMs: 1500, measuredMs: nowMs, seenMs: -Infinity, pace: 1, misses: 0, soughtMs: -Infinity,
  driftUs: undefined, over: false, place: nowhere,
});

/** More than this is out of step. */
export const limitUs = 200_000;
/** More than this no pace brings back in good time, and what lies so much ahead lies behind a gap. */
export const farUs = 1_000_000;

/** Where a recording is, while the moment goes by or stands, at a rate. */
export function placeOf(part: Part, running: boolean, rate: number): Place {
  const shown = part.mode === "stands" && !part.over ? part.player.shown() : undefined;
  const nextUs = shown && (shown.atUs - part.askedUs) * Math.sign(rate) > farUs ? shown.atUs : undefined;
  const where = part.over || nextUs !== undefined ? "gap" : goes(part, running);
  return { where, driftUs: where === "on" || where === "behind" ? part.driftUs : undefined, nextUs };
}

function goes(part: Part, running: boolean): Place["where"] {
  switch (part.mode) {
    case "failed":
      return "failed";
    case "plays":
      return part.misses >= 2 && (part.driftUs ?? 0) < -limitUs ? "behind" : "on";
    case "stands":
      return running ? "coming" : "on";
    case "coming":
    case "crosses":
      return "coming";
  }
}

/** Where the first of the recordings goes on, when none has a picture of the moment and none is on its way: undefined
 *  otherwise, and "over" when none goes on. */
export function soonest(parts: Iterable<Part>, rate: number): number | "over" | undefined {
  let found: number | "over" | undefined;
  for (const part of parts) {
    if (part.mode === "failed") continue;
    const { nextUs } = part.place;
    if (part.over) found ??= "over";
    else if (part.mode !== "stands" || nextUs === undefined) return undefined;
    else if (typeof found !== "number" || (nextUs - found) * Math.sign(rate) < 0) found = nextUs;
  }
  return found;
}
