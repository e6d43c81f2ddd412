// How old a picture is when it is shown: from its arrival at the site's agent to the screen. The two clocks are compared
// over the control channel, by the quickest of the latest questions.
import type { Word } from "./control";

/** So many answered questions are remembered: one every few seconds, and clocks drift apart slowly. */
const remembered = 8;
const rtpPerMs = 90; // of every video codec (RFC 6184 and 7798 section 8.2.1)

/** From the hand-over of a picture to the screen, usually and at most. */
const paintsMs = 17;
const paintsMostMs = 100;

/** When a picture comes to the screen, by `performance.now()`. What the browser expects is of little use where little moves on
 *  the page: Chromium then says of a picture when one before it was expected, and up to a second beside the truth. */
export function shownMs({ presentationTime, expectedDisplayTime }: Pick<VideoFrameCallbackMetadata, "presentationTime" | "expectedDisplayTime">): number {
  const paints = expectedDisplayTime - presentationTime;
  return paints >= 0 && paints < paintsMostMs ? expectedDisplayTime : presentationTime + paintsMs;
}

export class Delay {
  private readonly answers: { tripMs: number; aheadMs: number }[] = [];
  /** A picture of which the site has said when it came, and how long after the first such one that was. */
  private known: { rtp: number; bornMs: number; sinceMs: number } | undefined;

  /** The word that asks for the site's clock. */
  static ask(nowMs: number): string {
    return JSON.stringify({ type: "ping", at_us: Math.round(nowMs * 1000) });
  }

  /** Takes what the site says about time. */
  hear(word: Word, nowMs: number): void {
    if (word.type === "pong") {
      const tripMs = nowMs - word.at_us / 1000;
      if (tripMs < 0) return;
      this.answers.push({ tripMs, aheadMs: word.sent_us / 1000 - (nowMs - tripMs / 2) });
      if (this.answers.length > remembered) this.answers.shift();
    } else if (word.type === "position" && word.born) {
      const { rtp, sent_us, age_us } = word.born;
      this.known = { rtp, bornMs: (sent_us - age_us) / 1000, sinceMs: this.known ? this.known.sinceMs + laterMs(rtp, this.known.rtp) : 0 };
    }
  }

  /** When a picture came to the site, milliseconds since 1970 by the far side's clock; undefined while that is not known, and of
   *  the burst before the first picture that the site has named: the RTP time of a burst is that of sending. */
  bornMs(rtp: number | undefined): number | undefined {
    if (rtp === undefined || !this.known) return undefined;
    const later = laterMs(rtp, this.known.rtp);
    return this.known.sinceMs + later < 0 ? undefined : this.known.bornMs + later;
  }

  /** Milliseconds from a picture's arrival at the site to `shownMs`; undefined while that is not known. */
  of(rtp: number | undefined, shownMs: number): number | undefined {
    const bornMs = this.bornMs(rtp);
    if (bornMs === undefined || this.answers.length === 0) return undefined;
    const best = this.answers.reduce((a, b) => (b.tripMs < a.tripMs ? b : a));
    return Math.max(0, shownMs + best.aheadMs - bornMs);
  }
}

const laterMs = (rtp: number, than: number): number => ((rtp - than) | 0) / rtpPerMs; // RTP time wraps
