// Paints the timeline's track on a canvas. Each state has its own colour and its own pattern, so that it can be
// told apart without colour.
import type { Event, Hold, Range } from "../api/types";
import { reasonWords } from "../text/health";
import { clock, clockSeconds, dayName, HOUR, MINUTE } from "../lib/time";
import { blocks, type Look } from "./coverage";
import { type Tick, tickStep, ticks, type View, xOf } from "./scale";

export const layout = { height: 94, trackTop: 26, trackHeight: 44, eventTop: 76, eventHeight: 12 } as const;

export interface Palette {
  font: string;
  ink: string;
  inkSoft: string;
  line: string;
  track: string;
  event: string;
  surface: string;
  fills: Record<Look, CanvasPattern | string>;
}

export interface Scene {
  view: View;
  zone: string;
  ranges: readonly Range[];
  events: readonly Event[];
  held: readonly Hold[];
  /** The site can't be reached: what it alone has is out of reach. */
  dark: boolean;
  nowUs: number;
}

/** Colours and patterns out of the stylesheet's names, for the theme that holds now. */
export function palette(element: Element, scale: number): Palette {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    font: style.fontFamily, ink: read("--ink-2"), inkSoft: read("--ink-3"), line: read("--line-strong"), track: read("--cov-track"),
    event: read("--cov-event"), surface: read("--surface"),
    fills: {
      site: read("--cov-site"),
      cloud: pattern(scale, 6, read("--cov-cloud"), read("--cov-cloud-mark"), dots),
      in_flight: pattern(scale, 8, read("--cov-flight"), read("--cov-flight-mark"), rising),
      gap: pattern(scale, 7, read("--cov-gap"), read("--cov-gap-mark"), falling),
      intended: pattern(scale, 7, read("--cov-intended"), read("--cov-intended-mark"), falling),
      unknown: pattern(scale, 6, read("--cov-unknown"), read("--cov-unknown-mark"), checks),
    },
  };
}

type Mark = (context: CanvasRenderingContext2D, size: number) => void;

const dots: Mark = (context, size) => {
  context.beginPath();
  context.arc(size / 2, size / 2, 1.1, 0, 2 * Math.PI);
  context.fill();
};

/** One diagonal line per tile, drawn beyond its edges, so that tiles join. */
function diagonal(context: CanvasRenderingContext2D, size: number, slope: 1 | -1, width: number): void {
  context.lineWidth = width;
  context.beginPath();
  for (const shift of [-size, 0, size]) {
    context.moveTo(shift - 1, slope === 1 ? -1 : size + 1);
    context.lineTo(shift + size + 1, slope === 1 ? size + 1 : -1);
  }
  context.stroke();
}

const rising: Mark = (context, size) => diagonal(context, size, -1, 2.6);
const falling: Mark = (context, size) => diagonal(context, size, 1, 1.4);
const checks: Mark = (context, size) => {
  context.fillRect(0, 0, size / 2, size / 2);
  context.fillRect(size / 2, size / 2, size / 2, size / 2);
};

function pattern(scale: number, size: number, ground: string, ink: string, mark: Mark): CanvasPattern | string {
  const tile = document.createElement("canvas");
  tile.width = tile.height = Math.round(size * scale);
  const context = tile.getContext("2d");
  if (!context) return ground;
  context.scale(tile.width / size, tile.height / size);
  context.fillStyle = ground;
  context.fillRect(0, 0, size, size);
  context.fillStyle = context.strokeStyle = ink;
  mark(context, size);
  const made = context.createPattern(tile, "repeat");
  made?.setTransform(new DOMMatrix().scale(size / tile.width));
  return made ?? ground;
}

/** Paints everything but what moves: playhead, cursor and selection are elements above the canvas. */
export function paint(canvas: HTMLCanvasElement, width: number, scale: number, colours: Palette, scene: Scene): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const wide = Math.round(width * scale);
  const high = Math.round(layout.height * scale);
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, layout.height);
  paintTicks(context, width, colours, scene);
  paintTrack(context, width, colours, scene);
  paintEvents(context, width, colours, scene);
}

function paintTicks(context: CanvasRenderingContext2D, width: number, colours: Palette, { view, zone }: Scene): void {
  const step = tickStep(view, width, 76);
  // Midnight's name stands beside its line where hours stand below theirs.
  const aside = (tick: Tick) => tick.day && step <= 12 * HOUR;
  let taken = -Infinity;
  context.textBaseline = "alphabetic";
  context.textAlign = "center";
  for (const tick of ticks(view, step, zone)) {
    const x = Math.round(xOf(tick.us, view, width)) + 0.5;
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, aside(tick) ? 4 : 19);
    context.lineTo(x, layout.trackTop - 2);
    context.stroke();
    const label = tick.day ? dayName(tick.us, zone) : step < MINUTE ? clockSeconds(tick.us, zone) : clock(tick.us, zone);
    context.font = `${tick.day ? 600 : 400} 11px ${colours.font}`;
    context.fillStyle = tick.day ? colours.ink : colours.inkSoft;
    const half = context.measureText(label).width / 2;
    const middle = aside(tick) ? x + 5 + half : x;
    if (middle - half < Math.max(2, taken + 8) || middle + half > width - 2) continue;
    context.fillText(label, middle, 14);
    taken = middle + half;
  }
}

