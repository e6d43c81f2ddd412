// Listens to what the cloud says has changed and renews exactly that. Says when the line is gone.
import type { QueryClient, QueryKey } from "@tanstack/react-query";

import { base } from "./client";
import { type Change, touched } from "./touched";

export type LineState = "connecting" | "open" | "lost";

/** How long changes are gathered before what they touch is fetched again. */
const gatherMs = 400;
const longestWaitMs = 20_000;
const hiddenMs = 30_000;

/** The stream of changes of one signed-in person. */
export class Changes {
  private source: EventSource | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private flushing: ReturnType<typeof setTimeout> | undefined;
  private readonly waiting = new Map<string, QueryKey>();
  private readonly listeners = new Set<() => void>();
  private hiding: ReturnType<typeof setTimeout> | undefined;
  private resting = false;
  private failures = 0;
  private current: LineState = "connecting";
  private readonly queries: QueryClient;

  constructor(queries: QueryClient) {
    this.queries = queries;
  }

  readonly subscribe = (tell: () => void): (() => void) => {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  };

  readonly state = (): LineState => this.current;

  /** Connects and stays connected until the returned function is called. A tab that nobody looks at lets go of its
   *  stream after a while, because a browser has few connections to one server for all its tabs. */
  run(): () => void {
    const again = () => this.connect();
    const turned = () => {
      clearTimeout(this.hiding);
      if (document.visibilityState === "hidden") this.hiding = setTimeout(() => this.rest(), hiddenMs);
      else if (this.resting) this.connect();
    };
    addEventListener("online", again);
    document.addEventListener("visibilitychange", turned);
    this.connect();
    return () => {
      removeEventListener("online", again);
      document.removeEventListener("visibilitychange", turned);
      clearTimeout(this.hiding);
      clearTimeout(this.flushing);
      this.rest();
      this.set("connecting");
    };
  }

  private rest(): void {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = undefined;
    this.resting = true;
  }

  private connect(): void {
    clearTimeout(this.timer);
    this.source?.close();
    const source = new EventSource(`${base}/changes`);
    this.source = source;
    source.onopen = () => {
      // What changed while the line was gone was not said to us: everything may be old.
      if (this.current === "lost" || this.resting) void this.queries.invalidateQueries();
      this.resting = false;
      this.failures = 0;
      this.set("open");
    };
    source.addEventListener("change", (message) => this.take(message.data as string));
    source.onerror = () => {
      source.close();
      this.failures++;
      if (this.failures > 1) this.set("lost");
      const wait = Math.min(1000 * 2 ** this.failures, longestWaitMs) * (0.5 + Math.random() / 2);
      this.timer = setTimeout(() => this.connect(), this.failures === 1 ? 300 : wait);
      if (this.failures === 2) void this.queries.invalidateQueries({ queryKey: ["me"] });
    };
  }

  private take(message: string): void {
    let change: Change;
    try {
      change = JSON.parse(message) as Change;
    } catch {
      return;
    }
    for (const key of touched(change)) this.waiting.set(JSON.stringify(key), key);
    this.flushing ??= setTimeout(() => {
      this.flushing = undefined;
      const keys = [...this.waiting.values()];
      this.waiting.clear();
      for (const queryKey of keys) void this.queries.invalidateQueries({ queryKey });
    }, gatherMs);
  }

  private set(next: LineState): void {
    if (next === this.current) return;
    this.current = next;
    for (const tell of this.listeners) tell();
  }
}
