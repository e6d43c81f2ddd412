// The cloud's clips on a camera's stage, where its site can't be reached. It has the words and the orders of a video session;
// what plays is a ClipVoice, as on walls, here without anybody to lead it. Moments are by the site's clock.
import { duration, isH265 } from "../lib/format";
import { text } from "../text";
import { ClipVoice } from "./clipVoice";
import { type Copy, copyAt, copyBefore } from "./copies";
import { blank, Board, type Snapshot } from "./snapshot";
import type { Staged } from "./staged";
import type { Moment } from "./stamp";
import type { Told } from "./togetherTile";

/** How often it looks whether what plays has come to a picture, or to an end. */
const lookMs = 100;
/** A time without a clip is told of when it is longer, and for so long. */
const tellUs = 1_000_000;
const noteMs = 6_000;

export class ClipSession implements Staged {
  private readonly board = new Board();
  readonly subscribe = this.board.subscribe;
  readonly snapshot = this.board.snapshot;
  private readonly voice: ClipVoice;
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly askedMs = performance.now();
  private copies: readonly Copy[] = [];
  /** The last moment that is known to have been on the stage, or was sought. */
  private lastUs: number;
  /** Where the stretch that plays ends, the way that it plays. */
  private edgeUs = 0;
  private notedMs = 0;
  /** What is on its way was sought, so that no time is skipped with it. */
  private sought = true;
  private scrubbing = false;

  constructor(video: HTMLVideoElement, told: Told, fromUs: number) {
    this.lastUs = fromUs;
    this.board.current = { ...blank, phase: "waiting", fromUs, steps: true };
    this.voice = new ClipVoice(video, told);
    this.voice.subscribe(() => this.look());
    this.timer = setInterval(() => this.look(), lookMs);
    this.go(fromUs);
  }

  private get current(): Snapshot { return this.board.current; }

  /** Plays from these stretches from now on. */
  have(copies: readonly Copy[]): void {
    this.copies = copies;
    this.voice.have(copies);
  }

  /** Ends for good. */
  close(): void {
    clearInterval(this.timer);
    this.voice.close();
    this.board.close();
  }

  again(): void {
    this.board.set({ phase: "waiting", reason: "" });
    this.go(this.lastUs);
  }

  positionUs(): number {
    return this.voice.atUs() ?? this.lastUs;
  }

  /** For how long its picture has been on the screen, milliseconds; undefined while there is none. */
  shownForMs(): number | undefined {
    const shown = this.voice.shown();
    return shown && performance.now() - shown.shownMs;
  }

  moment(): Moment {
    return this.voice.moment();
  }

  pause(): void {
    this.voice.hold();
    this.board.set({ paused: true });
  }

  resume(): void {
    this.board.set({ paused: false, hint: "" });
    this.look();
  }

  seek(atUs: number): void {
    const paused = this.scrubbing && this.current.paused;
    this.scrubbing = false;
    this.board.set({ fromUs: atUs, paused, missing: "", hint: "", note: "" });
    this.go(atUs);
  }

  /** Shows what lies at a moment while the pointer moves; a seek lets go. */
  scrub(atUs: number): void {
    this.scrubbing = true;
    this.voice.hold();
    const copy = copyAt(this.copies, atUs);
    this.board.set({ fromUs: atUs, missing: copy ? "" : text.together.noCopy, hint: "", note: "" });
    if (copy) this.go(atUs);
  }

  pace(rate: number): void {
    this.voice.pace(rate);
    this.board.set({ rate });
  }

  turn(rate: number): void {
    this.pace(rate);
    if (this.current.paused) this.resume();
  }

  step(count: number): void {
    this.board.set({ paused: true, hint: "", note: "" });
    this.sought = true;
    this.voice.step(count);
  }

  /** The sound of a clip is in it. */
  aloud(): void {}

  private go(atUs: number): void {
    this.lastUs = atUs;
    this.sought = true;
    this.voice.prepare(atUs, this.current.rate < 0);
  }

  /** Sees how what plays goes on: it waits at each picture that it was sent to, and behind a time without a clip. */
  private look(): void {
    const { voice, current } = this;
    if (this.copies.length === 0) return;
    const copy = voice.shows();
    if (voice.state() === "broken") return this.tell({ phase: "failed", reason: isH265(copy?.clip.codec?.split(",")[0]) ? text.clips.h265 : text.clips.cannotPlay });
    if (voice.state() === "none") return this.end();
    if (voice.stopped() && !current.paused) return this.stand(text.cloud.begins, this.lastUs);
    if (voice.state() === "loading" || !copy) return this.tell({ phase: "waiting" });
    const codecs = copy.clip.codec?.split(",") ?? [];
    this.tell({
      phase: "playing", reason: "", firstFrameMs: current.firstFrameMs ?? performance.now() - this.askedMs, stream: copy.clip.stream, codec: codecs[0] ?? "", hasAudio: codecs.length > 1,
      note: performance.now() - this.notedMs < noteMs ? current.note : "",
    });
    const shown = voice.shown();
    if (!shown || this.scrubbing) return;
    const waits = !current.paused && !voice.plays();
    const us = Math.abs(shown.atUs - this.edgeUs);
    if (waits && !this.sought && us > tellUs) {
      this.notedMs = performance.now();
      this.board.set({ note: text.cloud.skipped(duration(us)) });
    }
    this.lastUs = shown.atUs;
    this.edgeUs = current.rate < 0 ? copy.startUs : copy.endUs;
    this.sought = false;
    if (waits) voice.play();
  }

  /** No clip goes on from here: it stands at the last picture before. */
  private end(): void {
    const last = copyBefore(this.copies, Math.max(this.lastUs, this.edgeUs));
    if (last) this.stand(text.cloud.ended, last.endUs - 1);
    else this.tell({ phase: "failed", reason: text.together.noCopy });
  }

  private stand(hint: string, atUs: number): void {
    this.tell({ paused: true, rate: 1, hint });
    this.voice.pace(1);
    this.go(atUs);
  }

  private tell(change: Partial<Snapshot>): void {
    const { current } = this;
    if (Object.entries(change).some(([name, value]) => current[name as keyof Snapshot] !== value)) this.board.set(change);
  }
}
