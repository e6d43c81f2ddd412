import { type KeyboardEvent, useRef, useState } from "react";

import { text } from "../text";
import { Button } from "../ui/button";

/** Hours of a week: a number for each day from Monday, whose lowest bit is the hour from 0:00. */
export type Hours = readonly number[];

const allDay = (1 << 24) - 1;

export const everyHour: Hours = Array.from({ length: 7 }, () => allDay);
const none: Hours = Array.from({ length: 7 }, () => 0);

const bits = (day: number): number => Array.from({ length: 24 }, (_, hour) => (day >> hour) & 1).reduce((sum, bit) => sum + bit, 0);

export const hourCount = (hours: Hours): number => hours.reduce((sum, day) => sum + bits(day), 0);

const between = (from: number, to: number): number => Array.from({ length: to - from }, (_, n) => 1 << (from + n)).reduce((sum, bit) => sum | bit, 0);

const presets: Record<keyof typeof text.rules.hoursPresets, Hours> = {
  nights: Array.from({ length: 7 }, () => between(22, 24) | between(0, 6)),
  office: Array.from({ length: 7 }, (_, day) => (day < 5 ? between(8, 18) : 0)),
  weekend: Array.from({ length: 7 }, (_, day) => (day < 5 ? 0 : allDay)),
  none,
};

/** Chooses hours of the week on a grid: by pressing, by dragging over it, or with the arrows and the space bar. */
export function HourGrid({ hours, onChange, fault }: { hours: Hours; onChange: (hours: Hours) => void; fault?: string }) {
  const [at, setAt] = useState<[day: number, hour: number]>([0, 8]);
  const paint = useRef<boolean>(undefined);
  const grid = useRef<HTMLDivElement>(null);
  const has = (day: number, hour: number) => (((hours[day] ?? 0) >> hour) & 1) === 1;
  const set = (day: number, hour: number, on: boolean) =>
    onChange(hours.map((bitsOfDay, n) => (n === day ? (on ? bitsOfDay | (1 << hour) : bitsOfDay & ~(1 << hour)) : bitsOfDay)));
  const move = (day: number, hour: number) => {
    const next: [number, number] = [Math.min(6, Math.max(0, day)), Math.min(23, Math.max(0, hour))];
    setAt(next);
    grid.current?.querySelector<HTMLElement>(`[data-cell="${next[0]}-${next[1]}"]`)?.focus();
  };
  const press = (event: KeyboardEvent, day: number, hour: number) => {
    const steps: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -23], End: [0, 23] };
    const step = steps[event.key];
    if (step) move(day + step[0], hour + step[1]);
    else if (event.key === " " || event.key === "Enter") set(day, hour, !has(day, hour));
    else return;
    event.preventDefault();
  };
  // A finger drags over cells that did not get its events.
  const drag = (x: number, y: number) => {
    const cell = document.elementFromPoint(x, y)?.closest<HTMLElement>("[data-cell]");
    const [day, hour] = (cell?.dataset.cell ?? "").split("-").map(Number);
    if (paint.current !== undefined && day !== undefined && hour !== undefined && has(day, hour) !== paint.current) set(day, hour, paint.current);
  };
  return (
    <div className="hours">
      <div className="hours-presets">
        {(Object.keys(presets) as (keyof typeof presets)[]).map((name) => (
          <Button key={name} small onPress={() => onChange(presets[name])}>{text.rules.hoursPresets[name]}</Button>
        ))}
      </div>
      <div className="hours-grid" role="grid" aria-label={text.rules.hours} ref={grid} data-testid="hour-grid"
        onPointerMove={(event) => event.buttons > 0 && drag(event.clientX, event.clientY)} onPointerUp={() => { paint.current = undefined; }}>
        <div className="hours-row hours-scale" aria-hidden>
          <span />
          {[0, 6, 12, 18].map((hour) => <span key={hour} className="num" style={{ gridColumn: `${hour + 2} / span 6` }}>{hour}:00</span>)}
        </div>
        {text.rules.days.map((name, day) => (
          <div key={name} className="hours-row" role="row">
            <span role="rowheader" className="hours-day"><span aria-hidden>{text.rules.daysShort[day]}</span><span className="unseen">{name}</span></span>
            {Array.from({ length: 24 }, (_, hour) => (
              <span key={hour} role="gridcell" className="hours-cell" tabIndex={at[0] === day && at[1] === hour ? 0 : -1} aria-selected={has(day, hour)}
                aria-label={text.rules.hourOf(name, hour)} data-cell={`${day}-${hour}`} onKeyDown={(event) => press(event, day, hour)} onFocus={() => setAt([day, hour])}
                onPointerDown={(event) => {
                  event.currentTarget.releasePointerCapture(event.pointerId);
                  paint.current = !has(day, hour);
                  set(day, hour, paint.current);
                }} />
            ))}
          </div>
        ))}
      </div>
      <p className={fault ? "field-fault" : "field-hint"} role={fault ? "alert" : undefined}>{fault ?? `${text.rules.hoursCount(hourCount(hours))}. ${text.rules.hoursKeys}`}</p>
    </div>
  );
}
