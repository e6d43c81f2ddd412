import { Play } from "lucide-react";

import type { Range } from "../api/types";
import { duration } from "../lib/format";
import { clockSeconds, dayWord } from "../lib/time";
import { text } from "../text";
import { reasonWords } from "../text/health";
import { IconButton } from "../ui/button";
import { isVideo, lookOf } from "./coverage";

const most = 60;

/** The timeline in words, newest first: for assistive technology, and for everyone who wants exact times. */
export function RangeTable({ ranges, zone, caption, onPlay }: { ranges: readonly Range[]; zone: string; caption: string; onPlay: (us: number) => void }) {
  const rows = ranges.toReversed().slice(0, most);
  return (
    <div className="table-wrap range-table" data-testid="timeline-table" role="region" aria-label={caption} tabIndex={0}>
      <table className="table num">
        <caption className="unseen">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">{text.timeline.tableFrom}</th>
            <th scope="col">{text.timeline.tableTo}</th>
            <th scope="col">{text.timeline.tableLength}</th>
            <th scope="col">{text.timeline.tableState}</th>
            <th scope="col">{text.timeline.tableWhy}</th>
            <th scope="col"><span className="unseen">{text.timeline.tablePlay}</span></th>
          </tr>
        </thead>
        <tbody>
          {rows.map((range) => (
            <tr key={range.start_us}>
              <td className="nowrap">{dayWord(range.start_us, zone)} {clockSeconds(range.start_us, zone)}</td>
              <td className="nowrap">{clockSeconds(range.end_us, zone)}</td>
              <td className="nowrap">{duration(range.end_us - range.start_us)}</td>
              <td className="nowrap"><span className="range-state"><span className={`swatch swatch-${lookOf(range)}`} aria-hidden />{text.coverage[range.state]}</span></td>
              <td>{range.state === "gap" ? reasonWords(range.reason) : ""}{range.text && <span className="muted"> {range.text}</span>}</td>
              <td>{isVideo(range.state) && <IconButton small label={text.timeline.tablePlay} onPress={() => onPlay(range.start_us)}><Play size={15} aria-hidden /></IconButton>}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {ranges.length > most && <p className="muted small range-more">{text.timeline.tableMore(ranges.length - most)}</p>}
    </div>
  );
}
