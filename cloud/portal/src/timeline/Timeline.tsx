import { Bookmark, ChevronLeft, ChevronRight, Keyboard, LockKeyhole, Minus, Plus, Scissors, SquareDashedMousePointer, TableProperties, X } from "lucide-react";
import { useEffect, useState } from "react";
import { Dialog as AriaDialog, DialogTrigger } from "react-aria-components/Dialog";
import { Popover } from "react-aria-components/Popover";

import type { Hold, Range } from "../api/types";
import { duration } from "../lib/format";
import { clock, clockSeconds, dateInput, DAY, dayWord, fromDateInput, HOUR, zoneName } from "../lib/time";
import { text } from "../text";
import { Button, IconButton } from "../ui/button";
import { Segments } from "../ui/choice";
import { Notice } from "../ui/notice";
import { gapsIn, type Look, unknownIn } from "./coverage";
import { panned, spanOf, spans, zoomed } from "./scale";
import { RangeTable } from "./RangeTable";
import { type Selection, Track } from "./Track";
import type { TimelineState } from "./useTimeline";

interface TimelineProps {
  name: string;
  zone: string;
  timeline: TimelineState;
  /** Its site can't be reached: only what the cloud has can be played. */
  dark: boolean;
  playheadUs: () => number;
  live: boolean;
  selection: Selection | undefined;
  onSelection: (next: Selection | undefined) => void;
  onPlay: (us: number) => void;
  onScrub: (us: number) => void;
  onLive: () => void;
  /** Absent: this person may not keep clips. */
  onKeep: (() => void) | undefined;
  /** Absent: this person may not hold ranges at the site. */
  onHold: (() => void) | undefined;
  held: readonly Hold[];
  /** Marks the moment under the playhead; absent like onKeep. */
  onBookmark?: (() => void) | undefined;
}

const looks: readonly Look[] = ["site", "cloud", "in_flight", "gap", "intended", "unknown"];

