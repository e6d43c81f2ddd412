// How one video comes to a place on a connection and keeps one: it tries again after a while, goes over to the relay when it
// is told to, and lets go.
import { ApiError, words } from "../api/errors";
import { text } from "../text";
import { relayed, type Seat, shun, take } from "./link";
import { hasPicture } from "./stage";
import { type Offer, receivable } from "./whep";

const retries = 6;

/** Whose place it is. */
export interface Sitter {
  site: () => string;
  /** What is to be shown; asked anew at every try. */
  offer: () => Offer;
  /** The place is known before it is taken. */
  early: (media: MediaStream) => void;
  /** The place is taken; relayed: instead of the one before, whose picture is on the screen. */
  accept: (seat: Seat, relayed: boolean) => void;
  /** A place is not looked at any more. */
  release: (seat: Seat | undefined) => void;
  /** It did not work, or works no more; again: it is tried once more after a while. */
  failed: (reason: string, again: boolean) => void;
  /** Nobody waits for it. */
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
      if (typeof RTCPeerConnection === "undefined") throw new ApiError(501, text.live.unsupported);
      if (receivable().length === 0) throw new ApiError(501, text.live.noCodec);
      const lost = (why: string) => {
        if (!attempt.signal.aborted) this.fail(why);
      };
      this.sit(await take(this.sitter.site(), this.sitter.offer(), lost, this.sitter.early, attempt.signal), false);
    } catch (error) {
      if (!attempt.signal.aborted) this.fail(words(error), error);
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
      const there = await hasPicture(after.media);
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
    this.drop();
    const final = error instanceof ApiError && (error.status === 501 || (error.status >= 400 && error.status < 500 && error.status !== 429));
    if (final || this.sitter.stands() || this.failures >= retries) {
      this.sitter.failed(reason, false);
      return;
    }
    const wait = Math.min(1000 * 2 ** this.failures, 15_000) * (0.5 + Math.random() / 2);
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
    const { seat } = this;
    this.seat = undefined;
    this.sitter.release(seat);
  }
}
