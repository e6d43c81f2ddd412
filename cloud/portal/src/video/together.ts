// Several recordings in step.
//
// In step means: at any instant the pictures on the screen are of the same moment, give or take 200 ms. The moment of a
// picture is when it came to its site's agent, by the agent's clock corrected by what that was off from the cloud's clock
// when the picture was recorded. What the camera itself took, and what it writes into its picture, does not count.
// Backwards there are key frames alone: each comes to the screen when the common moment has come to it, and stays until the
// one before it.
//
// The conductor holds the common moment, which nothing but people moves. All start together, once all that will come stand at
// their picture; from then on no one waits for another: who drifts is brought back by a slightly other pace, who is far off
// by a seek, and who has no recording now stands at the next picture that there is until the moment has come to it. Where
// none of them has one, all go on where the first of them does.
import { type Direction, farUs, limitUs, newcomer, nowhere, type Part, type Place, placeOf, type Player, soonest } from "./led";

export { limitUs, type Direction, type Place, type Player } from "./led";

/** Who stands at its picture so much too late is sent ahead again. */
const lateUs = 300_000;
/** A recording stands off by less while paused, or it is asked for the very moment. */
const restUs = 100_000;
/** So long after a pause the last picture is on the screen. */
const heldMs = 500;
const gatherMs = 4000;
const measureMs = 1000;
/** A drift is to be gone within so long, or when it is measured next... */
const mendMs = 2000;
/** ... by so much of the pace at most. */
const mostTrim = 0.05;
/** Smaller changes of the pace are not worth a word. */
const leastTrim = 0.004;
/** A picture that stays for longer says that nothing comes... */
const stillMs = 2500;
/** ... and backwards, where each stays until the key frame before it. */
const backStillMs = 14_000;
/** So long after they have turned there may be pictures of before on their way. */
const onWayMs = 3000;
/** What does not come is tried again so often, and what failed. */
const againMs = 10_000;
const failedMs = 30_000;
/** A time without any picture is skipped when it is longer. */
const skipUs = 2_000_000;
/** A step that nobody answers for so long is taken by the clock, as long as a picture of most cameras. */
const stepMs = 2000;
const pictureUs = 1_000_000 / 15;
/** The moment keeps away from now, since the newest video is not on the disk yet, and what is prepared a little less. */
const edgeUs = 10_000_000;
const preparedEdgeUs = 7_000_000;

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

export class Conductor {
  private readonly parts = new Map<Player, Part>();
  private readonly listeners = new Set<() => void>();
  private now: Direction = { playing: true, rate: 1, gathering: true, news: undefined };
  /** The moment was, or will be, at atUs at atMs; from then on it goes by while running. */
  private base: { atUs: number; atMs: number };
  private running = false;
  private gatheringMs: number | undefined;
  private pausedMs: number | undefined;
  /** Whose pictures a step goes by, where it has one of the moment. */
  private first: Player | undefined;
  private stepping: { part: Part; sinceMs: number; guessUs: number } | undefined;
  /** What was sought last. */
  askedUs: number;

  /** wallUs says what the cloud's clock shows at a time of `performance.now()`. */
  constructor(atUs: number, nowMs: number, private readonly wallUs: (nowMs: number) => number) {
    this.askedUs = atUs;
    this.base = { atUs: Math.min(atUs, wallUs(nowMs) - edgeUs), atMs: nowMs };
    this.gatheringMs = nowMs;
  }

  readonly subscribe = (tell: () => void): (() => void) => {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  };

  readonly direction = (): Direction => this.now;

  place(player: Player): Place {
    return this.parts.get(player)?.place ?? nowhere;
  }

  /** The common moment. */
  momentUs(nowMs: number): number {
    return this.base.atUs + (this.running ? Math.max(0, nowMs - this.base.atMs) * 1000 * this.now.rate : 0);
  }

  /** Takes a recording in; the function that is returned lets it go. */
  join(player: Player, nowMs: number): () => void {
    const part = newcomer(player, nowMs);
    this.parts.set(player, part);
    this.send(part, nowMs);
    this.tell();
    return () => {
      this.parts.delete(player);
      if (this.stepping?.part === part) this.stepping = undefined;
    };
  }

  /** From now on a step goes by the pictures of this one. */
  follow(player: Player): void {
    this.first = player;
  }

