// Video that comes piece by piece as MP4 (Media Source Extensions): for browsers and networks without WebRTC, and for what
// WebRTC has no room for. It keeps the element at the newest picture, and its memory small.

/** How far behind the newest picture the element plays, seconds: less, and it would stand at every breath of the line. */
const aimS = 0.15;
/** Further behind than this it plays a little faster, and beyond the most it jumps. */
const easyS = 0.5;
const hurryS = 1;
const mostS = 3;
/** What lies so far behind the picture on the screen is let go, from one of its key frames on. */
const keptS = 2;
const lookMs = 200;
/** Fragments that wait for the decoder; more say that it does not take them. */
const mostWaiting = 600;

type Managed = typeof MediaSource;

/** The browser's media source: an iPhone has a managed one alone. */
function sourceType(): Managed | undefined {
  const of = globalThis as { ManagedMediaSource?: Managed; MediaSource?: Managed };
  return of.ManagedMediaSource ?? of.MediaSource;
}

/** Whether the browser plays MP4 with these codecs (RFC 6381) piece by piece. */
export function films(...codecs: string[]): boolean {
  return sourceType()?.isTypeSupported(`video/mp4; codecs="${codecs.join(",")}"`) ?? false;
}

/** The video codecs that it plays so, in the door's words. */
export const filmable = (): string[] => [films("avc1.64001f") && "h264", films("hvc1.1.6.L120.90") && "h265"].filter((name) => name !== false);

/** Those, and Opus: in that comes sound which MP4 has no room for. */
export const playable = (): string[] => [...filmable(), ...(films("avc1.64001f", "opus") ? ["opus"] : [])];

/** What a fragment says of its first picture: when it is shown, in seconds, and whether it is a key frame. Undefined for one
 *  without pictures. The boxes lie where the relay puts them (shared/mp4, film.go). */
export function firstPicture(fragment: ArrayBuffer): { atS: number; key: boolean } | undefined {
  if (fragment.byteLength < 104) return undefined;
  const view = new DataView(fragment);
  const [track, time, flags] = [view.getUint32(44), Number(view.getBigUint64(64)), view.getUint32(100)];
  return track === 1 ? { atS: time / 90_000, key: flags === 0x02000000 } : undefined;
}

/** Where the element should be. jumpS: there at once; rate: how fast it plays. The newest stretch counts, since what comes
 *  behind a hole is what is seen now. */
export function pursue(atS: number, startS: number, endS: number, rate: number): { jumpS?: number; rate: number } {
  if (atS < startS - 0.05 || atS > endS + 0.05) return { jumpS: Math.max(startS, endS - aimS), rate: 1 };
  const behind = endS - atS;
  if (behind > mostS) return { jumpS: Math.max(startS, endS - aimS), rate: 1 };
  if (behind > hurryS) return { rate: 1.1 };
  if (behind > easyS) return { rate: Math.max(rate, 1.05) };
  return { rate: behind > 2 * aimS ? rate : 1 };
}

export class Film {
  private source: MediaSource | undefined;
  private buffer: SourceBuffer | undefined;
  private url = "";
  private mime = "";
  /** Pieces, and between them the kind that follows. */
  private waiting: (ArrayBuffer | string)[] = [];
  private keys: number[] = [];
  private video: HTMLVideoElement | undefined;
  private looking: ReturnType<typeof setInterval> | undefined;
  /** A person has stopped the picture: what comes meanwhile is not kept. */
  private stopped = false;
  /** The kind that the next piece opens. */
  private next: string | undefined;
  /** What opens the pictures that come when the person goes on: until then the old ones stay on the screen. */
  private held: { mime: string; opening: ArrayBuffer } | undefined;

  /** failed: the browser can't go on with it. anew: what comes is to begin at the newest key frame again. */
  constructor(private readonly failed: () => void, private readonly anew: () => void) {}

  /** What it is shown on. */
  get element(): HTMLVideoElement | undefined {
    return this.video;
  }

  /** Shows it on an element. */
  attach(video: HTMLVideoElement): void {
    if (this.video === video) return;
    this.video = video;
    video.addEventListener("error", this.failed);
    video.addEventListener("play", this.goOn);
    this.looking = setInterval(() => this.keepUp(), lookMs);
    this.show();
  }

  /** What comes from now on is of this kind, and its opening is next. */
  begin(mime: string): void {
    this.next = mime;
  }

