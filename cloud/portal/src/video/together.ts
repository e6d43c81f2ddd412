// Several recordings in step.
//
// In step means: at any instant the pictures on the screen are of the same moment, give or take 200 ms. The moment of a
// picture is when it came to its site's agent, by the agent's clock corrected by what that was off from the cloud's clock
// when the picture was recorded. What the camera itself took, and what it writes into its picture, does not count.
//
// The conductor holds the common moment, which nothing but people moves. All start together, once all that will come stand at
// their picture; from then on no one waits for another: who drifts is brought back by a slightly other pace, who is far off
// by a seek, and who has no recording now stands at the next picture that there is until the moment has come to it.

/** One recording that is led. Moments are microseconds since 1970 by the cloud's clock. */
export interface Player {
  /** Goes to a moment, or to the next picture after it, and stands there. */
  prepare(atUs: number): void;
  play(): void;
  hold(): void;
  pace(rate: number): void;
  /** The moment on the screen and when it came there, by `performance.now()`; undefined until what was prepared is there. */
  shown(): { atUs: number; shownMs: number } | undefined;
  failed(): boolean;
  /** From an order to what it does on the screen. */
  delayMs(): number;
}

export interface Place {
  /** On its way; with the others; without a recording of this moment; behind since its line or its site is too slow; failed. */
  where: "coming" | "on" | "gap" | "behind" | "failed";
  /** How far the picture is ahead of the common moment, as measured last; behind below 0. */
  driftUs: number | undefined;
  /** In a gap: where the recording goes on. */
  nextUs: number | undefined;
}

/** What the controls show. */
export interface Direction {
  playing: boolean;
  rate: number;
  /** They come together: the moment stands still. */
  gathering: boolean;
}

interface Part {
  player: Player;
  /** stands: it shows a picture and waits for its cue. */
  mode: "coming" | "stands" | "plays" | "failed";
  sinceMs: number;
  /** What was prepared last. */
  askedUs: number;
  /** How far ahead of the moment it has to be prepared to be there in time. */
  leadMs: number;
  measuredMs: number;
  pace: number;
  /** Seeks that have not brought it back, and the last one. */
  misses: number;
  soughtMs: number;
  driftUs: number | undefined;
  /** As it was told last. */
  place: Place;
}

/** More than this is out of step. */
export const limitUs = 200_000;
/** More than this no pace brings back in good time. */
const farUs = 1_000_000;
/** Who stands at its picture so much too late is sent ahead again. */
const lateUs = 300_000;
/** A recording stands off by less while paused, or it is asked for the very moment. */
const restUs = 100_000;
/** So long after a pause the last picture is on the screen. */
const heldMs = 500;
const gatherMs = 4000;
const measureMs = 1000;
/** A drift is to be gone within so long... */
const mendMs = 2000;
/** ... by so much of the pace at most. */
const mostTrim = 0.05;
/** Smaller changes of the pace are not worth a word. */
const leastTrim = 0.004;
/** A picture that stays for longer says that nothing comes. */
const stillMs = 2500;
/** What does not come is tried again so often, and what failed. */
const againMs = 10_000;
const failedMs = 30_000;
/** The moment keeps away from now, since the newest video is not on the disk yet, and what is prepared a little less. */
const edgeUs = 10_000_000;
const preparedEdgeUs = 7_000_000;

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));
const nowhere: Place = { where: "coming", driftUs: undefined, nextUs: undefined };