  /** Takes all to another moment; they go on from there together if they played. */
  seek(atUs: number, nowMs: number): void {
    this.askedUs = atUs;
    this.assemble(Math.min(atUs, this.wallUs(nowMs) - edgeUs), nowMs);
  }

  pause(nowMs: number): void {
    if (!this.now.playing) return;
    this.stand(this.momentUs(nowMs), nowMs);
    this.pausedMs = nowMs;
    for (const part of this.parts.values()) {
      if (part.mode !== "plays") continue;
      part.player.hold();
      this.turn(part, "stands", nowMs);
      part.askedUs = this.base.atUs;
    }
    this.set({ playing: false });
  }

  play(nowMs: number): void {
    if (this.now.playing) return;
    this.stepping = undefined;
    this.gatheringMs = nowMs;
    this.set({ playing: true, gathering: true });
  }

  /** Plays all so many times as fast as life, below 0 backwards. */
  pace(rate: number, nowMs: number): void {
    const turns = rate < 0 !== this.now.rate < 0;
    this.base = { atUs: this.momentUs(nowMs), atMs: Math.max(nowMs, this.base.atMs) };
    this.set({ rate });
    // Backwards they stood at key frames: forwards the very pictures of the moment are next.
    if (turns && rate > 0 && this.running) return this.assemble(this.base.atUs, nowMs);
    for (const part of this.parts.values()) {
      if (part.mode === "plays") {
        part.pace = rate;
        part.player.pace(rate, turns ? this.base.atUs : undefined);
        part.measuredMs = nowMs;
      } else if (turns) this.send(part, nowMs);
    }
  }

  /** Shows the picture so many after that of the recording that is followed, or before it, and of all others the nearest to
   *  it; all stand there. */
  step(count: number, nowMs: number): void {
    this.pause(nowMs);
    const guessUs = (this.stepping?.guessUs ?? this.base.atUs) + count * pictureUs;
    const fits = (part: Part | undefined) => part?.mode === "stands" && part.place.where === "on" && part.player.shown() !== undefined;
    const followed = this.stepping?.part ?? (this.first && this.parts.get(this.first));
    const part = this.stepping || fits(followed) ? followed : [...this.parts.values()].find(fits);
    if (!part) return this.assemble(guessUs, nowMs);
    part.player.step(count);
    this.stepping = { part, sinceMs: nowMs, guessUs };
  }

  /** To be called some twenty times a second. */
  tick(nowMs: number): void {
    this.keepBack(nowMs);
    for (const part of this.parts.values()) this.look(part, nowMs);
    if (this.gatheringMs !== undefined) this.gather(this.gatheringMs, nowMs);
    if (this.stepping) this.land(this.stepping, nowMs);
    for (const part of this.parts.values()) {
      if (this.running) this.lead(part, nowMs);
      else if (!this.stepping) this.rest(part, nowMs);
      this.report(part);
    }
    if (this.running) this.skip(nowMs);
  }

  /** The moment stands at atUs. */
  private stand(atUs: number, nowMs: number): void {
    this.base = { atUs, atMs: nowMs };
    this.running = false;
    this.gatheringMs = this.pausedMs = this.stepping = undefined;
    if (this.now.gathering) this.set({ gathering: false });
  }

  /** All come to a moment, and go on from there if they play. */
  private assemble(atUs: number, nowMs: number): void {
    this.stand(atUs, nowMs);
    this.gatheringMs = nowMs;
    for (const part of this.parts.values()) {
      part.misses = 0;
      this.send(part, nowMs);
    }
    this.set({ gathering: true });
  }

  /** What has come to the newest that is recorded goes on no faster than life, and comes back from beyond it: nobody has kept it
   *  back while the page was out of sight. */
  private keepBack(nowMs: number): void {
    const latest = this.wallUs(nowMs) - edgeUs;
    if (!this.running || this.momentUs(nowMs) < latest) return;
    if (this.now.rate > 1) this.pace(1, nowMs);
    if (this.momentUs(nowMs) > latest + farUs) this.assemble(latest, nowMs);
  }

  /** How far a picture is ahead of the moment, the way that all play. */
  private aheadUs(atUs: number, ms: number): number {
    return (atUs - this.momentUs(ms)) * Math.sign(this.now.rate);
  }

