// A place for one camera over a WebSocket: MP4 in binary messages, words in text messages. To whoever sits there it is like a
// place on a WebRTC connection.
import { ApiError } from "../api/errors";
import { base, raw } from "../api/client";
import { text } from "../text";
import { Film, playable } from "./film";
import type { Seat } from "./seat";
import { noSocket, reason, type Why } from "./ways";
import { type Answer, type Offer, query } from "./whep";

/** How long the first picture's opening may take. */
const openMs = 20_000;
const maxTripMs = 60_000;

interface Begin {
  type: "begin";
  mime: string;
  stream: string;
  codec: string;
  sound: boolean;
  note?: string;
}

/** Takes a camera over a WebSocket. lost is told when that ends later. Throws an ApiError whose words are for the person who
 *  waits. */
export function sit(offer: Offer, why: Why, lost: (why: string) => void, signal: AbortSignal): Promise<Seat> {
  const path = `/cameras/${encodeURIComponent(offer.camera)}/socket?${query(offer, playable())}`;
  return new Promise((done, failed) => {
    const place = new Place(new URL(base + path, location.href), why, {
      begun: done, lost,
      refused: (error, opened) => {
        if (error) failed(error);
        else void askWhy(path, opened).then(failed);
      },
    });
    signal.addEventListener("abort", () => {
      place.close();
      failed(new DOMException("called off", "AbortError"));
    });
  });
}

/** Why a WebSocket did not come about: a browser does not say, but an ordinary request is told. */
async function askWhy(path: string, opened: boolean): Promise<unknown> {
  if (opened) return new ApiError(0, text.live.ended);
  try {
    await raw(path);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 426) return error;
  }
  noSocket();
  return new ApiError(502, text.live.noSocket);
}

interface Told {
  begun: (seat: Seat) => void;
  refused: (error: ApiError | undefined, opened: boolean) => void;
  lost: (why: string) => void;
}

class Place {
  private readonly socket: WebSocket;
  private readonly film: Film;
  private seat: Seat | undefined;
  /** What was said before there was anything to show. */
  private readonly early: string[] = [];
  private opened = false;
  private over = false;
  private messages = 0;
  private bytes = 0;
  private tripMs: number | undefined;
  private decoded = { frames: 0, atMs: 0, fps: 0 };
  private hasSound: (() => void) | undefined;
  private sounds = false;
  private readonly late: ReturnType<typeof setTimeout>;

  constructor(url: URL, private readonly why: Why, private readonly told: Told) {
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.film = new Film(() => this.end(text.live.noPicture), () => this.say('{"type":"anew"}'));
    this.socket.onopen = () => {
      this.opened = true;
    };
    this.socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => (typeof data === "string" ? this.hear(data) : this.take(data));
    this.socket.onclose = () => this.end(text.live.ended);
    this.late = setTimeout(() => this.end(text.live.noPicture), openMs);
  }

  close(): void {
    this.over = true;
    clearTimeout(this.late);
    this.socket.onclose = this.socket.onmessage = null;
    this.socket.close();
    this.film.close();
  }

  private say(words: string): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(words);
  }

  private take(piece: ArrayBuffer): void {
    this.say(`{"type":"got","count":${++this.messages}}`);
    this.bytes += piece.byteLength;
    this.film.add(piece);
  }

  private hear(words: string): void {
    const word = JSON.parse(words) as Begin | { type: "refused"; status: number; text: string } | { type: "pong"; at_us: number };
    if (word.type === "refused") {
      this.end(word.text, new ApiError(word.status, word.text));
      return;
    }
    if (word.type === "pong") {
      const tripMs = performance.now() - word.at_us / 1000;
      if (tripMs >= 0 && tripMs < maxTripMs) this.tripMs = tripMs;
    }
    if (word.type === "begin") this.begin(word);
    if (!this.seat) this.early.push(words);
    this.seat?.channel.onmessage?.(new MessageEvent("message", { data: words }));
  }

  private begin(word: Begin): void {
    this.film.begin(word.mime);
    this.sounds = word.sound;
    if (word.sound) this.hasSound?.();
    if (this.seat) return;
    clearTimeout(this.late);
    const note = [reason(this.why), word.note].filter(Boolean).join(" ");
    this.seat = this.make({ sdp: "", connection: undefined, slots: 1, session: undefined, stream: word.stream, codec: word.codec, note, unheard: "", unseen: "", relay: false });
    this.told.begun(this.seat);
  }

  private make(answer: Answer): Seat {
    const { socket } = this;
    return {
      media: this.film, answer, relayed: true, path: "socket", early: this.early,
      channel: {
        get readyState() {
          return socket.readyState === WebSocket.OPEN ? "open" : "closed";
        },
        onmessage: null,
        send: (words) => this.say(words),
      },
      measure: () => Promise.resolve(this.measure()),
      hears: (tell) => {
        this.hasSound = tell;
        if (this.sounds) tell();
      },
      leave: () => this.close(),
    };
  }

  /** What the browser would say of a place on a connection. */
  private measure(): RTCStatsReport {
    const video = this.film.element;
    const now = performance.now();
    const frames = video?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
    if (now - this.decoded.atMs > 900) {
      const seconds = (now - this.decoded.atMs) / 1000;
      this.decoded = { fps: this.decoded.atMs ? Math.max(0, frames - this.decoded.frames) / seconds : 0, frames, atMs: now };
    }
    return new Map<string, object>([
      ["video", {
        type: "inbound-rtp", kind: "video", timestamp: now, bytesReceived: this.bytes, framesDecoded: frames, framesPerSecond: this.decoded.fps,
        frameWidth: video?.videoWidth, frameHeight: video?.videoHeight, packetsLost: 0,
      }],
      ["transport", { type: "transport", selectedCandidatePairId: "pair" }],
      ["pair", { type: "candidate-pair", currentRoundTripTime: this.tripMs === undefined ? undefined : this.tripMs / 1000 }],
    ]) as unknown as RTCStatsReport;
  }

  private end(why: string, error?: ApiError): void {
    if (this.over) return;
    const begun = this.seat !== undefined;
    this.close();
    if (begun) this.told.lost(why);
    else this.told.refused(error, this.opened);
  }
}
