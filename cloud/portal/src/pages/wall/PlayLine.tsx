import { type KeyboardEvent, useEffect, useLayoutEffect, useRef, useState } from "react";

import { useStable } from "../../lib/hooks";
import { clock, clockSeconds, dayName, dayWord, HOUR, MINUTE } from "../../lib/time";
import { text } from "../../text";
import { type Band, rowsFor, type Share, shareAt } from "../../timeline/bands";
import { rangeAt } from "../../timeline/coverage";
import { Head } from "../../timeline/Head";
import { around, bounded, clamp, panned, spanOf, tickStep, ticks, type View, xOf, zoomed } from "../../timeline/scale";
import { useDrag } from "../../timeline/useDrag";
import type { Conductor } from "../../video/together";
import { Bands, bandsHeight } from "./Bands";
import { BandTip, stateWords } from "./BandTip";

interface PlayLineProps {
  conductor: Conductor;
  zone: string;
  view: View;
  onView: (next: View) => void;
  nowUs: number;
  bands: readonly Band[];
  shares: readonly Share[];
  /** All bands as one, as on a phone. */
  merged: boolean;
  /** The camera whose tile is chosen. */
  chosen: string | undefined;
  onSeek: (us: number) => void;
}

/** Where the hours stand above the bands, pixels. */
const rulerHeight = 16;

/** The common timeline of a wall: where each camera has video, and the moment that all of them are at. */
export function PlayLine({ conductor, zone, view, onView, nowUs, bands, shares, merged, chosen, onSeek }: PlayLineProps) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [dragUs, setDragUs] = useState<number>();
  const [over, setOver] = useState<{ us: number; y: number }>();
  const [row, setRow] = useState<number>();
  const y = useRef(0);
  useLayoutEffect(() => {
    if (!box.current) return;
    const watcher = new ResizeObserver(([entry]) => setWidth(entry?.contentRect.width ?? 0));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  // The line goes along with the moment, but where somebody has moved it away to look there.
  const away = useRef<number>(undefined); // from the moment that was sought last
  const has = ({ fromUs, toUs }: View, at: number) => at >= fromUs && at <= toUs;
  const look = (next: View) => {
    away.current = has(next, conductor.momentUs(performance.now())) ? undefined : conductor.askedUs;
    onView(next);
  };
  useEffect(() => {
    const at = conductor.momentUs(performance.now());
    if (has(view, at)) away.current = undefined;
    else if (away.current !== conductor.askedUs) onView(around(at, spanOf(view), nowUs));
  }, [conductor, view, nowUs, onView]);

  const seek = (us: number) => onSeek(clamp(us, 0, nowUs));
  useDrag(box, {
    view, width, nowUs, selecting: false, setView: look, onSelection: () => undefined,
    onHover: (us) => setOver(us === undefined ? undefined : { us, y: y.current }),
    scrubs: (at) => at >= rulerHeight,
    onScrub: setDragUs,
    onLand: (us) => { setDragUs(undefined); setOver(undefined); seek(us); },
    onClick: seek,
  });

  const headUs = useStable(() => dragUs ?? conductor.momentUs(performance.now()));
  const at = dragUs ?? conductor.momentUs(performance.now());
  const choose = (by: 1 | -1) => {
    if (!merged && bands.length > 0) setRow(clamp((row ?? (by === 1 ? -1 : bands.length)) + by, 0, bands.length - 1));
  };
  const keys = (event: KeyboardEvent) => {
    const step = (event.shiftKey ? 60 : 10) * 1e6;
    const actions: Record<string, () => void> = {
      ArrowLeft: () => seek(at - step), ArrowRight: () => seek(at + step), ArrowUp: () => choose(-1), ArrowDown: () => choose(1), Escape: () => setRow(undefined),
      PageUp: () => look(panned(view, -spanOf(view) * 0.8, nowUs)), PageDown: () => look(panned(view, spanOf(view) * 0.8, nowUs)),
      "+": () => look(zoomed(view, 0.5, at, nowUs)), "=": () => look(zoomed(view, 0.5, at, nowUs)), "-": () => look(zoomed(view, 2, at, nowUs)),
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : actions[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };

  const { height, between } = rowsFor(bands.length);
  const band = merged ? undefined : over ? bands[Math.floor((over.y - rulerHeight) / (height + between))] : row === undefined ? undefined : bands[row];
  const tipUs = dragUs ?? over?.us ?? (row !== undefined && band ? at : undefined);
  const share = shareAt(shares, at);
  const high = bandsHeight(bands.length, merged);
  const step = width > 0 ? tickStep(view, width, 76) : HOUR;
  const marked = merged ? -1 : bands.findIndex(({ camera }) => camera === (band?.camera ?? chosen));
  const said = [`${dayWord(at, zone)} ${clockSeconds(at, zone)}`, ...(band && row !== undefined ? [`${band.name}: ${stateWords(rangeAt(band.ranges, at))}`] : share ? [text.together.have(share.video, bands.length)] : [])];
  return (
    <div ref={box} className="play-line on-stage" data-testid="play-line" data-merged={merged || undefined} data-bands={bands.length} style={{ height: rulerHeight + high + 4 }}
      onPointerMoveCapture={(event) => { y.current = event.clientY - event.currentTarget.getBoundingClientRect().top; }}>
      <Bands bands={bands} merged={merged ? shares : undefined} view={view} width={width} nowUs={nowUs} />
      <div className="play-line-slider" role="slider" tabIndex={0} aria-label={text.together.line} aria-description={text.together.help} onKeyDown={keys} onBlur={() => setRow(undefined)}
        aria-valuemin={Math.round(view.fromUs / 1e6)} aria-valuemax={Math.round(view.toUs / 1e6)} aria-valuenow={Math.round(clamp(at, view.fromUs, view.toUs) / 1e6)}
        aria-valuetext={said.join(", ")} />
      {width > 0 && ticks(view, step, zone).map((tick) => {
        const x = xOf(tick.us, view, width);
        const room = x > 24 && x < width - 24;
        return <i key={tick.us} className="play-line-tick num" style={{ left: x }} aria-hidden>{room && <b>{tick.day ? dayName(tick.us, zone) : step < MINUTE ? clockSeconds(tick.us, zone) : clock(tick.us, zone)}</b>}</i>;
      })}
      {marked >= 0 && bands.length > 1 && <i className="play-line-row" style={{ top: rulerHeight + marked * (height + between) - 1, height: height + 2 }} aria-hidden />}
      <Head className="play-line-head" us={headUs} view={view} width={width} />
      {tipUs !== undefined && width > 0 && tipUs >= view.fromUs && tipUs <= view.toUs && (
        <BandTip us={tipUs} x={xOf(tipUs, view, width)} width={width} zone={zone} nowUs={nowUs} bands={bands} band={band} />
      )}
    </div>
  );
}

/** The view that the line begins with: the last hour, or one around the moment where that is longer ago. */
export function firstView(atUs: number, nowUs: number): View {
  const hour = { fromUs: nowUs - HOUR, toUs: nowUs };
  return atUs >= hour.fromUs ? hour : bounded(around(atUs, HOUR, nowUs), nowUs);
}