function paintTrack(context: CanvasRenderingContext2D, width: number, colours: Palette, { view, ranges, held, dark, nowUs }: Scene): void {
  const { trackTop: top, trackHeight: height } = layout;
  context.save();
  context.beginPath();
  context.roundRect(0, top, width, height, 5);
  context.clip();
  context.fillStyle = colours.track;
  context.fillRect(0, top, width, height);
  const end = Math.min(width, xOf(nowUs, view, width));
  for (const block of blocks(ranges, view, width)) {
    const x = Math.min(block.x, end);
    context.globalAlpha = dark && (block.look === "site" || block.look === "in_flight") ? 0.35 : 1; // as on walls
    context.fillStyle = colours.fills[block.look];
    context.fillRect(x, top, Math.min(block.x + block.width, Math.max(end, 0)) - x, height);
  }
  context.globalAlpha = 1;
  context.restore();
  paintHeld(context, width, colours, view, held);
  paintReasons(context, Math.max(0, end), colours, view, ranges, width);
}

/** A bracket along the lower edge of what is held. */
function paintHeld(context: CanvasRenderingContext2D, width: number, colours: Palette, view: View, held: readonly Hold[]): void {
  const bottom = layout.trackTop + layout.trackHeight;
  for (const hold of held) {
    const from = Math.max(-4, xOf(hold.start_us, view, width));
    const to = Math.min(width + 4, xOf(hold.end_us, view, width));
    if (to < 0 || from > width) continue;
    const wide = Math.max(3, to - from);
    context.fillStyle = colours.surface;
    context.fillRect(from - 1, bottom - 11, wide + 2, 11);
    context.fillStyle = colours.ink;
    context.fillRect(from, bottom - 4, wide, 4);
    context.fillRect(from, bottom - 10, Math.min(2.5, wide), 10);
    context.fillRect(from + wide - Math.min(2.5, wide), bottom - 10, Math.min(2.5, wide), 10);
  }
}

/** Writes a gap's reason into it where there is room. */
function paintReasons(context: CanvasRenderingContext2D, end: number, colours: Palette, view: View, ranges: readonly Range[], width: number): void {
  context.font = `600 11px ${colours.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const range of ranges) {
    if (range.state !== "gap") continue;
    const from = Math.max(0, xOf(range.start_us, view, width));
    const to = Math.min(end, xOf(range.end_us, view, width));
    if (to - from < 64) continue;
    const words = fitted(context, reasonWords(range.reason), to - from - 24);
    if (!words) continue;
    const room = context.measureText(words).width + 12;
    const middle = (from + to) / 2;
    const y = layout.trackTop + layout.trackHeight / 2;
    context.fillStyle = colours.surface;
    context.beginPath();
    context.roundRect(middle - room / 2, y - 9, room, 18, 4);
    context.fill();
    context.fillStyle = colours.ink;
    context.fillText(words, middle, y + 0.5);
  }
}

function fitted(context: CanvasRenderingContext2D, words: string, room: number): string {
  if (context.measureText(words).width <= room) return words;
  for (let length = words.length - 1; length > 5; length--) {
    const cut = `${words.slice(0, length).trimEnd()}…`;
    if (context.measureText(cut).width <= room) return cut;
  }
  return "";
}

function paintEvents(context: CanvasRenderingContext2D, width: number, colours: Palette, { view, events }: Scene): void {
  context.fillStyle = colours.event;
  const middle = layout.eventTop + layout.eventHeight / 2;
  let lastX = -Infinity;
  for (const event of events) {
    const x = xOf(event.at_us, view, width);
    if (x < -6 || x > width + 6) continue;
    if (event.end_us) {
      context.globalAlpha = 0.35;
      context.fillRect(x, middle - 2, Math.max(1, xOf(event.end_us, view, width) - x), 4);
      context.globalAlpha = 1;
    }
    if (Math.abs(x - lastX) < 3) continue;
    lastX = x;
    context.beginPath();
    context.moveTo(x, middle - 5.5);
    context.lineTo(x + 5, middle);
    context.lineTo(x, middle + 5.5);
    context.lineTo(x - 5, middle);
    context.fill();
  }
}
