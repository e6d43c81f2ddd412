// A video session as one of several recordings that are played in step.
import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";

import type { VideoSession } from "./session";
import type { Conductor, Place, Player } from "./together";

/** What a tile needs to be led. */
export interface Together {
  conductor: Conductor;
  /** What is to be added to the site's clock as it goes now, microseconds; recordings know better what it was off by. */
  offUs: number;
  /** How long a picture of the camera lasts, microseconds; undefined while that is not known. */
  pictureUs?: number | undefined;
  /** A step goes by the pictures of this one. */
  first?: boolean;
}

/** The newest of what a tile is told. */
export interface Told {
  readonly current: Pick<Together, "offUs" | "pictureUs">;
}

/** What a picture lasts when nobody says. */
export const guessedPictureUs = 1_000_000 / 15;

/** From a picture's way over the line to the screen, where nothing has been measured yet, and what the screen itself takes. */
const guessedTripMs = 40;
const screenMs = 40;

class Voice implements Player {
  private recordedOffUs: number | undefined;

  constructor(private readonly session: VideoSession, private readonly told: Told) {}

  private get offUs(): number {
    return this.recordedOffUs ?? this.told.current.offUs;
  }

  /** The site shows the first picture at a moment or after it: half of one before that it is the nearest. */
  prepare(atUs: number): void {
    this.session.prepare(atUs - this.offUs - (this.told.current.pictureUs ?? guessedPictureUs) / 2);
  }

  play(): void {
    this.session.resume();
  }

  hold(): void {
    this.session.pause();
  }

  pace(rate: number, fromUs?: number): void {
    this.session.pace(rate, fromUs === undefined ? undefined : fromUs - this.offUs);
  }

  step(count: number): void {
    this.session.step(count);
  }

  stepped(): number | undefined {
    const siteUs = this.session.landed();
    return siteUs === undefined ? undefined : siteUs + this.offUs;
  }

  stopped(): boolean {
    return this.session.snapshot().paused;
  }

  shown() {
    const shown = this.session.shown();
    if (!shown) return undefined;
    this.recordedOffUs = shown.offUs;
    return { atUs: shown.siteUs + this.offUs, shownMs: shown.shownMs };
  }

  failed(): boolean {
    return this.session.snapshot().phase === "failed";
  }

  delayMs(): number {
    return (this.session.snapshot().stats?.rttMs ?? guessedTripMs) + screenMs;
  }
}

const silent = () => () => undefined;

/** Holds the newest of what a tile is told. */
export function useTold(together: Together | undefined): Told {
  const told = useRef<Told["current"]>({ offUs: 0 });
  useEffect(() => {
    told.current = together ?? { offUs: 0 };
  });
  return told;
}

/** The moment at which a session begins that is to be led, by its site's clock; undefined where it isn't. It stays the same
 *  for as long as that is so: from there on the conductor leads. */
export function useBegin(together: Together | undefined, wanted: boolean): number | undefined {
  const told = useTold(together);
  const { conductor } = together ?? {};
  return useMemo(() => (conductor && wanted ? Math.round(conductor.momentUs(performance.now()) - told.current.offUs) : undefined), [conductor, wanted, told]);
}

/** Has a session led as long as both are there, and says how it goes. It joins anew when `anew` changes: it has begun anew. */
export function useTogether(session: VideoSession | undefined, together: Together | undefined, anew: unknown): Place | undefined {
  const told = useTold(together);
  const voice = useMemo(() => {
    void anew;
    return session && new Voice(session, told);
  }, [session, told, anew]);
  return usePart(voice, together);
}

/** Has a player led as long as it is there, and says how it goes. */
export function usePart(player: Player | undefined, together: Together | undefined): Place | undefined {
  const { conductor, first } = together ?? {};
  useEffect(() => (player && conductor ? conductor.join(player, performance.now()) : undefined), [player, conductor]);
  useEffect(() => {
    if (player && first) conductor?.follow(player);
  }, [player, conductor, first]);
  return useSyncExternalStore(conductor?.subscribe ?? silent, () => (player && conductor ? conductor.place(player) : undefined));
}
