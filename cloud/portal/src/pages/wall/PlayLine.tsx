import { type KeyboardEvent, type PointerEvent, type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";

import { useNow, useStable } from "../../lib/hooks";
import { clock, clockSeconds, dayName, dayWord, HOUR, MINUTE } from "../../lib/time";
import { text } from "../../text";
import { Head } from "../../timeline/Head";
import { around, bounded, clamp, panned, spanOf, tickStep, ticks, usAt, type View, wheeled, xOf, zoomed } from "../../timeline/scale";
import type { Conductor } from "../../video/together";

interface PlayLineProps {
  conductor: Conductor;
  zone: string;
  onSeek: (us: number) => void;
}

/** The common timeline of a wall: the last hour at first, and from then on where the moment is. */
export function PlayLine({ conductor, zone, onSeek }: PlayLineProps) {
  const nowUs = useNow(1000);
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [fixed, setView] = useState<View>();
  const [dragUs, setDragUs] = useState<number>();
  const view = fixed ?? lastHour(conductor.askedUs, nowUs);
  useLayoutEffect(() => {
    if (!box.current) return;
    const watcher = new ResizeObserver(([entry]) => setWidth(entry?.contentRect.width ?? 0));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  // What is on the screen is on the line.
  useEffect(() => {
    const at = conductor.momentUs(performance.now());
    if (at < view.fromUs || at > view.toUs) setView(around(at, spanOf(view), nowUs));
  }, [conductor, view, nowUs]);
  useWheel(box, view, width, nowUs, setView);

  const headUs = useStable(() => dragUs ?? conductor.momentUs(performance.now()));
  const at = dragUs ?? conductor.momentUs(performance.now());
  const seek = (us: number) => onSeek(clamp(us, 0, nowUs));
  const usOf = (event: PointerEvent) => clamp(usAt(event.clientX - (box.current?.getBoundingClientRect().left ?? 0), view, width), view.fromUs, Math.min(view.toUs, nowUs));
  const keys = (event: KeyboardEvent) => {
    const step = (event.shiftKey ? 60 : 10) * 1e6;
    const actions: Record<string, () => void> = {
      ArrowLeft: () => seek(at - step), ArrowRight: () => seek(at + step),
      PageUp: () => setView(panned(view, -spanOf(view) * 0.8, nowUs)), PageDown: () => setView(panned(view, spanOf(view) * 0.8, nowUs)),
      "+": () => setView(zoomed(view, 0.5, at, nowUs)), "=": () => setView(zoomed(view, 0.5, at, nowUs)), "-": () => setView(zoomed(view, 2, at, nowUs)),
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : actions[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
  const step = width > 0 ? tickStep(view, width, 76) : HOUR;
  return (
    <div ref={box} className="play-line" data-testid="play-line"
      onPointerDown={(event) => { event.currentTarget.setPointerCapture(event.pointerId); setDragUs(usOf(event)); }}
      onPointerMove={(event) => { if (dragUs !== undefined) setDragUs(usOf(event)); }}
      onPointerUp={(event) => { if (dragUs !== undefined) seek(usOf(event)); setDragUs(undefined); }}
      onPointerCancel={() => setDragUs(undefined)}>
      <div className="play-line-slider" role="slider" tabIndex={0} aria-label={text.together.line} aria-description={text.together.help} onKeyDown={keys}
        aria-valuemin={Math.round(view.fromUs / 1e6)} aria-valuemax={Math.round(view.toUs / 1e6)} aria-valuenow={Math.round(clamp(at, view.fromUs, view.toUs) / 1e6)}
        aria-valuetext={`${dayWord(at, zone)} ${clockSeconds(at, zone)}`} />
      <div className="play-line-past" style={{ width: clamp(xOf(nowUs, view, width), 0, width) }} aria-hidden />
      {width > 0 && ticks(view, step, zone).map((tick) => {
        const x = xOf(tick.us, view, width);
        const room = x > 24 && x < width - 24;
        return <i key={tick.us} className="play-line-tick num" style={{ left: x }} aria-hidden>{room && <b>{tick.day ? dayName(tick.us, zone) : step < MINUTE ? clockSeconds(tick.us, zone) : clock(tick.us, zone)}</b>}</i>;
      })}
      <Head className="play-line-head" us={headUs} view={view} width={width} />
      {dragUs !== undefined && <span className="play-line-tip num" style={{ left: clamp(xOf(dragUs, view, width), 34, width - 34) }}>{clockSeconds(dragUs, zone)}</span>}
    </div>
  );
}

function lastHour(atUs: number, nowUs: number): View {
  const hour = { fromUs: nowUs - HOUR, toUs: nowUs };
  return atUs >= hour.fromUs ? hour : bounded(around(atUs, HOUR, nowUs), nowUs);
}

function useWheel(box: RefObject<HTMLDivElement | null>, view: View, width: number, nowUs: number, setView: (view: View) => void): void {
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      setView(wheeled(view, event, usAt(event.clientX - element.getBoundingClientRect().left, view, width), width, nowUs));
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, [box, view, width, nowUs, setView]);
}
