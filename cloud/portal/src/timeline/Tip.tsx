import { Diamond } from "lucide-react";

import type { Event, Range } from "../api/types";
import { duration } from "../lib/format";
import { clockSeconds, dayWord, moment } from "../lib/time";
import { text } from "../text";
import { reasonWords } from "../text/health";
import { lookOf, rangeAt } from "./coverage";
import { clamp } from "./scale";
import { eventName } from "../lib/events";

/** What the moment under the cursor is: when, where its video is, why there is none, what happened. */
export function Tip({ us, x, width, zone, nowUs, ranges, dark, event }: { us: number; x: number; width: number; zone: string; nowUs: number; ranges: readonly Range[]; dark: boolean; event: Event | undefined }) {
  const range = us > nowUs ? undefined : rangeAt(ranges, us);
  const state = us > nowUs ? "none" : (range?.state ?? "unknown");
  return (
    <div className="track-tip" style={{ left: clamp(x, Math.min(130, width / 2), Math.max(width - 130, width / 2)) }} data-testid="timeline-tip">
      <p className="num strong">{dayWord(us, zone)} {clockSeconds(us, zone)}</p>
      <p className="track-tip-state">
        {state !== "none" && <span className={`swatch swatch-${range ? lookOf(range) : state}`} aria-hidden />}
        {state === "gap" ? reasonWords(range?.reason) : text.coverageHint[state]}
      </p>
      {state === "gap" && range && (
        <p className="soft small">
          {moment(range.start_us, zone)} – {moment(range.end_us, zone)} · {duration(range.end_us - range.start_us)}
          {range.text && <><br />{range.text}</>}
        </p>
      )}
      {dark && (state === "site" || state === "in_flight") && <p className="soft small">{text.together.outOfReach}</p>}
      {event && <p className="track-tip-event"><Diamond size={11} fill="currentColor" aria-hidden />{eventName(event.kind)} {clockSeconds(event.at_us, zone)}{event.text && ` · ${event.text}`}</p>}
    </div>
  );
}