  /** Whether a picture lies after a moment that nothing was recorded before, while all play backwards. */
  private missed(atUs: number, askedUs: number): boolean {
    return this.now.rate < 0 && atUs - askedUs > farUs;
  }

  /** Sees whether a recording has come to its picture, or never will. */
  private look(part: Part, nowMs: number): void {
    const { player } = part;
    if (player.failed()) {
      if (part.mode !== "failed") this.turn(part, "failed", nowMs);
    } else if (part.mode === "failed") this.send(part, nowMs);
    else if (part.mode === "coming" || part.mode === "crosses") {
      const shown = part.mode === "coming" || player.stepped() !== undefined ? player.shown() : undefined;
      if (!shown) return;
      // Behind a gap: backwards what lies before it is next.
      if (part.mode === "coming" && this.missed(shown.atUs, part.askedUs)) {
        player.step(-1);
        return this.turn(part, "crosses", nowMs);
      }
      part.over = this.missed(shown.atUs, part.askedUs);
      part.leadMs = clamp((nowMs - part.soughtMs) * 1.3 + 200, 600, 8000);
      this.turn(part, "stands", nowMs);
    }
  }

  /** Begins when all are there that will come, or when they have had their time. */
  private gather(sinceMs: number, nowMs: number): void {
    const parts = [...this.parts.values()];
    const there = parts.length > 0 && parts.every((part) => part.mode !== "coming" && part.mode !== "crosses");
    if (!there && nowMs - sinceMs < gatherMs) return;
    this.gatheringMs = undefined;
    if (this.now.playing) {
      this.base.atMs = nowMs + this.slowestMs();
      this.running = true;
    }
    this.set({ gathering: false });
  }

  /** How long the slowest of those that stand takes to begin. */
  private slowestMs(): number {
    return Math.min(500, Math.max(0, ...[...this.parts.values()].map((part) => (part.mode === "stands" ? part.player.delayMs() : 0))));
  }

  /** Takes what a step has led to as the moment: the others go there too. */
  private land({ part, sinceMs, guessUs }: NonNullable<typeof this.stepping>, nowMs: number): void {
    const atUs = part.player.stepped();
    if (atUs === undefined && nowMs - sinceMs < stepMs) return;
    this.stand(atUs ?? guessUs, nowMs);
    if (atUs !== undefined) part.askedUs = atUs;
  }

  private lead(part: Part, nowMs: number): void {
    switch (part.mode) {
      case "failed":
      case "coming":
      case "crosses":
        return this.retry(part, nowMs);
      case "stands":
        return part.over ? undefined : this.cue(part, nowMs);
      case "plays":
        if (nowMs - part.measuredMs >= measureMs) this.measure(part, nowMs);
    }
  }

  private retry(part: Part, nowMs: number): void {
    if (nowMs - part.sinceMs > (part.mode === "failed" ? failedMs : againMs)) this.send(part, nowMs);
  }

  /** Lets a recording begin when the moment has come to its picture. */
  private cue(part: Part, nowMs: number): void {
    const shown = part.player.shown();
    if (!shown) return;
    const aheadUs = this.aheadUs(shown.atUs, nowMs + part.player.delayMs());
    part.driftUs = undefined;
    if (aheadUs > 0) return;
    if (aheadUs < -lateUs * this.stretch() && part.misses < 3) {
      part.misses++;
      part.leadMs = Math.min(part.leadMs * 1.5, 8000);
      return this.send(part, nowMs);
    }
    this.trim(part, 1, true);
    part.player.play();
    this.turn(part, "plays", nowMs);
  }

  /** What is far is so by what people see: at 16 times the speed of life a second is soon gone. */
  private stretch(): number {
    return Math.max(1, Math.abs(this.now.rate));
  }

  /** For how long a picture may stay. */
  private stayMs(): number {
    return this.now.rate < 0 ? stillMs + backStillMs / -this.now.rate : stillMs / Math.min(1, this.now.rate);
  }

