// Which way a video takes: WebRTC, or, where that is not to be had or has no room for what is wanted, MP4 over a WebSocket.
import { text } from "../text";
import { films, filmable } from "./film";
import type { Answer, Offer } from "./whep";

/** Why a video comes by WebSocket. */
export type Why = "no WebRTC" | "no path" | "sound" | "pictures";

/** The video codecs that this browser can receive, in the door's words. */
export function receivable(): string[] {
  if (typeof RTCRtpReceiver === "undefined") return [];
  const types = new Set(RTCRtpReceiver.getCapabilities("video")?.codecs.map((codec) => codec.mimeType.toLowerCase()) ?? []);
  return ["h264", "h265"].filter((name) => types.has(`video/${name}`));
}

/** Sites to which this page has found no path by WebRTC, and until when it does not look again. */
const pathless = new Map<string, number>();
const pathlessMs = 600_000;
/** The cloud, or a proxy before it, has no WebSocket for video. */
let withheld = false;
/** Cameras whose pictures only a WebSocket has room for. */
const wide = new Set<string>();
/** Cameras of which nothing was seen by WebSocket, although the browser said that it can: what WebRTC shows is better. */
const unseen = new Set<string>();

export const hasWebRTC = (): boolean => typeof RTCPeerConnection !== "undefined" && receivable().length > 0;

/** Notes that there is no path to a site by WebRTC: whoever wants to watch there next does not wait for one. */
export function noPath(site: string): void {
  pathless.set(site, performance.now() + pathlessMs);
}

/** Notes that nothing comes by WebSocket here. */
export function noSocket(): void {
  withheld = true;
  pathless.clear();
}

/** Whether a site is not to be tried by WebRTC now. Where two are out of reach it is the network here. */
export function shut(site: string): boolean {
  for (const [other, untilMs] of pathless) if (untilMs < performance.now()) pathless.delete(other);
  return !withheld && filmable().length > 0 && (pathless.has(site) || pathless.size > 1);
}

/** Why a video is to come by WebSocket; undefined: by WebRTC. loud: its sound is wanted, which WebRTC has no room for. */
export function whySocket(site: string, offer: Offer, loud: boolean): Why | undefined {
  if (withheld || filmable().length === 0) return undefined;
  if (!hasWebRTC()) return "no WebRTC";
  if (shut(site)) return "no path";
  if (loud && !unseen.has(offer.camera)) return "sound";
  return wide.has(offer.camera) && large(offer) ? "pictures" : undefined;
}

/** The widest tile for which a site chooses the small stream by itself (agent/live). */
const smallWidth = 800;

const large = (offer: Offer): boolean => offer.stream === "main" || (offer.stream === undefined && offer.width > smallWidth);

/** Whether an answer falls short of what a WebSocket has room for: then the camera comes by that from now on. */
export function fallsShort(offer: Offer, answer: Answer): boolean {
  if (withheld || unseen.has(offer.camera) || !large(offer) || answer.stream !== "sub" || !answer.unseen || !films(answer.unseen)) return false;
  wide.add(offer.camera);
  return true;
}

/** Notes that nothing of a camera was seen by WebSocket. */
export function unfit(camera: string): void {
  wide.delete(camera);
  unseen.add(camera);
}

/** Notes that a person wants it by WebSocket all the same. */
export function tryAgain(camera: string): void {
  unseen.delete(camera);
}

/** Takes back what a WebSocket was wanted for: it did not come about. */
export function retract(site: string, offer: Offer): void {
  pathless.delete(site);
  if (pathless.size > 1) pathless.clear();
  wide.delete(offer.camera);
}

/** Whether a refusal is one that a WebSocket may not meet with: the browser has no WebRTC for the camera's pictures. */
export function refusedPictures(offer: Offer): boolean {
  if (withheld || wide.has(offer.camera) || !large(offer) || filmable().length === 0) return false;
  wide.add(offer.camera);
  return true;
}

/** Whether sound that WebRTC has no room for can be heard all the same. */
export const audible = (unheard: string): boolean => !withheld && unheard !== "" && films("avc1.64001f", unheard);

export const reason = (why: Why): string => text.live.bySocket[why] ?? "";

// Another network may have a path.
if (typeof addEventListener === "function") {
  const again = () => {
    pathless.clear();
    unseen.clear();
    withheld = false;
  };
  addEventListener("online", again);
  (navigator as { connection?: EventTarget }).connection?.addEventListener?.("change", again);
}