export class Conductor {
  private readonly parts = new Map<Player, Part>();
  private readonly listeners = new Set<() => void>();
  private now: Direction = { playing: true, rate: 1, gathering: true };
  /** The moment was, or will be, at atUs at atMs; from then on it goes by while running. */
  private base: { atUs: number; atMs: number };
  private running = false;
  private gatheringMs: number | undefined;
  private pausedMs: number | undefined;
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
    const part: Part = {
      player, mode: "coming", sinceMs: nowMs, askedUs: 0, leadMs: 1500, measuredMs: nowMs, pace: 1, misses: 0, soughtMs: -Infinity, driftUs: undefined, place: nowhere,
    };
    this.parts.set(player, part);
    this.send(part, nowMs);
    this.tell();
    return () => {
      this.parts.delete(player);
    };
  }

  /** Takes all to another moment; they go on from there together if they played. */
  seek(atUs: number, nowMs: number): void {
    this.askedUs = atUs;
    this.stand(Math.min(atUs, this.wallUs(nowMs) - edgeUs), nowMs);
    this.gatheringMs = nowMs;
    for (const part of this.parts.values()) {
      part.misses = 0;
      this.send(part, nowMs);
    }
    this.set({ gathering: true });
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
    this.gatheringMs = nowMs;
    this.set({ playing: true, gathering: true });
  }

  /** Plays all so many times as fast as life. */
  pace(rate: number, nowMs: number): void {
    this.base = { atUs: this.momentUs(nowMs), atMs: Math.max(nowMs, this.base.atMs) };
    this.set({ rate });
    for (const part of this.parts.values()) {
      if (part.mode !== "plays") continue;
      this.trim(part, 1);
      part.measuredMs = nowMs;
    }
  }

  /** To be called some twenty times a second. */
  tick(nowMs: number): void {
    this.keepBack(nowMs);
    for (const part of this.parts.values()) this.look(part, nowMs);
    if (this.gatheringMs !== undefined) this.gather(this.gatheringMs, nowMs);
    for (const part of this.parts.values()) {
      if (this.running) this.lead(part, nowMs);
      else this.rest(part, nowMs);
      this.report(part);
    }
  }

  /** The moment stands at atUs. */
  private stand(atUs: number, nowMs: number): void {
    this.base = { atUs, atMs: nowMs };
    this.running = false;
    this.gatheringMs = this.pausedMs = undefined;
  }

  /** What has come to the newest that is recorded goes on no faster than life. */
  private keepBack(nowMs: number): void {
    const latest = this.wallUs(nowMs) - edgeUs;
    if (!this.running || this.now.rate <= 1 || this.momentUs(nowMs) < latest) return;
    this.pace(1, nowMs);
  }

  /** Sees whether a recording has come to its picture, or never will. */
  private look(part: Part, nowMs: number): void {
    if (part.player.failed()) {
      if (part.mode !== "failed") this.turn(part, "failed", nowMs);
    } else if (part.mode === "failed") this.send(part, nowMs);
    else if (part.mode === "coming" && part.player.shown()) {
      part.leadMs = clamp((nowMs - part.sinceMs) * 1.3 + 200, 600, 8000);
      this.turn(part, "stands", nowMs);
    }
  }

  /** Begins when all are there that will come, or when they have had their time. */
  private gather(sinceMs: number, nowMs: number): void {
    const parts = [...this.parts.values()];
    const there = parts.length > 0 && parts.every((part) => part.mode !== "coming");
    if (!there && nowMs - sinceMs < gatherMs) return;
    this.gatheringMs = undefined;
    if (this.now.playing) {
      const slowest = Math.max(0, ...parts.map((part) => (part.mode === "stands" ? part.player.delayMs() : 0)));
      this.base.atMs = nowMs + Math.min(slowest, 500);
      this.running = true;
    }
    this.set({ gathering: false });
  }

  private lead(part: Part, nowMs: number): void {
    switch (part.mode) {
      case "failed":
      case "coming":
        return this.retry(part, nowMs);
      case "stands":
        return this.cue(part, nowMs);
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
    const aheadUs = shown.atUs - this.momentUs(nowMs + part.player.delayMs());
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
    return Math.max(1, this.now.rate);
  }

  /** Brings a recording back that has drifted. */
  private measure(part: Part, nowMs: number): void {
    const shown = part.player.shown();
    if (!shown) {
      if (nowMs - part.measuredMs > stillMs) this.catchUp(part, nowMs);
      return;
    }
    part.measuredMs = nowMs;
    const driftUs = shown.atUs - this.momentUs(nowMs - shown.shownMs > stillMs / Math.min(1, this.now.rate) ? nowMs : shown.shownMs);
    const far = farUs * this.stretch();
    part.driftUs = driftUs;
    if (driftUs > far) {
      part.player.hold();
      part.askedUs = this.momentUs(nowMs);
      this.turn(part, "stands", nowMs);
    } else if (driftUs < -far) this.catchUp(part, nowMs);
    else {
      if (Math.abs(driftUs) < limitUs * this.stretch() && nowMs - part.soughtMs > againMs) part.misses = 0;
      this.trim(part, 1 - clamp(driftUs / (mendMs * 1000 * this.now.rate), -mostTrim, mostTrim));
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
    if (part.mode === "failed" || part.mode === "coming") return this.retry(part, nowMs);
    const shown = part.mode === "stands" ? part.player.shown() : undefined;
    if (!shown) return;
    const driftUs = shown.atUs - this.base.atUs;
    part.driftUs = driftUs;
    const held = this.pausedMs !== undefined && part.sinceMs <= this.pausedMs && nowMs - this.pausedMs > heldMs;
    if (part.askedUs !== this.base.atUs || (held && Math.abs(driftUs) > restUs)) this.send(part, nowMs);
  }

  private send(part: Part, nowMs: number): void {
    const aheadUs = this.running ? part.leadMs * 1000 * this.now.rate : 0;
    part.askedUs = Math.min(this.momentUs(nowMs) + aheadUs, Math.max(this.base.atUs, this.wallUs(nowMs) - preparedEdgeUs));
    part.soughtMs = nowMs;
    this.turn(part, "coming", nowMs);
    part.player.prepare(part.askedUs);
  }

  private turn(part: Part, mode: Part["mode"], nowMs: number): void {
    part.mode = mode;
    part.sinceMs = part.measuredMs = nowMs;
  }

  private trim(part: Part, factor: number, always = false): void {
    const pace = this.now.rate * factor;
    if (!always && Math.abs(pace - part.pace) < leastTrim * this.now.rate) return;
    part.pace = pace;
    part.player.pace(pace);
  }

  private report(part: Part): void {
    const shown = part.mode === "stands" ? part.player.shown() : undefined;
    const nextUs = shown && shown.atUs - part.askedUs > farUs ? shown.atUs : undefined;
    const where = nextUs !== undefined ? "gap" : this.where(part);
    const driftUs = where === "on" || where === "behind" ? part.driftUs : undefined;
    const told = part.place;
    if (told.where === where && told.driftUs === driftUs && told.nextUs === nextUs) return;
    part.place = { where, driftUs, nextUs };
    this.tell();
  }

  private where(part: Part): Place["where"] {
    switch (part.mode) {
      case "failed":
        return "failed";
      case "plays":
        return part.misses >= 2 && (part.driftUs ?? 0) < -limitUs ? "behind" : "on";
      case "stands":
        return this.running ? "coming" : "on";
      case "coming":
        return "coming";
    }
  }

  private set(change: Partial<Direction>): void {
    this.now = { ...this.now, ...change };
    this.tell();
  }

  private tell(): void {
    for (const tell of this.listeners) tell();
  }
}
