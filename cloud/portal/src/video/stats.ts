// What the browser measures of a camera's place on a connection, boiled down to what a person asks about.
import type { Seat } from "./seat";

export interface Stats {
  codec: string;
  width: number;
  height: number;
  fps: number;
  kbps: number;
  lost: number;
  /** Round trip in milliseconds; undefined until measured. */
  rttMs: number | undefined;
  /** "host", "srflx" or "relay"; "shared" when it comes from the relay that many watch through, "socket" by WebSocket. */
  path: string;
  framesDecoded: number;
}

/** Reads the statistics of a place and makes rates out of two readings. */
export class StatsReader {
  private bytes = 0;
  private atMs = 0;

  async read(seat: Seat): Promise<Stats | undefined> {
    const report = await seat.measure();
    let video: RTCInboundRtpStreamStats | undefined;
    let transport: RTCTransportStats | undefined;
    for (const entry of report.values() as Iterable<RTCStats & { kind?: string }>) {
      if (entry.type === "inbound-rtp" && entry.kind === "video") video = entry as RTCInboundRtpStreamStats;
      if (entry.type === "transport") transport = entry as RTCTransportStats;
    }
    if (!video) return undefined;
    const pair = transport?.selectedCandidatePairId ? (report.get(transport.selectedCandidatePairId) as RTCIceCandidatePairStats | undefined) : undefined;
    const codec = video.codecId ? (report.get(video.codecId) as { mimeType?: string } | undefined) : undefined;
    return {
      codec: codec?.mimeType?.replace(/^video\//, "") ?? "",
      width: video.frameWidth ?? 0,
      height: video.frameHeight ?? 0,
      fps: video.framesPerSecond ?? 0,
      kbps: this.rate(video.bytesReceived ?? 0, video.timestamp),
      lost: video.packetsLost ?? 0,
      rttMs: pair?.currentRoundTripTime === undefined ? undefined : pair.currentRoundTripTime * 1000,
      path: seat.path ?? (seat.relayed && pair ? "shared" : pathOf(report, pair)),
      framesDecoded: video.framesDecoded ?? 0,
    };
  }

  private rate(bytes: number, atMs: number): number {
    const seconds = (atMs - this.atMs) / 1000;
    const kbps = this.atMs > 0 && seconds > 0 ? ((bytes - this.bytes) * 8) / 1000 / seconds : 0;
    this.bytes = bytes;
    this.atMs = atMs;
    return Math.max(0, kbps);
  }
}

function pathOf(report: RTCStatsReport, pair: RTCIceCandidatePairStats | undefined): string {
  if (!pair) return "";
  const kinds = [pair.localCandidateId, pair.remoteCandidateId].map(
    (id) => (report.get(id) as { candidateType?: string } | undefined)?.candidateType ?? "",
  );
  if (kinds.includes("relay")) return "relay";
  return kinds.every((kind) => kind === "host") ? "host" : "srflx";
}
