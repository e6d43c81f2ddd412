// A place for one camera: on a WebRTC connection, or on a WebSocket that stands in for one.
import type { Media } from "./film";
import type { Answer } from "./whep";

/** Words to and fro, of a data channel or what stands in for one. */
export interface Channel {
  readonly readyState: string;
  onmessage: ((event: MessageEvent) => void) | null;
  send(words: string): void;
}

/** A place for one camera on a connection. */
export interface Seat {
  readonly media: Media;
  readonly channel: Channel;
  /** What the site said of a gap, or of a line without room, before anybody listened: on a connection that is there already its words are faster than its
   *  answer. */
  readonly early: unknown[];
  /** Measures what comes in on this place, and its path. */
  readonly measure: () => Promise<RTCStatsReport>;
  readonly answer: Answer;
  /** It comes from the relay. */
  readonly relayed: boolean;
  /** By which path, where the measurements do not say. */
  readonly path?: string;
  /** Has sound told of that begins to come. */
  readonly hears: (tell: () => void) => void;
  /** Gives the place back, and ends what is shown there. */
  readonly leave: () => void;
}
