// A video session as one of several recordings that are played in step.
import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import type { VideoSession } from "./session";
import type { Conductor, Place, Player } from "./together";

/** What a tile needs to be led. */
export interface Together {
  conductor: Conductor;
  /** What is to be added to the site's clock as it goes now, microseconds; recordings know better what it was off by. */
  offUs: number;
}

/** From a picture's way over the line to the screen, where nothing has been measured yet, and what the screen itself takes. */
const guessedTripMs = 40;
const screenMs = 40;

class Voice implements Player {
  private recordedOffUs: number | undefined;

  constructor(private readonly session: VideoSession, private readonly nowOffUs: () => number) {}

  private get offUs(): number {
    return this.recordedOffUs ?? this.nowOffUs();
  }

  prepare(atUs: number): void {
    this.session.prepare(atUs - this.offUs);
  }

  play(): void {
    this.session.resume();
  }

  hold(): void {
    this.session.pause();
  }

  pace(rate: number): void {
    this.session.pace(rate);
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

/** The moment at which a session begins that is to be led, by its site's clock; undefined where it isn't. It stays the same
 *  for as long as that is so: from there on the conductor leads. */
export function useBegin(together: Together | undefined, wanted: boolean): number | undefined {
  const offUs = useRef(0);
  useEffect(() => {
    offUs.current = together?.offUs ?? 0;
  });
  const { conductor } = together ?? {};
  return useMemo(() => (conductor && wanted ? Math.round(conductor.momentUs(performance.now()) - offUs.current) : undefined), [conductor, wanted]);
}

/** Has a session led as long as both are there, and says how it goes. It joins anew when `anew` changes: it has begun anew. */
export function useTogether(session: VideoSession | undefined, together: Together | undefined, anew: unknown): Place | undefined {
  const [voice, setVoice] = useState<Voice>();
  const offUs = useRef(0);
  useEffect(() => {
    offUs.current = together?.offUs ?? 0;
  });
  const { conductor } = together ?? {};
  useEffect(() => {
    if (!session || !conductor) return;
    const made = new Voice(session, () => offUs.current);
    const leave = conductor.join(made, performance.now());
    setVoice(made);
    return () => {
      leave();
      setVoice(undefined);
    };
  }, [session, conductor, anew]);
  return useSyncExternalStore(conductor?.subscribe ?? silent, () => (voice && conductor ? conductor.place(voice) : undefined));
}
