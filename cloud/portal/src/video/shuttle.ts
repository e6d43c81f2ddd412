// Single pictures of a recording: steps and scrubbing. One word is under way at a time and the newest wish comes next, so that
// quick presses and a quick pointer never pile up, on whatever line.
import type { Order } from "./control";

/** The most pictures of one step, as the site bounds it. */
export const longestStep = 100;
/** A moment is asked for at most so often. */
export const scrubMs = 66;
/** A site from before these words takes a seek in their place, less often: it sends a whole group of pictures for each. */
export const seekMs = 300;
/** Without an answer for so long the word was lost. */
const patienceMs = 3000;
/** What one picture lasts when nobody says. */
const guessUs = 1_000_000 / 15;

export interface Stage {
  /** Tells the site; false when it can't be told now. */
  say: (order: Order) => boolean;
  /** The moment that is shown. */
  positionUs: () => number;
  /** The moment that will be shown, by a seek in place of a step. */
  expect: (atUs: number) => void;
}

export class Shuttle {
  /** Whether the site knows the words; undefined until it has said where it is. */
  knows: boolean | undefined;
  private due = 0;
  private wantedUs: number | undefined;
  private sentMs: number | undefined;
  private askedMs = -Infinity;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly stage: Stage) {}

  /** Nothing is wished, and nothing under way. */
  get idle(): boolean {
    return this.due === 0 && this.wantedUs === undefined && this.sentMs === undefined;
  }

  /** So many pictures on, or back where `count` is below 0. */
  step(count: number): void {
    this.wantedUs = undefined;
    this.due = Math.max(-longestStep, Math.min(longestStep, this.due + count));
    this.flush();
  }

  /** The key frame at or before a moment. */
  scrub(atUs: number): void {
    this.due = 0;
    this.wantedUs = Math.round(atUs);
    this.flush();
  }

  /** The site has answered, or it has just said where it is. */
  heard(knows: boolean): void {
    this.knows = knows;
    this.sentMs = undefined;
    this.wake();
  }

  /** What is not under way yet is not wished any more. */
  forget(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.due = 0;
    this.wantedUs = this.sentMs = undefined;
  }

  private flush(): void {
    if (this.timer !== undefined || (this.due === 0 && this.wantedUs === undefined)) return;
    const now = performance.now();
    const busy = this.sentMs === undefined ? 0 : this.sentMs + patienceMs - now;
    if (busy > 0) return this.later(busy);
    if (this.knows === false) this.seek(now);
    else if (this.due !== 0) this.send({ type: "step", count: this.due }, now);
    else this.ask(scrubMs, now, (at_us) => this.send({ type: "scrub", at_us }, now));
  }

  /** Looks again at what is wished. */
  private wake(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.flush();
  }

  /** Asks for the wanted moment, when the last question is long enough ago. */
  private ask(everyMs: number, now: number, put: (atUs: number) => boolean): void {
    if (this.wantedUs === undefined) return;
    const wait = this.askedMs + everyMs - now;
    if (wait > 0) return this.later(wait);
    if (put(this.wantedUs)) this.askedMs = now;
  }

  private send(order: Order, now: number): boolean {
    if (!this.stage.say(order)) return false; // it goes out when the site says where it is
    this.due = 0;
    this.wantedUs = undefined;
    this.sentMs = now;
    return true;
  }

  /** Stands in for the words with a seek: it shows the first picture at or after a moment, and stays there while paused. */
  private seek(now: number): void {
    const go = (atUs: number) => {
      if (!this.stage.say({ type: "seek", at_us: Math.round(atUs) })) return false;
      this.due = 0;
      this.wantedUs = undefined;
      this.stage.expect(atUs);
      return true;
    };
    if (this.due === 0) return this.ask(seekMs, now, go);
    const us = this.due > 0 ? 1 + (this.due - 1) * guessUs : this.due * guessUs;
    go(this.stage.positionUs() + us);
  }

  private later(ms: number): void {
    this.timer = setTimeout(() => this.wake(), ms);
  }
}
