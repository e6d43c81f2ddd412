// What a video on the screen is wished to show, and what it shows: the words between a session and its components.
import type { StreamKind } from "../api/types";
import { text } from "../text";
import type { Word } from "./control";
import type { Stats } from "./stats";

export type Phase = "connecting" | "waiting" | "playing" | "stalled" | "reconnecting" | "failed" | "closed";

/** What components show. Replaced as a whole whenever something changes. */
export interface Snapshot {
  phase: Phase;
  /** Undefined: live. */
  fromUs: number | undefined;
  paused: boolean;
  /** How fast a recording is played, below 0 backwards; 1 when live. */
  rate: number;
  /** The site can show single pictures and play backwards. */
  steps: boolean;
  /** Why there is no picture of the moment under the pointer. */
  missing: string;
  /** What there is to say of the single picture that is shown. */
  hint: string;
  /** Why it is not playing, for a person. */
  reason: string;
  /** Why it is another stream than asked for, for a person. */
  note: string;
  /** Why the recording has a gap before the picture that is shown, for a person. */
  gap: string;
  stream: string;
  codec: string;
  hasAudio: boolean;
  /** There is sound that can be had by another way. */
  soundElsewhere: boolean;
  /** From asking to the first picture, milliseconds. */
  firstFrameMs: number | undefined;
  stats: Stats | undefined;
  /** From the site to the screen, milliseconds; undefined while it is not known, and in recordings. */
  delayMs: number | undefined;
  /** How long a live picture takes inside the camera, in milliseconds; undefined where that does not tell. */
  insideMs: number | undefined;
}

export interface Wish {
  site: string;
  camera: string;
  stream?: StreamKind | undefined;
  fromUs?: number | undefined;
  silent?: boolean | undefined;
}

export const sameWish = (one: Wish, other: Wish): boolean =>
  one.site === other.site && one.camera === other.camera && one.stream === other.stream && one.fromUs === other.fromUs && !!one.silent === !!other.silent;

/** What a session that has just begun shows. */
export const blank: Snapshot = {
  phase: "connecting", fromUs: undefined, paused: false, rate: 1, steps: false, missing: "", hint: "", reason: "", note: "", gap: "", stream: "", codec: "", hasAudio: false, soundElsewhere: false,
  firstFrameMs: undefined, stats: undefined, delayMs: undefined, insideMs: undefined,
};

/** What a word changes of what is shown. */
export function changed(word: Word): Partial<Snapshot> {
  switch (word.type) {
    case "gap":
      return { note: word.text || text.live.skipped, gap: word.text };
    case "begin":
      return { stream: word.stream, codec: word.codec, hasAudio: word.sound };
    default:
      return {};
  }
}

/** What a session shows now, for components that subscribe to it. */
export class Board {
  current = blank;
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (tell: () => void): (() => void) => {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  };

  readonly snapshot = (): Snapshot => this.current;

  set(change: Partial<Snapshot>): void {
    this.current = { ...this.current, ...change };
    for (const tell of this.listeners) tell();
  }

  close(): void {
    this.listeners.clear();
  }
}
