import { type CSSProperties, type KeyboardEvent, type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";

import type { Event, Hold } from "../api/types";
import { clockSeconds, dayWord } from "../lib/time";
import { onTheme } from "../lib/theme";
import { text } from "../text";
import { neighbourGap, rangeAt } from "./coverage";
import { Head } from "./Head";
import { layout, paint, palette } from "./paint";
import { clamp, keyStep, panned, spanOf, usAt, xOf, zoomed } from "./scale";
import { Tip } from "./Tip";
import { useDrag } from "./useDrag";
import type { TimelineState } from "./useTimeline";

export interface Selection {
  inUs: number;
  outUs: number;
}

interface TrackProps {
  name: string;
  zone: string;
  timeline: TimelineState;
  /** Its site can't be reached. */
  dark: boolean;
  /** The moment on the stage, asked often. */
  playheadUs: () => number;
  live: boolean;
  selection: Selection | undefined;
  selecting: boolean;
  held: readonly Hold[];
  onPlay: (us: number) => void;
  /** Shows the moment while the pointer is dragged over it; onPlay follows when it is let go of. */
  onScrub: (us: number) => void;
  onSelection: (next: Selection | undefined) => void;
}

/** How near to a marker a click counts as a click on it, pixels. */
const reach = 7;

/** The band itself: coverage, events, playhead, selection; pointer, wheel, pinch and keys. */
export function Track({ name, zone, timeline, dark, playheadUs, live, selection, selecting, held, onPlay, onScrub, onSelection }: TrackProps) {
  const { view, ranges, events, nowUs, setView } = timeline;
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [look, setLook] = useState(0);
  const [cursorUs, setCursorUs] = useState<number>();
  const [hoverUs, setHoverUs] = useState<number>();

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setWidth(element.clientWidth);
    measure();
    const watcher = new ResizeObserver(measure);
    watcher.observe(element);
    return () => watcher.disconnect();
  }, []);
  useEffect(() => onTheme(() => requestAnimationFrame(() => setLook((count) => count + 1))), []);

  const painted = useRef<{ look: number; scale: number; colours: ReturnType<typeof palette> }>(undefined);
  useLayoutEffect(() => {
    if (!canvas.current || width === 0) return;
    const scale = devicePixelRatio || 1;
    if (!painted.current || painted.current.look !== look || painted.current.scale !== scale) {
      painted.current = { look, scale, colours: palette(canvas.current, scale) };
    }
    paint(canvas.current, width, scale, painted.current.colours, { view, zone, ranges, events, held, dark, nowUs });
  });

  const eventAt = (us: number): Event | undefined => {
    const near = (event: Event) => Math.abs(xOf(event.at_us, view, width) - xOf(us, view, width));
    const nearest = events.reduce<Event | undefined>((best, event) => (!best || near(event) < near(best) ? event : best), undefined);
    return nearest && near(nearest) <= reach ? nearest : undefined;
  };

  useDrag(box, {
    view, width, nowUs, selecting, setView, onSelection,
    onHover: setHoverUs,
    scrubs: (y) => y >= layout.trackTop && y < layout.trackTop + layout.trackHeight,
    onScrub: (us) => { setCursorUs(undefined); onScrub(us); },
    onLand: (us) => { setHoverUs(undefined); onPlay(us); },
    onClick: (us, y) => {
      setCursorUs(undefined);
      const event = y >= layout.eventTop - 4 ? eventAt(us) : undefined;
      onPlay(Math.min(event?.at_us ?? us, nowUs));
    },
  });

  const at = cursorUs ?? playheadUs();
  const onKeyDown = (press: KeyboardEvent) => {
    const move = (us: number) => {
      setCursorUs(clamp(us, 0, nowUs));
      if (us < view.fromUs || us > view.toUs) setView(panned(view, us - (view.fromUs + view.toUs) / 2, nowUs));
    };
    const step = keyStep(view) * (press.shiftKey ? 10 : 1);
    const jump = (direction: 1 | -1) => {
      const gap = neighbourGap(ranges, at, direction);
      if (gap) move(gap.start_us);
    };
    const actions: Record<string, () => void> = {
      ArrowLeft: () => move(at - step),
      ArrowRight: () => move(at + step),
      PageUp: () => setView(panned(view, -spanOf(view) * 0.8, nowUs)),
      PageDown: () => setView(panned(view, spanOf(view) * 0.8, nowUs)),
      Home: () => timeline.firstUs && move(timeline.firstUs),
      End: () => move(nowUs),
      Enter: () => onPlay(at),
      Escape: () => setCursorUs(undefined),
      "+": () => setView(zoomed(view, 0.5, at, nowUs)),
      "=": () => setView(zoomed(view, 0.5, at, nowUs)),
      "-": () => setView(zoomed(view, 2, at, nowUs)),
      "[": () => jump(-1),
      "]": () => jump(1),
      i: () => onSelection({ inUs: at, outUs: Math.max(selection?.outUs ?? 0, at + 1_000_000) }),
      o: () => onSelection({ inUs: Math.min(selection?.inUs ?? at - 1_000_000, at - 1_000_000), outUs: at }),
    };
    const act = press.ctrlKey || press.metaKey || press.altKey ? undefined : (actions[press.key] ?? actions[press.key.toLowerCase()]);
    if (!act) return;
    press.preventDefault();
    press.stopPropagation();
    act();
  };

  const shownUs = cursorUs ?? hoverUs;
  const range = rangeAt(ranges, at);
  const state = range ? text.coverage[range.state] : text.coverage.unknown;
  return (
    <div ref={box} className="track" data-testid="timeline" data-selecting={selecting || undefined} style={{ height: layout.height }}>
      <canvas ref={canvas} className="track-canvas" aria-hidden />
      <div className="track-ruler" title={text.timeline.rulerHint} style={{ height: layout.trackTop }} />
      <div className="track-slider" role="slider" tabIndex={0} aria-label={text.timeline.label(name)} aria-description={text.timeline.help}
        aria-valuemin={Math.round(view.fromUs / 1e6)} aria-valuemax={Math.round(view.toUs / 1e6)} aria-valuenow={Math.round(clamp(at, view.fromUs, view.toUs) / 1e6)}
        aria-valuetext={text.timeline.at(`${dayWord(at, zone)} ${clockSeconds(at, zone)}`, state)} onKeyDown={onKeyDown} onBlur={() => setCursorUs(undefined)} />
      <Line className="track-now" x={xOf(nowUs, view, width)} width={width} />
      {selection && <SelectionBand selection={selection} view={view} width={width} nowUs={nowUs} zone={zone} onSelection={onSelection} />}
      <Head className="track-head" us={playheadUs} view={view} width={width} data-live={live || undefined} data-testid="playhead" />
      {shownUs !== undefined && <Line className="track-cursor" x={xOf(shownUs, view, width)} width={width} />}
      {shownUs !== undefined && shownUs >= view.fromUs && shownUs <= view.toUs && (
        <Tip us={shownUs} x={xOf(shownUs, view, width)} width={width} zone={zone} nowUs={nowUs} ranges={ranges} dark={dark} event={eventAt(shownUs)} />
      )}
    </div>
  );
}