  /** Brings a recording back that has drifted. */
  private measure(part: Part, nowMs: number): void {
    const { player } = part;
    if (this.now.rate < 0 && player.stopped()) {
      part.over = true;
      return this.turn(part, "stands", nowMs);
    }
    const shown = player.shown();
    if (!shown) {
      if (nowMs - part.measuredMs > stillMs) this.catchUp(part, nowMs);
      return;
    }
    const stays = nowMs - shown.shownMs > this.stayMs();
    // Backwards the key frame before it is not due yet, or it is still one that was on its way when they turned.
    const onWay = nowMs - this.base.atMs < onWayMs && shown.atUs > this.base.atUs;
    if (this.now.rate < 0 && !stays && (shown.shownMs === part.seenMs || onWay)) return;
    const everyMs = nowMs - part.measuredMs; // backwards as often as key frames come
    part.measuredMs = nowMs;
    part.seenMs = shown.shownMs;
    const driftUs = this.aheadUs(shown.atUs, stays ? nowMs : shown.shownMs);
    const far = farUs * this.stretch();
    part.driftUs = driftUs;
    if (driftUs > far) {
      player.hold();
      part.askedUs = this.momentUs(nowMs);
      this.turn(part, "stands", nowMs);
    } else if (driftUs < -far) this.catchUp(part, nowMs);
    else {
      if (Math.abs(driftUs) < limitUs * this.stretch() && nowMs - part.soughtMs > againMs) part.misses = 0;
      this.trim(part, 1 - clamp(driftUs / (Math.max(mendMs, everyMs) * 1000 * Math.abs(this.now.rate)), -mostTrim, mostTrim));
    }
  }

  /** Sends a recording ahead of the moment; where that has not helped it goes on as well as it can, for a while. */
  private catchUp(part: Part, nowMs: number): void {
    if (part.misses >= 2 && nowMs - part.soughtMs < againMs * 2 ** Math.min(part.misses - 2, 2)) return this.trim(part, 1 + mostTrim);
    part.misses++;
    this.send(part, nowMs);
  }

  /** While the moment stands, who was held a little off goes to the very moment. */
  private rest(part: Part, nowMs: number): void {
    if (part.mode !== "stands") return this.retry(part, nowMs);
    const shown = part.player.shown();
    if (!shown) return;
    const driftUs = shown.atUs - this.base.atUs;
    part.driftUs = driftUs;
    const held = this.pausedMs !== undefined && part.sinceMs <= this.pausedMs && nowMs - this.pausedMs > heldMs;
    if (part.askedUs !== this.base.atUs || (held && Math.abs(driftUs) > restUs)) this.send(part, nowMs);
  }

  /** Where no recording has a picture of the moment, and none is on its way, all go on where the first of them does. */
  private skip(nowMs: number): void {
    const next = soonest(this.parts.values(), this.now.rate);
    if (next === undefined) return;
    if (next === "over") {
      this.pause(nowMs);
      this.pace(1, nowMs);
      return this.set({ news: { what: "beginning" } });
    }
    const us = this.aheadUs(next, nowMs);
    if (us < skipUs * this.stretch()) return;
    this.base = { atUs: next, atMs: nowMs + this.slowestMs() };
    this.set({ news: { what: "skipped", us } });
  }

  private send(part: Part, nowMs: number): void {
    const aheadUs = this.running ? part.leadMs * 1000 * this.now.rate : 0;
    part.askedUs = Math.min(this.momentUs(nowMs) + aheadUs, Math.max(this.base.atUs, this.wallUs(nowMs) - preparedEdgeUs));
    part.soughtMs = nowMs;
    part.over = false;
    this.turn(part, "coming", nowMs);
    if (this.now.rate < 0) this.trim(part, 1 / this.now.rate, true); // it is to come to the very picture, which may be no key frame
    part.player.prepare(part.askedUs, this.now.rate < 0);
  }

  private turn(part: Part, mode: Part["mode"], nowMs: number): void {
    part.mode = mode;
    part.sinceMs = part.measuredMs = nowMs;
  }

  private trim(part: Part, factor: number, always = false): void {
    const pace = this.now.rate * factor;
    if (!always && Math.abs(pace - part.pace) < leastTrim * Math.abs(this.now.rate)) return;
    part.pace = pace;
    part.player.pace(pace);
  }

  private report(part: Part): void {
    const { where, driftUs, nextUs } = placeOf(part, this.running, this.now.rate);
    const told = part.place;
    if (told.where === where && told.driftUs === driftUs && told.nextUs === nextUs) return;
    part.place = { where, driftUs, nextUs };
    this.tell();
  }

  private set(change: Partial<Direction>): void {
    this.now = { ...this.now, ...change };
    this.tell();
  }

  private tell(): void {
    for (const tell of this.listeners) tell();
  }
}
