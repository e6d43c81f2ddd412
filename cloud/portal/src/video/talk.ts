// Speaking through a camera's loudspeaker: the microphone goes to the site over a connection of its own, for as long as a
// button is held. What is watched meanwhile, and through what, knows nothing of it. It lives outside React.
import { ApiError } from "../api/errors";
import { text } from "../text";
import { channelName, readWord } from "./control";
import { Meter } from "./meter";
import { asks, reason, unable } from "./microphone";
import { Paths } from "./paths";
import { askAhead, iceServers, relayUser } from "./servers";
import { end, prefer, speak, tell } from "./whep";

/** asking: the browser asks the person for the microphone. */
export type TalkPhase = "idle" | "asking" | "connecting" | "speaking" | "failed";

export interface TalkSnapshot {
  phase: TalkPhase;
  /** Why it failed, or what to do now. */
  words: string;
}

/** What the camera plays is out of its microphone's reach, and on its way no longer, after so much time. */
const echoMs = 600;
/** How long what went wrong is said. */
const sayMs = 8000;

const idle: TalkSnapshot = { phase: "idle", words: "" };

/** One camera's loudspeaker. hush is told to keep the camera's own sound down, or to let it up again: else the two hear each
 *  other. */
export class Talk {
  private readonly listeners = new Set<() => void>();
  private current = idle;
  private attempt: AbortController | undefined;
  private microphone: MediaStream | undefined;
  private meter: Meter | undefined;
  private connection: RTCPeerConnection | undefined;
  private session: string | undefined;
  private loud: ReturnType<typeof setTimeout> | undefined;
  private said: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly camera: string, private readonly hush: (quiet: boolean) => void) {
    addEventListener("pagehide", this.release);
  }

  readonly subscribe = (tell: () => void): (() => void) => {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  };

  readonly snapshot = (): TalkSnapshot => this.current;

  /** How loud the microphone is, 0 to 1. */
  readonly level = (): number => this.meter?.level() ?? 0;

  /** The button is held. */
  readonly press = (): void => {
    if (this.attempt) return;
    const attempt = new AbortController();
    this.attempt = attempt;
    void this.begin(attempt.signal).catch((error: unknown) => {
      if (!attempt.signal.aborted) this.fail(reason(error));
    });
  };

  /** The button is let go. */
  readonly release = (): void => {
    if (!this.attempt) return;
    const asking = this.current.phase === "asking";
    this.drop();
    this.set(asking ? { phase: "asking", words: text.talk.asking } : idle);
  };

  /** Ends for good. */
  close(): void {
    this.drop();
    clearTimeout(this.said);
    removeEventListener("pagehide", this.release);
    this.listeners.clear();
  }

  private async begin(signal: AbortSignal): Promise<void> {
    const why = unable();
    if (why) throw new ApiError(501, why);
    askAhead();
    const asked = await asks();
    if (signal.aborted) return;
    this.set(asked ? { phase: "asking", words: text.talk.asking } : { phase: "connecting", words: "" });
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 } })
      .catch((error: unknown) => {
        if (signal.aborted && this.current.phase === "asking") this.fail(reason(error)); // the question took the hand off the button
        throw error;
      });
    if (signal.aborted) {
      for (const track of microphone.getTracks()) track.stop();
      if (this.current.phase === "asking") this.set({ phase: "idle", words: text.talk.ready });
      return;
    }
    for (const track of microphone.getTracks()) {
      track.onended = () => {
        if (!signal.aborted) this.fail(text.talk.none);
      };
    }
    this.microphone = microphone;
    this.meter = new Meter(microphone);
    this.quiet();
    this.set({ phase: "connecting", words: "" });
    await this.connect(microphone, signal);
  }

  private async connect(microphone: MediaStream, signal: AbortSignal): Promise<void> {
    const servers = await iceServers();
    if (signal.aborted) return;
    const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: servers });
    this.connection = connection;
    for (const track of microphone.getAudioTracks()) prefer(connection.addTransceiver(track, { direction: "sendonly", streams: [microphone] }), ["audio/pcmu", "audio/pcma"]);
    const lost = (why: string) => {
      if (!signal.aborted) this.fail(why);
    };
    connection.onconnectionstatechange = () => {
      if (signal.aborted) return;
      if (connection.connectionState === "connected") this.set({ phase: "speaking", words: "" });
      if (connection.connectionState === "disconnected") this.set({ phase: "connecting", words: "" }); // nothing is heard meanwhile
      if (connection.connectionState === "failed") lost(text.live.noPath);
      if (connection.connectionState === "closed") lost(text.talk.ended);
    };
    const channel = connection.createDataChannel(channelName);
    channel.onmessage = ({ data }) => {
      const word = readWord(data);
      if (word?.type === "end") lost(word.text || text.talk.ended);
    };
    channel.onclose = () => lost(text.talk.ended);
    const relay = relayUser(servers);
    const paths = servers.length > 0 ? new Paths(connection, relay !== undefined) : undefined;
    await connection.setLocalDescription(await connection.createOffer());
    // It is not called off on the way: the site would wait for who is gone already.
    const answer = await speak(this.camera, connection.localDescription?.sdp ?? "", relay, paths !== undefined);
    if (signal.aborted) return end(answer.session);
    this.session = answer.session;
    await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    paths?.exchange((fragment) => tell(answer.session, fragment, signal)).catch(() => undefined);
  }

  /** Keeps the camera's own sound down. */
  private quiet(): void {
    clearTimeout(this.loud);
    this.hush(true);
  }

  private drop(): void {
    this.attempt?.abort();
    this.attempt = undefined;
    if (this.session) end(this.session);
    this.session = undefined;
    this.connection?.close();
    this.connection = undefined;
    this.meter?.close();
    this.meter = undefined;
    if (!this.microphone) return;
    for (const track of this.microphone.getTracks()) track.stop();
    this.microphone = undefined;
    clearTimeout(this.loud);
    this.loud = setTimeout(() => this.hush(false), echoMs);
  }

  private fail(why: string): void {
    this.drop();
    this.set({ phase: "failed", words: why });
    this.said = setTimeout(() => this.set(idle), sayMs);
  }

  private set(next: TalkSnapshot): void {
    clearTimeout(this.said);
    this.current = next;
    for (const tell of this.listeners) tell();
  }
}
