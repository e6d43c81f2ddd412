// Recordings without a site: what a conductor leads in tests of its arithmetic, by a clock that they turn by hand.
import { Conductor, type Player } from "../src/video/together";

export const second = 1_000_000;
export const begin = 1_800_000_000 * second;
export const wallUs = (nowMs: number) => begin + 3600 * second + nowMs * 1000;

export const picture = second / 15;

/** A recording at a site: it comes after a while, plays at its pace times what its machine makes of it, and has a gap. Backwards
 *  it shows key frames, each when it is due. */
export class Site implements Player {
  prepared: number[] = [];
  paces: number[] = [];
  at = 0;
  rate = 1;
  playing = false;
  broken = false;
  comesMs = 300;
  speed = 1;
  gap: { from: number; to: number } | undefined;
  begins = 0;
  group = 2 * second;
  lagMs = 40;
  /** What came to the screen backwards, and when. */
  keys: { atUs: number; ms: number }[] = [];
  private readyMs: number | undefined;
  private targetUs = 0;
  private nowMs = 0;
  private shownMs = 0;
  private dueUs = 0;
  private stepMs: number | undefined;
  /** Backwards nothing after this comes. */
  private lastUs = Infinity;
  private beginsMs = 0;
  private onWayMs = 0;
  private onWayRate = 1;
  private over = false;

  constructor(readonly phase = 0) {}

  prepare(atUs: number): void {
    this.prepared.push(atUs);
    this.playing = this.over = false;
    this.readyMs = this.nowMs + this.comesMs;
    this.lastUs = Infinity;
    this.targetUs = Math.max(atUs, this.begins);
  }
  play(): void {
    this.playing = true;
    this.over = false;
    this.dueUs = this.at;
    this.beginsMs = this.nowMs + this.lagMs;
  }
  hold(): void { this.playing = false; }
  /** What it plays is ahead of the screen by its delay, and what is on its way comes; it turns where it is, or as far before
   *  the moment that it is told. */
  pace(rate: number, fromUs?: number): void {
    if (this.rate > 0 && rate < 0) {
      this.dueUs = fromUs ?? this.at + (this.rate - rate) * this.lagMs * 1000;
      this.lastUs = this.dueUs + rate * this.lagMs * 1000;
      this.onWayMs = this.nowMs + this.lagMs;
      this.onWayRate = this.rate;
    }
    this.rate = rate;
    this.paces.push(rate);
  }
  step(count: number): void {
    this.stepMs = this.nowMs + 100;
    this.targetUs = Math.max(this.at + count * picture, this.begins);
    if (this.gap && this.targetUs >= this.gap.from && this.targetUs < this.gap.to) this.targetUs = count < 0 ? this.gap.from - picture : this.gap.to;
  }
  stepped(): number | undefined { return this.stepMs === undefined ? this.at : undefined; }
  shown() { return this.readyMs === undefined ? { atUs: this.at, shownMs: this.shownMs } : undefined; }
  stopped(): boolean { return this.over; }
  failed(): boolean { return this.broken; }
  delayMs(): number { return this.lagMs; }

  pass(ms: number): void {
    const { at } = this;
    this.nowMs += ms;
    this.move(ms);
    if (this.at !== at) this.shownMs = this.nowMs;
  }

  private move(ms: number): void {
    if (this.stepMs !== undefined && this.nowMs >= this.stepMs) {
      this.stepMs = undefined;
      this.at = this.targetUs;
    } else if (this.readyMs !== undefined && this.nowMs >= this.readyMs) {
      this.readyMs = undefined;
      this.at = this.targetUs;
    } else if (this.nowMs <= this.beginsMs) return;
    else if (this.playing && this.rate < 0) return this.back(ms);
    else if (this.playing) this.at += ms * 1000 * this.rate * this.speed;
    if (this.gap && this.at >= this.gap.from && this.at < this.gap.to) this.at = this.gap.to;
  }

  private back(ms: number): void {
    this.dueUs += ms * 1000 * this.rate * this.speed;
    if (this.nowMs <= this.onWayMs) {
      this.at += ms * 1000 * this.onWayRate;
      return;
    }
    let key = Math.ceil((Math.min(this.at, this.lastUs) - this.phase) / this.group - 1) * this.group + this.phase;
    if (this.gap && key < this.gap.to && this.at >= this.gap.to) {
      while (key >= this.gap.from) key -= this.group;
      this.dueUs = key; // over a gap it goes at once
    }
    if (key < this.begins) {
      this.over = true;
      this.playing = false;
    } else if (this.dueUs <= key) {
      this.at = key;
      this.keys.push({ atUs: key, ms: this.nowMs });
    }
  }
}

/** A wall of such recordings. */
export class Wall {
  nowMs = 0;
  readonly conductor = new Conductor(begin, 0, wallUs);

  constructor(readonly sites: Site[]) {}

  joinAll(): void {
    for (const site of this.sites) this.conductor.join(site, this.nowMs);
  }

  pass(ms: number): void {
    for (const end = this.nowMs + ms; this.nowMs < end; ) {
      this.nowMs += 20;
      for (const site of this.sites) site.pass(20);
      this.conductor.tick(this.nowMs);
    }
  }

  /** How far each picture is from the moment. */
  drifts(): number[] {
    return this.sites.map((site) => site.at - this.conductor.momentUs(this.nowMs));
  }

  where(): string[] {
    return this.sites.map((site) => this.conductor.place(site).where);
  }
}
