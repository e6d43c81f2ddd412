// Playback of a whole wall: who conducts it, and in which time zone its moments are told.
import { useEffect, useState } from "react";

import type { Site, WallTile } from "../../api/types";
import { hereZone, nowUs } from "../../lib/time";
import { text } from "../../text";
import { Conductor } from "../../video/together";

const tickMs = 50;

const wallUs = (nowMs: number): number => nowUs() + (nowMs - performance.now()) * 1000;

/** Who leads the tiles as long as there is a moment to play from; another moment is sought. */
export function useConductor(atUs: number | undefined): Conductor | undefined {
  const [conductor, setConductor] = useState<Conductor>();
  const on = atUs !== undefined;
  useEffect(() => {
    if (!on) return;
    return () => setConductor(undefined);
  }, [on]);
  useEffect(() => {
    if (atUs === undefined) return;
    if (!conductor) setConductor(new Conductor(atUs, performance.now(), wallUs));
    else if (conductor.askedUs !== atUs) conductor.seek(atUs, performance.now());
  }, [atUs, conductor]);
  useEffect(() => {
    if (!conductor) return;
    // A tab that is out of sight paints nothing: nobody can be measured there.
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") conductor.tick(performance.now());
    }, tickMs);
    return () => clearInterval(timer);
  }, [conductor]);
  return on ? conductor : undefined;
}

/** The one zone in which the moments of a wall are told, and why that one. */
export function zoneOf(tiles: readonly WallTile[], sites: readonly Site[] | undefined): { zone: string; why: string } {
  const zones = new Set(tiles.flatMap((tile) => sites?.find((site) => site.id === tile.site)?.timezone ?? []));
  const [only] = zones;
  if (only !== undefined && zones.size === 1) return { zone: only, why: text.together.siteZone(only) };
  return { zone: hereZone, why: zones.size > 1 ? text.together.ownZone(hereZone) : text.together.moments(hereZone) };
}
