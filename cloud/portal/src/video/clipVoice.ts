// Clips of the cloud as one of several recordings that are played in step.
import { mediaUrl } from "../api/client";
import { type Copy, copyAfter, copyAt, copyBefore } from "./copies";
import { shownMs } from "./delay";
import type { Player } from "./led";
import type { Moment } from "./stamp";
import { guessedPictureUs, type Told } from "./togetherTile";

/** Whether there is a picture; or why not: no clip of the moment, or one that the browser can't decode. */
export type ClipState = "loading" | "shows" | "none" | "broken";

/** How often it looks where it is while it plays, and how often backwards a picture is sought. */
const lookMs = 100;
const screenMs = 30;
/** A picture that was sought comes to the screen with the end of the search, or was there before. */
const paintMs = 150;
/** Over a gap that is shorter it plays on. */
const shortUs = 1_000_000;

export class ClipVoice implements Player {
  private readonly listeners = new Set<() => void>();
  private now: ClipState = "loading";
  private copies: readonly Copy[] = [];
  private copy: Copy | undefined;
  /** The clip that is on the element. */
  private loaded: string | undefined;
  /** Where it is to stand, until it does. */
  private soughtUs: number | undefined;
  private found = false;
  private picture: { atUs: number; shownMs: number } | undefined;
  /** What it was to show and had no clip of: it comes when there is one. */
  private missed: { us: number; backwards: boolean } | undefined;
  private stepping = false;
  private rate = 1;
  private timer: ReturnType<typeof setInterval> | undefined;
  /** Backwards: it was at atUs at atMs. */
  private base = { atUs: 0, atMs: 0 };
  private ended = false;
  private readonly ending = new AbortController();

  constructor(private readonly video: HTMLVideoElement, private readonly told: Told) {
    const on = (type: string, act: () => void) => video.addEventListener(type, act, { signal: this.ending.signal });
    on("loadedmetadata", () => this.land());
    on("seeked", () => this.landed());
    on("error", () => { if (this.copy) this.set("broken"); });
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(this.painted);
  }

  readonly subscribe = (tell: () => void): (() => void) => {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  };

  readonly state = (): ClipState => this.now;

  /** The clip that is shown. */
  readonly shows = (): Copy | undefined => this.copy;

  /** It goes by, or waits for a picture to go on with. */
  readonly plays = (): boolean => this.timer !== undefined;

  /** The moment that is on the screen or on its way there, by the site's clock; undefined where there is no clip of it. */
  atUs(): number | undefined {
    if (!this.copy) return undefined;
    return this.soughtUs ?? (this.timer !== undefined && this.rate > 0 ? this.positionUs() : (this.picture?.atUs ?? this.positionUs()));
  }

  /** The moment of the picture on the screen. */
  moment(): Moment {
    const { picture } = this;
    return { atUs: picture?.atUs ?? this.positionUs(), recorded: true, exact: picture !== undefined, clock: "site" };
  }

  /** Plays from these stretches from now on. */
  have(copies: readonly Copy[]): void {
    this.copies = copies;
    if (this.missed) this.find(this.missed.us, this.missed.backwards);
  }

  close(): void {
    this.hold();
    this.ending.abort();
    this.video.removeAttribute("src");
    this.video.load();
    this.listeners.clear();
  }

  prepare(atUs: number, backwards: boolean): void {
    this.hold();
    this.stepping = this.ended = false;
    this.find(atUs - this.offUs, backwards);
  }

  play(): void {
    if (!this.copy) return;
    clearInterval(this.timer);
    this.stepping = this.ended = false;
    this.timer = setInterval(() => this.look(), lookMs);
    if (this.rate < 0) {
      this.base = { atUs: this.picture?.atUs ?? this.positionUs(), atMs: performance.now() };
      this.video.pause();
    } else void this.video.play().catch(() => undefined);
  }

  hold(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.video.pause();
  }

  pace(rate: number, fromUs?: number): void {
    const turns = rate < 0 !== this.rate < 0;
    if (this.rate < 0) this.base = { atUs: this.backUs(), atMs: performance.now() };
    this.rate = rate;
    if (rate > 0) this.video.playbackRate = Math.min(16, Math.max(0.0625, rate));
    if (!turns || this.timer === undefined) return;
    this.play();
    if (rate < 0 && fromUs !== undefined) this.base.atUs = fromUs - this.offUs;
  }

  step(count: number): void {
    this.hold();
    const { copy } = this;
    if (!copy) return;
    this.stepping = true;
    // In the middle of a picture's time it is surely that one.
    const us = (this.soughtUs ?? this.picture?.atUs ?? this.positionUs()) + (count + (this.soughtUs === undefined ? 0.5 : 0)) * this.pictureUs;
    if (us >= copy.startUs && us < copy.endUs) return this.seek(us);
    const next = copyAt(this.copies, us) ?? (count < 0 ? copyBefore(this.copies, us) : copyAfter(this.copies, us));
    if (next) this.go(next, us);
    else this.seek(count < 0 ? copy.startUs : copy.endUs - this.pictureUs / 2);
  }

  stepped(): number | undefined {
    return this.stepping && this.soughtUs === undefined && this.picture ? this.picture.atUs + this.offUs : undefined;
  }

