// The control channel of a playback session: the site says where it is, the viewer says where to go.

export type Order =
  | { type: "seek" | "scrub"; at_us: number } | { type: "step"; count: number } | { type: "pause" } | { type: "play" } | { type: "rate"; rate: number; at_us?: number };

/** How fast a recording can be played; above 4 the site sends key frames alone. */
export const rates = [0.25, 0.5, 1, 2, 4, 8, 16];

const fractions: Record<number, string> = { 0.25: "¼", 0.5: "½" };

/** "¼×", "1×", "−4×" */
export const rateWord = (rate: number): string => `${rate < 0 ? "−" : ""}${fractions[rate] ?? Math.abs(rate)}×`;

/** How fast it can be played backwards, by key frames alone. */
const backRates = rates.filter((rate) => rate >= 1);

/** The next rate in the same direction; after the fastest comes the slowest. */
export function nextRate(rate: number, by: 1 | -1): number {
  const list = rate < 0 ? backRates : rates;
  const at = list.indexOf(Math.abs(rate));
  return (list[(at < 0 ? list.indexOf(1) : at + by + list.length) % list.length] ?? 1) * Math.sign(rate);
}

/** The same speed the other way, as far as there is one. */
export const turned = (rate: number): number => (rate < 0 ? -rate : -Math.max(1, rate));

/** The name of the data channel, whichever side opens it. */
export const channelName = "control";

/** A live picture by its RTP time, how old it was when the site sent it, when by the site's clock that was, and how long pictures
 *  take inside the camera, where that tells. */
export interface Born {
  rtp: number;
  sent_us: number;
  age_us: number;
  own_us?: number;
}

/** What the site says: where it is (in a recording: with the picture at that moment, the moment that it was asked for and what its clock was off by)
 * and whether it knows steps, the single picture that a step, a moment or a pause led to and whether it was a step (without
 * rtp: none, and text says why), that backward playback has come to the beginning, what its clock shows, that it has no picture now and why, that it skips a gap,
 * that the line has room for less than was asked for and how far apart pictures are at most where some are left out, that it is another stream from now on (over a WebSocket), that the camera is to be taken from the relay, or that this is all. */
export type Word =
  | { type: "position"; at_us: number; born?: Born; rate?: number; steps?: true; rtp?: number; asked_us?: number; off_us?: number }
  | { type: "picture"; at_us: number; rtp?: number; step?: true; text: string }
  | { type: "stop"; at_us: number; text: string }
  | { type: "pong"; at_us: number; sent_us: number }
  | { type: "relay" }
  | { type: "begin"; stream: string; codec: string; sound: boolean; text: string }
  | { type: "note"; text: string; every_us?: number }
  | { type: "state" | "gap" | "end"; text: string };

const longestText = 500;

const finite = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

/** The site's word; undefined for a message that is none. */
export function readWord(message: unknown): Word | undefined {
  if (typeof message !== "string") return undefined;
  let body: unknown;
  try {
    body = JSON.parse(message);
  } catch {
    return undefined;
  }
  if (typeof body !== "object" || body === null) return undefined;
  const { type, at_us: atUs, text, rtp, sent_us: sentUs, age_us: ageUs, own_us: ownUs, rate, steps, step, asked_us: askedUs, off_us: offUs } = body as Record<string, unknown>;
  if (type === "position" || type === "pong") {
    if (!finite(atUs)) return undefined;
    if (type === "pong") return finite(sentUs) ? { type, at_us: atUs, sent_us: sentUs } : undefined;
    if (finite(rtp) && finite(sentUs)) return { type, at_us: atUs, born: { rtp, sent_us: sentUs, age_us: finite(ageUs) ? ageUs : 0, ...(finite(ownUs) && ownUs > 0 ? { own_us: ownUs } : {}) } };
    return {
      type, at_us: atUs, ...(finite(rate) && rate !== 0 ? { rate } : {}), ...(steps === true ? { steps } : {}),
      ...(finite(rtp) ? { rtp } : {}), ...(finite(askedUs) ? { asked_us: askedUs } : {}), ...(finite(offUs) ? { off_us: offUs } : {}),
    };
  }
  const words = typeof text === "string" ? text.slice(0, longestText) : "";
  if (type === "picture" || type === "stop") {
    if (!finite(atUs)) return undefined;
    return type === "picture" && finite(rtp) ? { type, at_us: atUs, rtp, ...(step === true ? { step } : {}), text: words } : { type, at_us: atUs, text: words };
  }
  if (type === "relay") return { type };
  if (type === "begin") {
    const { stream, codec, sound, note } = body as Record<string, unknown>;
    return { type, stream: String(stream), codec: String(codec), sound: sound === true, text: typeof note === "string" ? note.slice(0, longestText) : "" };
  }
  if (type === "note") {
    const { every_us: everyUs } = body as Record<string, unknown>;
    return { type, text: words, ...(finite(everyUs) && everyUs > 0 ? { every_us: everyUs } : {}) };
  }
  if (type !== "state" && type !== "gap" && type !== "end") return undefined;
  return { type, text: words };
}

/** Why the site has no picture yet, as it says before it answers, empty when that is over; undefined for any other message. */
export function whyNotYet(message: unknown): string | undefined {
  const word = readWord(message);
  return word?.type === "state" ? word.text : undefined;
}

/** Where a playback is: the last known moment plus what the video's own clock has moved since. */
export class Playhead {
  private atUs: number;
  private mediaS: number | undefined;
  /** How fast the recording goes by, against the video's clock. */
  private rate = 1;

  constructor(fromUs: number) {
    this.atUs = fromUs;
  }

  /** The moment that is shown at `mediaS` of the video's clock, in seconds. */
  set(atUs: number, mediaS: number, rate = this.rate): void {
    this.atUs = atUs;
    this.mediaS = mediaS;
    this.rate = rate;
  }

  /** The picture is somewhere else from now on and has not arrived yet. */
  jump(atUs: number): void {
    this.atUs = atUs;
    this.mediaS = undefined;
    this.rate ||= 1;
  }

  /** The picture stands still at a moment until the next word. */
  hold(atUs: number): void {
    this.set(atUs, 0, 0);
  }

  /** Whether the first picture since the last jump has not arrived yet. */
  waiting(): boolean {
    return this.mediaS === undefined;
  }

  /** The first picture of the current stretch was shown at `mediaS`. */
  firstFrame(mediaS: number): void {
    this.mediaS ??= mediaS;
  }

  at(mediaS: number): number {
    if (this.mediaS === undefined) return this.atUs;
    return this.atUs + Math.max(0, mediaS - this.mediaS) * 1_000_000 * this.rate;
  }
}
