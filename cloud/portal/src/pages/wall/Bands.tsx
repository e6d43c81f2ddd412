import { useEffect, useLayoutEffect, useRef, useState } from "react";

import { onTheme } from "../../lib/theme";
import { type Band, columns, kinds, rowsFor, type Share } from "../../timeline/bands";
import { blocks } from "../../timeline/coverage";
import { type Palette, palette } from "../../timeline/paint";
import { type View, xOf } from "../../timeline/scale";

/** How high the bands are as one. */
export const mergedHeight = 22;

/** How high the bands are. */
export function bandsHeight(count: number, merged: boolean): number {
  const { height, between } = rowsFor(count);
  return merged ? mergedHeight : Math.max(14, count * (height + between) - between);
}

interface BandsProps {
  bands: readonly Band[];
  /** As one band: how many of them have video. */
  merged: readonly Share[] | undefined;
  view: View;
  width: number;
  nowUs: number;
}

/** Where the video of several cameras is, in the colours and patterns of a camera's own timeline. */
export function Bands({ bands, merged, view, width, nowUs }: BandsProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [look, setLook] = useState(0);
  useEffect(() => onTheme(() => requestAnimationFrame(() => setLook((count) => count + 1))), []);
  const painted = useRef<{ look: number; scale: number; colours: Palette }>(undefined);
  const height = bandsHeight(bands.length, merged !== undefined);
  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!canvas.current || !context || width === 0) return;
    const scale = devicePixelRatio || 1;
    if (painted.current?.look !== look || painted.current.scale !== scale) painted.current = { look, scale, colours: palette(canvas.current, scale) };
    canvas.current.width = Math.round(width * scale);
    canvas.current.height = Math.round(height * scale);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const end = Math.min(width, Math.max(0, xOf(nowUs, view, width)));
    context.beginPath();
    context.rect(0, 0, end, height); // nothing is painted of what is to come
    context.clip();
    if (merged) paintMerged(context, painted.current.colours, merged, bands.length, view, width);
    else paintRows(context, painted.current.colours, bands, view, width);
  }, [bands, merged, view, width, height, nowUs, look]);
  return <canvas ref={canvas} className="play-line-bands" style={{ height }} aria-hidden />;
}

function paintRows(context: CanvasRenderingContext2D, colours: Palette, bands: readonly Band[], view: View, width: number): void {
  const { height, between } = rowsFor(bands.length);
  for (const [at, band] of bands.entries()) {
    for (const { x, width: wide, look } of blocks(band.ranges, view, width)) {
      context.globalAlpha = band.dark && (look === "site" || look === "in_flight") ? 0.35 : 1; // it is out of reach
      context.fillStyle = colours.fills[look];
      context.fillRect(x, at * (height + between), wide, height);
    }
  }
  context.globalAlpha = 1;
}

const fills = { video: "site", unknown: "unknown", intended: "intended", gap: "gap" } as const;

/** Each time is as high as the share of cameras that have video, from below; above them stands what the others have. */
function paintMerged(context: CanvasRenderingContext2D, colours: Palette, merged: readonly Share[], count: number, view: View, width: number): void {
  const all = columns(merged, view, width);
  for (const column of [...all.filter(({ gap }) => gap === 0), ...all.filter(({ gap }) => gap > 0)]) {
    let bottom = mergedHeight;
    for (const kind of kinds) {
      const high = (column[kind] / Math.max(1, count)) * mergedHeight;
      if (high === 0) continue;
      context.fillStyle = colours.fills[fills[kind]];
      context.fillRect(column.x, bottom - high, column.width, high);
      bottom -= high;
    }
  }
}
