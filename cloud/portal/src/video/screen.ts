// What is on a video element: its pictures are counted, and each is known by its moment.
import { nowUs } from "../lib/time";
import type { Word } from "./control";
import { Delay, shownMs } from "./delay";
import type { Channel } from "./seat";
import type { Moment } from "./stamp";
import { Moments } from "./step";

/** What a Screen asks, and what it tells. */
export interface Watcher {
  live: () => boolean;
  /** A picture was painted, at mediaTime of the element. */
  painted: (mediaTime: number) => void;
}

/** Film and RTP count a picture's time alike, in ticks (RFC 6184 and 7798 section 8.2.1). */
const rtpPerS = 90_000;

export class Screen {
  /** Pictures since begin. */
  frames = 0;
  /** What is shown is film, whose pictures are known by the element's own time. */
  filmed = false;
  /** From the site to the screen, milliseconds; undefined while it is not known, and in recordings. */
  delayMs: number | undefined;
  readonly moments = new Moments();
  private delay = new Delay();
  private rtp: number | undefined; // of the picture
  /** When the picture was put there, by `performance.now()`. */
  shownMs: number | undefined;
  private named: { rtp: number; atUs: number } | undefined; // the single picture that was asked for
  private stepUs: number | undefined; // the moment of the picture that a step has led to
  private over = false;

  /** Whether it sees each picture as it is painted; else whoever shows it must look whether some were decoded. */
  readonly sees: boolean;

  constructor(private readonly video: HTMLVideoElement, private readonly watcher: Watcher) {
    this.sees = "requestVideoFrameCallback" in video;
    if (this.sees) video.requestVideoFrameCallback(this.count);
  }

  private readonly count = (_: number, frame: VideoFrameCallbackMetadata): void => {
    if (this.over) return;
    this.video.dataset.frames = String(++this.frames);
    this.rtp = this.filmed ? Math.round(frame.mediaTime * rtpPerS) % 2 ** 32 : frame.rtpTimestamp;
    const atMs = shownMs(frame);
    this.delayMs = this.watcher.live() ? this.delay.of(this.rtp, atMs) : undefined;
    this.video.dataset.delay = this.delayMs === undefined ? "" : String(Math.round(this.delayMs));
    this.shownMs = atMs;
    if (this.rtp !== undefined) this.moments.painted(this.rtp, atMs);
    this.confirm();
    this.watcher.painted(frame.mediaTime);
    this.video.requestVideoFrameCallback(this.count);
  };

  /** Counts from none. */
  begin(): void {
    this.frames = 0;
    this.video.dataset.frames = "0";
  }

  /** What comes next is by another clock. */
  forget(): void {
    this.delay = new Delay();
    this.delayMs = this.rtp = undefined;
  }

  close(): void {
    this.over = true;
  }

  /** Asks the site what its clock shows. */
  ask(channel: Channel): void {
    if (channel.readyState === "open") channel.send(Delay.ask(performance.now()));
  }

  /** Takes what the site says of time. */
  hear(word: Word): void {
    this.delay.hear(word, performance.now());
    if (word.type === "position") this.moments.hear(word);
    if (word.type !== "picture" || !word.step || word.rtp === undefined) return;
    this.moments.single(word.rtp, word.at_us);
    this.stepUs = word.at_us;
  }

  /** A step is under way. */
  steps(): void {
    this.stepUs = undefined;
  }

  /** The moment of the picture that a step has led to, once it is there. */
  stepped(): number | undefined {
    return this.stepUs !== undefined && this.confirms(this.stepUs) ? this.stepUs : undefined;
  }

  /** Takes which picture is the single one that was asked for; it is noted on the element once it is there. */
  name(picture: { rtp: number; atUs: number } | undefined): void {
    this.named = picture;
    this.confirm();
  }

  private confirm(): void {
    if (this.named && this.named.rtp === this.rtp) this.video.dataset.at = String(this.named.atUs);
  }

  /** Whether it shows the single picture of a moment. */
  confirms(atUs: number): boolean {
    return this.video.dataset.at === String(atUs);
  }

  /** The moment of the live picture, which is that of its birth, and how that is known. */
  born(relayed: boolean): Moment {
    const bornMs = this.delay.bornMs(this.rtp);
    if (bornMs !== undefined) return { atUs: bornMs * 1000, recorded: false, exact: true, clock: relayed ? "cloud" : "site" };
    const agoMs = performance.now() - (this.shownMs ?? performance.now());
    return { atUs: nowUs() - agoMs * 1000, recorded: false, exact: false, clock: "viewer" };
  }

  /** The moment of the recorded picture, and how that is known: of a single one atUs is what the site says. */
  recorded(atUs: number, single: boolean): Moment {
    const shown = single ? undefined : this.moments.shown();
    if (shown) return { atUs: shown.siteUs, recorded: true, exact: true, clock: "site", offUs: shown.offUs };
    return { atUs, recorded: true, exact: this.confirms(atUs), clock: "site" };
  }

  /** Plays; what the browser refuses with sound is tried again without. */
  async play(): Promise<void> {
    await this.video.play().catch(async () => {
      this.video.muted = true;
      await this.video.play().catch(() => undefined);
    });
  }
}
