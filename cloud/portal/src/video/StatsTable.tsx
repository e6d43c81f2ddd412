import { bitrate, codecName, whole } from "../lib/format";
import { text } from "../text";
import type { Snapshot } from "./snapshot";

/** The technical details of a session, for those who ask. */
export function StatsTable({ snapshot }: { snapshot: Snapshot }) {
  const { stats } = snapshot;
  const rows: [string, string | undefined][] = [
    [text.live.stream, snapshot.stream === "sub" ? text.live.streamSub : snapshot.stream === "main" ? text.live.streamMain : undefined],
    [text.live.codec, stats?.codec ? codecName(stats.codec.toLowerCase()) : snapshot.codec ? codecName(snapshot.codec) : undefined],
    [text.live.size, stats && stats.width > 0 ? `${stats.width} × ${stats.height}, ${Math.round(stats.fps)} fps` : undefined],
    [text.live.rate, stats && stats.kbps > 0 ? bitrate(stats.kbps) : undefined],
    [text.live.firstFrame, snapshot.firstFrameMs === undefined ? undefined : `${(snapshot.firstFrameMs / 1000).toFixed(2)} s`],
    [text.live.age, snapshot.delayMs === undefined ? undefined : `${Math.round(snapshot.delayMs)} ms`],
    [text.live.delay, stats?.rttMs === undefined ? undefined : `${Math.round(stats.rttMs)} ms`],
    [text.live.lost, stats ? whole(stats.lost) : undefined],
    [text.live.path, stats?.path ? (text.live.paths[stats.path] ?? stats.path) : undefined],
  ];
  return (
    <dl className="player-stats" data-testid="live-stats">
      {rows.map(([name, value]) => value !== undefined && (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
