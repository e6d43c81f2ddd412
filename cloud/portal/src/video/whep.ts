// The signalling of a live session: an SDP offer posted, an answer back, in WHEP's shape (RFC 9725 for its
// sending twin). One session per call; nothing is trickled.
import { client, data, raw } from "../api/client";
import type { StreamKind } from "../api/types";

export interface Offer {
  camera: string;
  stream?: StreamKind | undefined;
  /** Width of the tile in device pixels, from which the site picks a stream. */
  width: number;
  /** Plays from this moment on instead of live. */
  fromUs?: number | undefined;
}

export interface Answer {
  sdp: string;
  /** Path of the session, to end it. */
  session: string | undefined;
  stream: string;
  codec: string;
  /** Why it is not what was asked for, in words. */
  note: string;
}

/** The video codecs that this browser can receive, in the door's words. */
export function receivable(): string[] {
  const types = new Set(RTCRtpReceiver.getCapabilities("video")?.codecs.map((codec) => codec.mimeType.toLowerCase()) ?? []);
  return ["h264", "h265"].filter((name) => types.has(`video/${name}`));
}

/** The servers that help the two ends to find each other. */
export async function iceServers(signal: AbortSignal): Promise<RTCIceServer[]> {
  const got = await data(client.GET("/live/ice", { signal }));
  return got.servers.map((server) => ({
    urls: server.urls,
    ...(server.username ? { username: server.username } : {}),
    ...(server.credential ? { credential: server.credential } : {}),
  }));
}

/** Posts an offer; throws an ApiError whose words are for the person who waits. */
export async function post(sdp: string, offer: Offer, signal: AbortSignal): Promise<Answer> {
  const query = new URLSearchParams({ width: String(Math.round(offer.width)), codecs: receivable().join(",") });
  if (offer.stream) query.set("stream", offer.stream);
  if (offer.fromUs !== undefined) query.set("from_us", String(Math.round(offer.fromUs)));
  const response = await raw(`/cameras/${encodeURIComponent(offer.camera)}/live?${query}`, {
    method: "POST", body: sdp, headers: { "Content-Type": "application/sdp" }, signal,
  });
  return {
    sdp: await response.text(),
    session: response.headers.get("Location") ?? undefined,
    stream: response.headers.get("Holdfast-Stream") ?? "",
    codec: response.headers.get("Holdfast-Codec") ?? "",
    note: unescape(response.headers.get("Holdfast-Note")),
  };
}

/** Ends a session, also while the page is being left. */
export function end(session: string): void {
  void fetch(session, { method: "DELETE", credentials: "same-origin", keepalive: true }).catch(() => undefined);
}

function unescape(header: string | null): string {
  if (!header) return "";
  try {
    return decodeURIComponent(header);
  } catch {
    return header;
  }
}
