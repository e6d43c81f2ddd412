// The signalling of live sessions: an SDP offer posted, an answer back, in WHEP's shape (RFC 9725 for its sending twin),
// addresses told as they become known, and cameras asked for over a connection that is there.
import { raw } from "../api/client";
import type { components } from "../api/schema";
import type { StreamKind } from "../api/types";
import { receivable } from "./ways";

export interface Offer {
  camera: string;
  stream?: StreamKind | undefined;
  /** Width of the tile in device pixels, from which the site picks a stream. */
  width: number;
  /** Plays from this moment on instead of live. */
  fromUs?: number | undefined;
  /** Nobody will hear it. */
  silent?: boolean | undefined;
}

export interface Answer {
  /** Of the connection; empty for a camera over one that is there. */
  sdp: string;
  /** Path of the connection, to end it. */
  connection: string | undefined;
  /** Cameras that can be shown over the connection at once; 0: one, since the site's agent is an old one. */
  slots: number;
  /** Path of what is shown, to end it. */
  session: string | undefined;
  stream: string;
  codec: string;
  /** Why it is not what was asked for, in words. */
  note: string;
  /** What the camera has and only a WebSocket has room for (RFC 6381): sound, and the pictures that were asked for. Empty:
   *  nothing. */
  unheard: string;
  unseen: string;
  /** Nothing is shown: the site sends the camera to the relay already, which has it for everybody. */
  relay: boolean;
}

/** What serves a connection: the site alone, the site until it sends its viewers on, or the relay that many watch through. */
export type Way = "site" | "either" | "relay";

/** What an offer asks the door for; codecs are those that the browser shows in the way that is meant. */
export function query(offer: Offer, codecs = receivable()): URLSearchParams {
  const out = new URLSearchParams({ width: String(Math.round(offer.width)), codecs: codecs.join(",") });
  if (offer.stream) out.set("stream", offer.stream);
  if (offer.fromUs !== undefined) out.set("from_us", String(Math.round(offer.fromUs)));
  if (offer.silent) out.set("silent", "true");
  return out;
}

export interface Connect {
  sdp: string;
  site: string;
  way: Way;
  /** What is shown on the first place at once. */
  first: Offer | undefined;
  /** User name of the relay credentials that the browser uses. */
  relay: string | undefined;
  /** The addresses of both ends follow, by tell. */
  trickle: boolean;
}

/** Makes a connection to a site; throws an ApiError whose words are for the person who waits. */
export async function connect({ sdp, site, way, first, relay, trickle }: Connect, signal: AbortSignal): Promise<Answer> {
  const wish = first ? query(first) : new URLSearchParams();
  wish.set("through", way);
  if (trickle) wish.set("trickle", "true");
  if (relay) wish.set("relay", relay);
  if (first) wish.set("camera", first.camera);
  const response = await raw(`/sites/${encodeURIComponent(site)}/live?${wish}`, {
    method: "POST", body: sdp, headers: { "Content-Type": "application/sdp" }, signal,
  });
  return {
    sdp: await response.text(),
    connection: response.headers.get("Location") ?? undefined,
    slots: Number(response.headers.get("Holdfast-Slots")) || 0,
    session: response.headers.get("Holdfast-View") ?? undefined,
    stream: response.headers.get("Holdfast-Stream") ?? "",
    codec: response.headers.get("Holdfast-Codec") ?? "",
    note: unescape(response.headers.get("Holdfast-Note")),
    unheard: response.headers.get("Holdfast-Unheard") ?? "",
    unseen: response.headers.get("Holdfast-Unseen") ?? "",
    relay: false,
  };
}

/** Seeks the path of a connection anew, by an offer that restarts ICE; returns the answer. The addresses of both ends follow,
 *  by tell. */
export function restart(connection: string, sdp: string, relay: string | undefined, signal: AbortSignal): Promise<string> {
  return move(`${connection}?${new URLSearchParams({ trickle: "true", ...(relay ? { relay } : {}) })}`, "application/sdp", sdp, signal);
}

/** Tells a connection's far end of addresses, as a fragment (RFC 8840 section 9), and returns its own. */
export function tell(connection: string, fragment: string, signal: AbortSignal): Promise<string> {
  return move(connection, "application/trickle-ice-sdpfrag", fragment, signal);
}

async function move(path: string, type: string, body: string, signal: AbortSignal): Promise<string> {
  const response = await raw(path.replace(/^.*?(?=\/live\/)/, ""), { method: "PATCH", body, headers: { "Content-Type": type }, signal });
  return response.text();
}

/** Shows a camera on a place of a connection; throws like connect, with status 410 when the connection has ended. */
export async function view(connection: string, slot: number, offer: Offer, signal: AbortSignal): Promise<Answer> {
  const wish = query(offer);
  wish.set("connection", connection.slice(connection.lastIndexOf("/") + 1));
  wish.set("slot", String(slot));
  const response = await raw(`/cameras/${encodeURIComponent(offer.camera)}/view?${wish}`, { method: "POST", signal });
  const got = (await response.json()) as components["schemas"]["LiveView"];
  return {
    sdp: "", connection: undefined, slots: 0, session: got.path, stream: got.stream ?? "", codec: got.codec ?? "", note: got.note ?? "", relay: got.relay ?? false,
    unheard: got.unheard ?? "", unseen: got.unseen ?? "",
  };
}

/** Asks to speak through a camera's loudspeaker, by an offer with one place for sound; the answer comes when the camera
 *  listens. Throws an ApiError whose words are for the person who wants to speak. */
export async function speak(camera: string, sdp: string, relay: string | undefined, trickle: boolean): Promise<{ sdp: string; session: string }> {
  const wish = new URLSearchParams({ ...(relay ? { relay } : {}), ...(trickle ? { trickle: "true" } : {}) });
  const response = await raw(`/cameras/${encodeURIComponent(camera)}/talk?${wish}`, { method: "POST", body: sdp, headers: { "Content-Type": "application/sdp" } });
  return { sdp: await response.text(), session: response.headers.get("Location") ?? "" };
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

/** Keeps an offer to what a site can send: an offer that lists everything is many times as long. */
export function prefer(transceiver: RTCRtpTransceiver, types: string[]): void {
  const kind = transceiver.receiver.track.kind;
  const known = RTCRtpReceiver.getCapabilities(kind)?.codecs.filter((codec) => types.includes(codec.mimeType.toLowerCase())) ?? [];
  if (known.length > 0) transceiver.setCodecPreferences(known);
}