  /** Takes the next piece. */
  add(piece: ArrayBuffer): void {
    if (this.next !== undefined) {
      const opened = { mime: this.next, opening: piece };
      this.next = undefined;
      this.stopped ||= this.stands();
      if (this.stopped) this.held = opened;
      else this.open(opened);
      return;
    }
    const first = firstPicture(piece);
    if (this.stopped && !(first?.key && this.video?.paused === false)) return;
    this.stopped = this.stands();
    if (this.held && !this.stopped) {
      this.open(this.held);
      this.held = undefined;
    }
    if (first?.key) this.keys.push(first.atS);
    this.push(piece);
  }

  /** Whether a person has stopped the picture, and not the want of one. */
  private readonly stands = (): boolean => this.video?.paused === true && this.video.readyState > 2;

  /** Goes on with what another opening belongs to: with as many tracks in the same source, else in a new one. */
  private open({ mime, opening }: { mime: string; opening: ArrayBuffer }): void {
    if (mime !== this.mime) {
      const goesOn = this.source && count(mime) === count(this.mime);
      this.mime = mime;
      if (goesOn) this.waiting.push(mime);
      else this.start();
    }
    this.push(opening);
  }

  private start(): void {
    const Source = sourceType();
    if (!Source) return this.failed();
    this.release();
    const source = new Source();
    this.source = source;
    source.onsourceopen = () => {
      if (source !== this.source) return;
      try {
        this.buffer = source.addSourceBuffer(this.mime);
      } catch {
        return this.failed();
      }
      this.buffer.onupdateend = () => this.feed();
      this.buffer.onerror = this.failed;
      this.feed();
    };
    this.show();
  }

  private push(piece: ArrayBuffer): void {
    this.waiting.push(piece);
    if (this.waiting.length > mostWaiting) this.failed();
    else this.feed();
  }

  close(): void {
    clearInterval(this.looking);
    this.video?.removeEventListener("error", this.failed);
    this.video?.removeEventListener("play", this.goOn);
    if (this.video) this.video.playbackRate = 1; // the last picture stays until there is another
    this.video = undefined;
    this.release();
  }

  private readonly goOn = (): void => {
    if (this.stopped) this.anew();
  };

  private show(): void {
    if (!this.video || !this.source) return;
    const plays = this.video.autoplay && !this.stopped;
    this.url = URL.createObjectURL(this.source);
    this.video.srcObject = null;
    this.video.disableRemotePlayback = true; // a managed source asks for it
    this.video.src = this.url;
    if (plays) void this.video.play().catch(() => undefined);
  }

  private release(): void {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
    this.source = this.buffer = undefined;
    this.waiting = [];
    this.keys = [];
  }

  private feed(): void {
    const { buffer } = this;
    if (!buffer || buffer.updating || this.source?.readyState !== "open" || this.trim()) return;
    const next = this.waiting.shift();
    if (!next) return this.keepUp();
    try {
      if (typeof next === "string") {
        buffer.changeType(next);
        return this.feed();
      }
      buffer.appendBuffer(next);
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "QuotaExceededError" && this.keys.length > 0)) return this.failed();
      this.waiting.unshift(next);
      buffer.remove(0, Math.max(this.keys.at(-1) ?? 0, 0.001));
    }
  }

  /** Lets go of what is far behind, up to a key frame: more would go with it. */
  private trim(): boolean {
    const { buffer, video } = this;
    if (!buffer || !video || video.buffered.length === 0) return false;
    const from = video.buffered.start(0);
    const to = this.keys.findLast((atS) => atS <= video.currentTime - keptS);
    if (to === undefined || to <= from + 1) return false;
    this.keys = this.keys.filter((atS) => atS >= to);
    buffer.remove(0, to);
    return true;
  }

  private keepUp(): void {
    const { video } = this;
    if (!video || video.seeking || (video.paused && video.readyState > 2) || video.buffered.length === 0) return;
    const last = video.buffered.length - 1;
    const { jumpS, rate } = pursue(video.currentTime, video.buffered.start(last), video.buffered.end(last), video.playbackRate);
    if (jumpS !== undefined) video.currentTime = jumpS;
    if (video.playbackRate !== rate) video.playbackRate = rate;
  }
}

/** How many tracks a media type names. */
const count = (mime: string): number => (mime ? mime.split(",").length : 0);

/** What an element can show. */
export type Media = MediaStream | Film;

/** Shows something on an element, or nothing. */
export function show(video: HTMLVideoElement, media: Media | null): void {
  if (media instanceof Film) return media.attach(video);
  if (video.srcObject !== media) video.srcObject = media;
  if (!video.hasAttribute("src")) return;
  video.removeAttribute("src");
  if (!media) video.load();
}
