// What there is to say of a session in figures, each in words.
import { bitrate, codecName, whole } from "../lib/format";
import { text } from "../text";
import type { Snapshot } from "./snapshot";

export type Figure = "stream" | "codec" | "size" | "rate" | "firstFrame" | "age" | "inside" | "delay" | "lost" | "path";

/** Those that are known. */
export function figuresOf({ stats, stream, codec, firstFrameMs, delayMs, insideMs }: Snapshot): Record<Figure, string | undefined> {
  return {
    stream: stream === "sub" ? text.live.streamSub : stream === "main" ? text.live.streamMain : undefined,
    codec: stats?.codec ? codecName(stats.codec.toLowerCase()) : codec ? codecName(codec) : undefined,
    size: stats && stats.width > 0 ? `${stats.width} × ${stats.height}${stats.fps < 0.5 ? "" : `, ${Math.round(stats.fps)} fps`}` : undefined,
    rate: stats && stats.kbps > 0 ? bitrate(stats.kbps) : undefined,
    firstFrame: firstFrameMs === undefined ? undefined : `${(firstFrameMs / 1000).toFixed(2)} s`,
    age: delayMs === undefined ? undefined : `${Math.round(delayMs)} ms`,
    inside: insideMs === undefined ? undefined : `${Math.round(insideMs)} ms`,
    delay: stats?.rttMs === undefined ? undefined : `${Math.round(stats.rttMs)} ms`,
    lost: stats ? whole(stats.lost) : undefined,
    path: stats?.path ? (text.live.paths[stats.path] ?? stats.path) : undefined,
  };
}

/** A picture that has been on the screen for longer than this is no moving one. */
const movesMs = 2000;

/** How old a live picture looks to whoever watches: nothing as long as it moves. */
export function standsFor(shownForMs: number | undefined): string {
  return shownForMs === undefined || shownForMs < movesMs ? "" : text.live.pictureOld(spanOf(shownForMs));
}

/** "2.4 s" up to ten seconds, "12 s" and "3 min" beyond. */
export function spanOf(ms: number): string {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 119_500 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}
