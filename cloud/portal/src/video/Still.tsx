import { ImageOff, type LucideIcon, RotateCw } from "lucide-react";
import { useCallback, useEffect, useRef, useSyncExternalStore } from "react";

import { age } from "../lib/format";
import { useNow } from "../lib/hooks";
import { text } from "../text";
import { stills } from "./stills";

const refreshMs = 30_000;
/** How long a video has to be there before a still is fetched to stand behind it: decoding one would hold the video up. */
const videoFirstMs = 1200;

/** The last still of a camera, as it changes. */
export function useStill(camera: string) {
  const subscribe = useCallback((tell: () => void) => stills.subscribe(camera, tell), [camera]);
  return useSyncExternalStore(subscribe, () => stills.get(camera));
}

interface StillProps {
  camera: string;
  name: string;
  /** A reason not to ask at all, in words: the site is dark, the role sees no video. */
  withheld?: { icon: LucideIcon; words: string } | undefined;
  /** Why there can hardly be a picture: said instead of what the cloud answers. */
  because?: string | undefined;
  /** Keeps quiet about age and faults: it stands behind a video. */
  plain?: boolean;
}

/** A camera's still: fetched when it comes into view, renewed while it stays there, never black without a reason. */
export function Still({ camera, name, withheld, because, plain }: StillProps) {
  const still = useStill(camera);
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const asks = withheld === undefined;

  useEffect(() => {
    const element = frame.current;
    if (!element || !asks) return;
    let seen = false;
    let first: ReturnType<typeof setTimeout> | undefined;
    const ask = () => {
      if (seen && document.visibilityState === "visible") stills.want(camera, refreshMs);
    };
    const watcher = new IntersectionObserver(([entry]) => {
      seen = entry?.isIntersecting ?? false;
      clearTimeout(first);
      if (seen) first = setTimeout(ask, plain ? videoFirstMs : 0);
      else stills.unwant(camera);
    }, { rootMargin: "80px" });
    watcher.observe(element);
    const timer = setInterval(ask, refreshMs / 3);
    return () => {
      watcher.disconnect();
      clearTimeout(first);
      clearInterval(timer);
      stills.unwant(camera);
    };
  }, [camera, asks, plain]);

  useEffect(() => {
    const target = canvas.current;
    if (!target || !still.picture) return;
    target.width = still.picture.width;
    target.height = still.picture.height;
    target.getContext("2d")?.drawImage(still.picture, 0, 0);
  }, [still.picture]);

  const reason = withheld?.words ?? still.reason;
  const Icon = withheld?.icon ?? ImageOff;
  return (
    <div ref={frame} className="still" data-testid="still" data-plain={plain || undefined} data-state={still.picture ? "shown" : reason ? "failed" : "waiting"}>
      <canvas ref={canvas} role="img" aria-label={text.still.of(name)} hidden={!still.picture} data-dim={(!!withheld && !plain) || undefined} />
      {!still.picture && !plain && (
        <div className="still-words">
          {reason ? <Icon size={20} strokeWidth={1.6} aria-hidden /> : <span className="still-wait" />}
          <p>{reason ? (withheld?.words ?? because ?? reason) : text.still.waiting}</p>
        </div>
      )}
      {still.picture && !plain && <Age atUs={still.atUs} busy={still.busy} reason={reason} onRefresh={withheld ? undefined : () => stills.want(camera, 0)} />}
    </div>
  );
}

function Age({ atUs, busy, reason, onRefresh }: { atUs: number; busy: boolean; reason: string; onRefresh: (() => void) | undefined }) {
  const now = useNow(5000);
  const words = age(now - atUs);
  if (!onRefresh) return <span className="still-age">{words}</span>;
  return (
    <button type="button" className="still-age" title={reason || text.still.refresh} aria-label={`${text.still.refresh}. ${words}. ${reason}`}
      data-busy={busy || undefined} data-bad={!!reason || undefined}
      onClick={onRefresh}>
      <RotateCw size={11} aria-hidden />
      {words}
    </button>
  );
}