function Line({ className, x, width, children }: { className: string; x: number; width: number; children?: ReactNode }) {
  if (x < -1 || x > width + 1) return null;
  return <div className={className} style={{ translate: `${x}px 0` } as CSSProperties}>{children}</div>;
}

function SelectionBand({ selection, view, width, nowUs, zone, onSelection }: {
  selection: Selection; view: { fromUs: number; toUs: number }; width: number; nowUs: number; zone: string; onSelection: (next: Selection) => void;
}) {
  const x = xOf(selection.inUs, view, width);
  const end = xOf(selection.outUs, view, width);
  const moveTo = (side: "inUs" | "outUs", us: number) => {
    const shortest = 1_000_000;
    const next = side === "inUs" ? Math.min(us, selection.outUs - shortest) : clamp(us, selection.inUs + shortest, nowUs);
    onSelection({ ...selection, [side]: next });
  };
  return (
    <div className="band" style={{ left: x, width: Math.max(2, end - x) }}>
      {(["inUs", "outUs"] as const).map((side) => (
        <Grip key={side} side={side} us={selection[side]} zone={zone} view={view} width={width} onMove={(us) => moveTo(side, us)} />
      ))}
    </div>
  );
}

function Grip({ side, us, zone, view, width, onMove }: { side: "inUs" | "outUs"; us: number; zone: string; view: { fromUs: number; toUs: number }; width: number; onMove: (us: number) => void }) {
  const label = side === "inUs" ? text.timeline.inPoint : text.timeline.outPoint;
  return (
    <div className={side === "inUs" ? "grip grip-in" : "grip grip-out"} role="slider" tabIndex={0} aria-label={label} data-testid={side === "inUs" ? "grip-in" : "grip-out"}
      aria-valuenow={Math.round(us / 1e6)} aria-valuemin={Math.round(view.fromUs / 1e6)} aria-valuemax={Math.round(view.toUs / 1e6)} aria-valuetext={clockSeconds(us, zone)}
      onPointerDown={(press) => { press.stopPropagation(); press.currentTarget.setPointerCapture(press.pointerId); }}
      onPointerMove={(press) => {
        const track = press.currentTarget.closest(".track");
        if (track && press.currentTarget.hasPointerCapture(press.pointerId)) onMove(usAt(press.clientX - track.getBoundingClientRect().left, view, width));
      }}
      onKeyDown={(press) => {
        const direction = press.key === "ArrowLeft" ? -1 : press.key === "ArrowRight" ? 1 : 0;
        if (direction === 0) return;
        press.preventDefault();
        press.stopPropagation();
        onMove(us + direction * 1_000_000 * (press.shiftKey ? 10 : 1));
      }} />
  );
}