  shown() {
    if (this.soughtUs !== undefined || !this.picture) return undefined;
    return { atUs: this.picture.atUs + this.offUs, shownMs: this.picture.shownMs };
  }

  stopped(): boolean {
    return this.ended;
  }

  failed(): boolean {
    return this.now === "none" || this.now === "broken";
  }

  delayMs(): number {
    return screenMs;
  }

  private get offUs(): number {
    return this.told.current.offUs;
  }

  private get pictureUs(): number {
    return this.told.current.pictureUs ?? guessedPictureUs;
  }

  private positionUs(): number {
    return (this.copy?.zeroUs ?? 0) + this.video.currentTime * 1e6;
  }

  private backUs(): number {
    return this.base.atUs + (performance.now() - this.base.atMs) * 1000 * this.rate;
  }

  /** Goes to the stretch that holds a moment, or to the next one. */
  private find(us: number, backwards: boolean): void {
    const copy = copyAt(this.copies, us) ?? (backwards ? copyBefore(this.copies, us) : copyAfter(this.copies, us));
    if (copy) this.go(copy, us);
    else this.leave(us, backwards);
  }

  /** Goes to a moment in a stretch, or to its near end. */
  private go(copy: Copy, us: number): void {
    this.missed = undefined;
    const other = this.loaded !== copy.clip.id || this.video.error !== null;
    this.copy = copy;
    this.soughtUs = Math.min(Math.max(us, copy.startUs), copy.endUs - this.pictureUs / 2);
    this.picture = undefined;
    this.found = false;
    if (this.now !== "shows" || other) this.set("loading");
    if (!other) return this.land();
    this.video.defaultPlaybackRate = this.video.playbackRate; // to which loading sets it
    this.loaded = copy.clip.id;
    this.video.src = mediaUrl(copy.clip);
    this.video.load();
  }

  private seek(us: number): void {
    this.soughtUs = us;
    this.picture = undefined;
    this.found = false;
    this.land();
  }

  private land(): void {
    if (!this.copy || this.soughtUs === undefined || this.video.readyState < HTMLMediaElement.HAVE_METADATA) return;
    if (this.video.videoWidth === 0) return this.set("broken"); // its sound alone can be played
    this.video.currentTime = Math.max(0, (this.soughtUs - this.copy.zeroUs) / 1e6);
  }

  private landed(): void {
    const sought = this.soughtUs;
    if (sought === undefined) return;
    this.found = true;
    if (this.picture) return this.stand();
    setTimeout(() => {
      if (this.soughtUs !== sought || !this.found) return;
      this.picture ??= { atUs: sought, shownMs: performance.now() };
      this.stand();
    }, paintMs);
  }

  /** The picture that was sought is on the screen. */
  private stand(): void {
    this.soughtUs = undefined;
    this.set("shows");
  }

  private readonly painted = (_: number, frame: VideoFrameCallbackMetadata): void => {
    if (this.ending.signal.aborted) return;
    this.video.requestVideoFrameCallback(this.painted);
    this.video.dataset.frames = String(Number(this.video.dataset.frames ?? 0) + 1);
    if (!this.copy) return;
    const atUs = this.copy.zeroUs + frame.mediaTime * 1e6;
    if (this.soughtUs !== undefined && Math.abs(atUs - this.soughtUs) > 2 * Math.max(this.pictureUs, 100_000)) return; // from before
    this.picture = { atUs, shownMs: shownMs(frame) };
    this.video.dataset.at = String(Math.round(atUs));
    if (this.soughtUs !== undefined && this.found) this.stand();
  };

  /** While it plays: backwards it shows the picture that is due, and at the end of a stretch it goes on in the next. */
  private look(): void {
    const { copy } = this;
    if (!copy || this.soughtUs !== undefined) return;
    const us = this.rate < 0 ? this.backUs() : this.positionUs();
    if (us >= copy.startUs && us < copy.endUs && !this.video.ended) {
      if (this.rate < 0 && !this.video.seeking) this.video.currentTime = (us - copy.zeroUs) / 1e6;
      return;
    }
    const edgeUs = this.rate < 0 ? copy.startUs - 1 : copy.endUs;
    const next = copyAt(this.copies, edgeUs) ?? (this.rate < 0 ? copyBefore(this.copies, edgeUs) : copyAfter(this.copies, edgeUs));
    if (next) {
      const over = this.rate < 0 ? edgeUs - next.endUs : next.startUs - edgeUs;
      if (over > shortUs) this.hold(); // it waits there
      this.go(next, edgeUs);
      if (over <= shortUs) this.goOn();
      return;
    }
    this.hold();
    if (this.rate < 0) this.ended = true;
    else this.leave(edgeUs, false);
  }

  /** Goes on in the stretch that follows, once its picture is there. */
  private goOn(): void {
    this.base = { atUs: this.soughtUs ?? 0, atMs: performance.now() };
    if (this.rate > 0) void this.video.play().catch(() => undefined);
  }

  /** There is no clip of the moment: nothing is shown until there is one. */
  private leave(us: number, backwards: boolean): void {
    this.copy = this.soughtUs = this.picture = undefined;
    this.missed = { us, backwards };
    this.set("none");
  }

  private set(state: ClipState): void {
    if (state === this.now) return;
    this.now = state;
    for (const tell of this.listeners) tell();
  }
}
