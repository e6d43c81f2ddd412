import { clockSeconds } from "../lib/time";
import { text } from "../text";
import { limitUs, type Place } from "./together";

/** How far a tile is from the common moment, and that it can't keep up. */
export function StepMark({ place }: { place: Place }) {
  const { where, driftUs } = place;
  if (where === "behind") return <span className="step-mark" data-off>{text.together.behind}{driftUs !== undefined && <span className="num"> {drift(driftUs)}</span>}</span>;
  if (driftUs === undefined) return null;
  return <span className="step-mark num" data-off={Math.abs(driftUs) > limitUs || undefined} title={text.together.drift} data-testid="step-mark">{drift(driftUs)}</span>;
}

/** "+0.08 s" */
export function drift(us: number): string {
  const hundredths = Math.round(us / 10_000);
  return `${hundredths < 0 ? "−" : "+"}${(Math.abs(hundredths) / 100).toFixed(2)} s`;
}

/** Why a tile stands while others play, in words. */
export function gapWords(place: Place, reason: string, zone: string): string {
  const words = reason || text.together.gap;
  return place.nextUs === undefined ? words : `${words} ${text.together.goesOn(clockSeconds(place.nextUs, zone))}`;
}