/** Where the video of a camera is: the band, its tools, its legend, and the same as a table. */
export function Timeline({ name, zone, timeline, dark, playheadUs, live, selection, onSelection, onPlay, onScrub, onLive, onKeep, onHold, held, onBookmark }: TimelineProps) {
  const { view, nowUs, ranges } = timeline;
  const [selecting, setSelecting] = useState(false);
  const [table, setTable] = useState(false);
  const middle = (view.fromUs + view.toUs) / 2;
  const past = { fromUs: view.fromUs, toUs: Math.min(view.toUs, nowUs) };
  const gaps = gapsIn(ranges, past);
  const unknown = unknownIn(ranges, past);

  // A playback that runs out of the picture takes the picture along.
  useEffect(() => {
    if (live || timeline.following) return;
    const timer = setInterval(() => {
      const at = playheadUs();
      if (at > view.toUs && at - view.toUs < spanOf(view) * 0.05) timeline.setView(panned(view, spanOf(view) * 0.8, at + spanOf(view)));
    }, 500);
    return () => clearInterval(timer);
  }, [live, timeline, view, playheadUs]);

  const take = (next: Selection | undefined) => {
    onSelection(next);
    if (next) setSelecting(false);
  };

  return (
    <section className="timeline" aria-label={text.timeline.label(name)}>
      <div className="timeline-bar">
        <div className="timeline-nav">
          <IconButton small label={text.timeline.earlier} onPress={() => timeline.setView(panned(view, -spanOf(view) * 0.7, nowUs))}><ChevronLeft size={18} aria-hidden /></IconButton>
          <label className="timeline-day">
            <span className="strong num">{viewName(view.fromUs, Math.min(view.toUs, nowUs), zone)}</span>
            <input type="date" aria-label={text.timeline.goTo} value={dateInput(Math.min(middle, nowUs), zone)} max={dateInput(nowUs, zone)} onClick={(event) => event.currentTarget.showPicker?.()}
              onChange={(event) => {
                const day = fromDateInput(event.target.value, zone);
                if (day !== undefined) timeline.setView({ fromUs: day, toUs: day + DAY });
              }} />
          </label>
          <IconButton small label={text.timeline.later} isDisabled={timeline.following} onPress={() => timeline.setView(panned(view, spanOf(view) * 0.7, nowUs))}><ChevronRight size={18} aria-hidden /></IconButton>
          <Button small look={live && timeline.following ? "primary" : "plain"} onPress={onLive} data-testid="timeline-live">{text.live.live}</Button>
        </div>
        <div className="timeline-zoom">
          <IconButton small label={text.timeline.zoomOut} keys="−" onPress={() => timeline.following ? timeline.show(spanOf(view) * 2, undefined, nowUs) : timeline.setView(zoomed(view, 2, middle, nowUs))}><Minus size={16} aria-hidden /></IconButton>
          <Segments label={text.timeline.span} value={spans.map((span) => String(span / 1e6)).find((span) => Math.abs(Number(span) - timeline.span / 1e6) < 2)}
            onChange={(span) => timeline.show(Number(span) * 1e6, live ? undefined : playheadUs(), nowUs)}
            options={spans.map((span) => ({ value: String(span / 1e6), label: text.timeline.spans[String(span / 1e6)] ?? "" }))} />
          <IconButton small label={text.timeline.zoomIn} keys="+" onPress={() => timeline.following ? timeline.show(spanOf(view) / 2, undefined, nowUs) : timeline.setView(zoomed(view, 0.5, middle, nowUs))}><Plus size={16} aria-hidden /></IconButton>
        </div>
        <div className="timeline-tools">
          {(onKeep ?? onHold) && (
            <IconButton small look={selecting ? "primary" : "quiet"} label={text.timeline.selectRange} keys="I O" onPress={() => setSelecting(!selecting)} data-testid="select-range"><SquareDashedMousePointer size={17} aria-hidden /></IconButton>
          )}
          {onBookmark && <IconButton small label={text.clips.bookmark} keys="B" onPress={onBookmark} data-testid="bookmark"><Bookmark size={17} aria-hidden /></IconButton>}
          <IconButton small label={table ? text.timeline.tableHide : text.timeline.table} onPress={() => setTable(!table)} data-testid="timeline-table-toggle"><TableProperties size={17} aria-hidden /></IconButton>
          <span className="timeline-keys"><Shortcuts /></span>
        </div>
      </div>

      <Track name={name} zone={zone} timeline={timeline} dark={dark} playheadUs={playheadUs} live={live} selection={selection} selecting={selecting} held={held} onPlay={onPlay} onScrub={onScrub} onSelection={selecting ? onSelection : take} />

      {(onKeep ?? onHold) && (selection || selecting) && (
        <div className="timeline-selection" role="status" data-testid="selection">
          {selection ? (
            <>
              <span className="num"><span className="strong">{text.timeline.selection(selection.outUs - selection.inUs)}</span> <span className="soft">{dayWord(selection.inUs, zone)} {clockSeconds(selection.inUs, zone)} – {clockSeconds(selection.outUs, zone)}</span></span>
              <span className="timeline-selection-actions">
                {onHold && <Button small icon={<LockKeyhole size={15} aria-hidden />} onPress={() => { setSelecting(false); onHold(); }} data-testid="hold-range">{text.timeline.hold}</Button>}
                {onKeep && <Button small look="primary" icon={<Scissors size={15} aria-hidden />} onPress={() => { setSelecting(false); onKeep(); }} data-testid="keep-clip">{text.timeline.keep}</Button>}
                <IconButton small label={text.timeline.dropSelection} onPress={() => { setSelecting(false); onSelection(undefined); }}><X size={16} aria-hidden /></IconButton>
              </span>
            </>
          ) : <span className="soft">{text.timeline.selecting}</span>}
        </div>
      )}

      {timeline.failed !== undefined
        ? <Notice tone="warn" action={<Button small onPress={timeline.retry}>{text.actions.tryAgain}</Button>}>{text.timeline.failed}</Notice>
        : (
          <div className="timeline-foot">
            <ul className="legend" aria-label={text.timeline.legend}>
              {looks.map((look) => <li key={look} title={text.coverageHint[look]}><span className={`swatch swatch-${look}`} aria-hidden />{text.coverage[look]}</li>)}
              {held.length > 0 && <li title={text.timeline.heldHint}><span className="swatch swatch-held" aria-hidden />{text.timeline.held}</li>}
            </ul>
            <p className="muted small num" data-testid="timeline-summary">
              {timeline.loading ? text.timeline.loading : text.timeline.gaps(gaps.count, duration(gaps.us))}{unknown > 0 && `, ${text.timeline.unknown(duration(unknown))}`} · {zoneName(view.toUs, zone)}
            </p>
          </div>
        )}
      {table && <RangeTable ranges={inView(ranges, view.fromUs, Math.min(view.toUs, nowUs))} zone={zone} caption={text.timeline.tableOf(`${dayWord(view.fromUs, zone)} ${clock(view.fromUs, zone)}`, `${dayWord(view.toUs, zone)} ${clock(view.toUs, zone)}`)} onPlay={onPlay} />}
    </section>
  );
}

const inView = (ranges: readonly Range[], fromUs: number, toUs: number): Range[] =>
  ranges.filter((range) => range.end_us > fromUs && range.start_us < toUs)
    .map((range) => ({ ...range, start_us: Math.max(range.start_us, fromUs), end_us: Math.min(range.end_us, toUs) }));

function viewName(fromUs: number, toUs: number, zone: string): string {
  const from = dayWord(fromUs, zone);
  const to = dayWord(toUs - 1, zone);
  const capital = (words: string) => words.charAt(0).toUpperCase() + words.slice(1);
  return from === to || toUs - fromUs < 2 * HOUR ? capital(to) : `${capital(from)} – ${to}`;
}

function Shortcuts() {
  return (
    <DialogTrigger>
      <IconButton small label={text.timeline.shortcuts}><Keyboard size={17} aria-hidden /></IconButton>
      <Popover className="popover">
        <AriaDialog className="shortcuts" aria-label={text.timeline.shortcuts}>
          <dl>
            {text.timeline.keys.map(([keys, what]) => (
              <div key={keys}>
                <dt>{keys.split(" ").map((key) => <kbd key={key} className="key">{key}</kbd>)}</dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
        </AriaDialog>
      </Popover>
    </DialogTrigger>
  );
}
