// Which moment the picture on the screen is of. The site names a picture by its RTP time and says when it came to the site
// and how fast the recording goes by from there: so every picture that follows has its moment, however long it was on its
// way, in a queue or in the decoder.
import type { Word } from "./control";

/** The picture on the screen. */
export interface Shown {
  /** When it came to the site, by the site's clock. */
  siteUs: number;
  /** To be added to the site's clock, as it was when that was recorded; undefined where nobody measured it. */
  offUs: number | undefined;
  /** When it was put on the screen, by `performance.now()`. */
  shownMs: number;
}

interface Mark {
  rtp: number;
  atUs: number;
  rate: number;
  offUs: number | undefined;
}

/** Marks that are remembered: what was named last may be still on its way to the screen. */
const remembered = 8;
const usPerRtp = 1000 / 90; // of every video codec (RFC 6184 and 7798 section 8.2.1)

export class Moments {
  private marks: Mark[] = [];
  private picture: { rtp: number; shownMs: number } | undefined;
  private askedUs: number | undefined;
  /** The site names pictures: one from before that only says about where it is. */
  exact = true;

  /** Another moment was asked for: what was on its way is of no more use. */
  expect(askedUs: number | undefined): void {
    this.marks = [];
    this.askedUs = askedUs;
  }

  hear(word: Extract<Word, { type: "position" }>): void {
    this.exact = word.rtp !== undefined;
    if (word.rtp === undefined || (word.asked_us !== undefined && word.asked_us !== this.askedUs)) return;
    this.remember({ rtp: word.rtp, atUs: word.at_us, rate: word.rate ?? 1, offUs: word.off_us });
  }

  /** Takes the picture that a step has led to: it follows no other. */
  single(rtp: number, atUs: number): void {
    this.remember({ rtp, atUs, rate: 1, offUs: this.marks.at(-1)?.offUs });
  }

  private remember(mark: Mark): void {
    this.marks.push(mark);
    if (this.marks.length > remembered) this.marks.shift();
  }

  painted(rtp: number, shownMs: number): void {
    this.picture = { rtp, shownMs };
  }

  /** The picture on the screen; undefined until there is one of what was asked for. */
  shown(): Shown | undefined {
    const { picture } = this;
    if (!picture) return undefined;
    const mark = this.marks.findLast(({ rtp }) => after(picture.rtp, rtp) >= 0);
    return mark && { siteUs: mark.atUs + after(picture.rtp, mark.rtp) * usPerRtp * mark.rate, offUs: mark.offUs, shownMs: picture.shownMs };
  }
}

/** How much later one RTP time is than another; RTP time wraps. */
const after = (rtp: number, than: number): number => (rtp - than) | 0;
