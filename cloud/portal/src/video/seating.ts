// How one video comes to a place on a connection and keeps one: it tries again after a while, goes over to the relay when it
// is told to, and lets go.
import { ApiError, words } from "../api/errors";
import { text } from "../text";
import type { Media } from "./film";
import { relayed, shun, take } from "./link";
import type { Seat } from "./seat";
import { sit } from "./socket";
import { hasPicture } from "./stage";
import { fallsShort, hasWebRTC, refusedPictures, retract, shut, type Why, whySocket } from "./ways";
import type { Offer } from "./whep";

const retries = 6;

/** Whose place it is. */
export interface Sitter {
  site: () => string;
  /** What is to be shown; asked anew at every try. */
  offer: () => Offer;
  /** The place is known before it is taken; why: the site says why there is no picture yet. */
  early: (media: Media, why?: string) => void;
  /** Sound is wanted that WebRTC has no room for. */
  loud: () => boolean;
  /** The place is taken; relayed: instead of the one before, whose picture is on the screen. */
  accept: (seat: Seat, relayed: boolean) => void;
  /** A place is not looked at any more. */
  release: () => void;
  /** A place by WebSocket has failed. */
  fell: () => void;
  /** It did not work, or works no more; again: it is tried once more after a while. */
  failed: (reason: string, again: boolean) => void;
  /** Nobody waits for it: a person has paused, and the picture is there. */
  stands: () => boolean;
}

export class Seating {
  seat: Seat | undefined;
  /** Tries since something moved. */
  failures = 0;
  private attempt: AbortController | undefined;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private goingOver = false;

  constructor(private readonly sitter: Sitter) {}

  async connect(): Promise<void> {
    this.drop();
    const attempt = new AbortController();
    this.attempt = attempt;
    try {
      const lost = (why: string) => {
        if (!attempt.signal.aborted) this.fail(why);
      };
      this.sit(await this.place(this.sitter.site(), this.sitter.offer(), lost, attempt.signal), false);
    } catch (error) {
      if (!attempt.signal.aborted) this.fail(words(error), error);
    }
  }

  /** Takes a place by the way that has room for what is wanted. */
  private async place(site: string, offer: Offer, lost: (why: string) => void, signal: AbortSignal): Promise<Seat> {
    const why = whySocket(site, offer, this.sitter.loud());
    const socket = (why: Why) => sit(offer, why, lost, signal).catch((error: unknown) => {
      if (!signal.aborted) retract(site, offer);
      throw error;
    });
    if (why === "no WebRTC" || why === "no path") return socket(why);
    if (!hasWebRTC()) throw new ApiError(501, typeof RTCPeerConnection === "undefined" ? text.live.unsupported : text.live.noCodec);
    const better = why && (await socket(why).catch(() => undefined));
    if (signal.aborted) {
      better?.leave();
      throw new DOMException("called off", "AbortError");
    }
    if (better) return better;
    try {
      const seat = await take(site, offer, lost, this.sitter.early, signal);
      if (why || !fallsShort(offer, seat.answer)) return seat;
      // The place is kept until the better one is there, and if that does not come, for good.
      const film = await socket("pictures").catch(() => undefined);
      if (film || signal.aborted) seat.leave();
      if (signal.aborted) throw new DOMException("called off", "AbortError");
      return film ?? seat;
    } catch (error) {
      if (error instanceof ApiError && error.status === 409 && !signal.aborted && !why && refusedPictures(offer)) return socket("pictures");
      throw error;
    }
  }

  /** Goes over to the relay, from which others have the camera too. What the site sends is shown until its picture is there. */
  async move(): Promise<void> {
    const { attempt, seat: before } = this;
    if (this.goingOver || !attempt || !before || before.relayed) return;
    this.goingOver = true;
    let after: Seat | undefined;
    try {
      const lost = (why: string) => {
        if (!attempt.signal.aborted && this.seat === after) this.fail(why);
      };
      after = await relayed(this.sitter.site(), this.sitter.offer(), lost, () => undefined, attempt.signal);
      const there = after.media instanceof MediaStream && (await hasPicture(after.media));
      if (!there) shun(this.sitter.site());
      if (there && !attempt.signal.aborted && this.seat === before) {
        this.release();
        this.sit(after, true);
        before.leave();
      }
    } catch {
      // It stays as it is.
    } finally {
      if (after && this.seat !== after) after.leave();
      this.goingOver = false;
    }
  }

  private sit(seat: Seat, over: boolean): void {
    this.seat = seat;
    this.sitter.accept(seat, over);
  }

  fail(reason: string, error?: unknown): void {
    if (this.seat?.path === "socket") this.sitter.fell();
    this.drop();
    const final = error instanceof ApiError && (error.status === 501 || (error.status >= 400 && error.status < 500 && error.status !== 429));
    if (final || this.sitter.stands() || this.failures >= retries) {
      this.sitter.failed(reason, false);
      return;
    }
    // Where there is no path by WebRTC, another way is taken at once.
    const wait = shut(this.sitter.site()) && this.failures === 0 ? 0 : Math.min(1000 * 2 ** this.failures, 15_000) * (0.5 + Math.random() / 2);
    this.failures++;
    this.sitter.failed(reason, true);
    this.retryTimer = setTimeout(() => void this.connect(), wait);
  }

  /** Lets go of the place on the connection, on both sides. */
  drop(): void {
    this.attempt?.abort();
    clearTimeout(this.retryTimer);
    const { seat } = this;
    this.release();
    seat?.leave();
  }

  private release(): void {
    this.seat = undefined;
    this.sitter.release();
  }
}
