import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import { warm } from "./link";
import { VideoSession } from "./session";
import type { Snapshot, Wish } from "./snapshot";

const idle: Snapshot = {
  phase: "closed", fromUs: undefined, paused: false, rate: 1, steps: false, missing: "", hint: "", reason: "", note: "", gap: "", stream: "", codec: "", hasAudio: false, firstFrameMs: undefined, stats: undefined, delayMs: undefined,
};
const nothing = () => () => undefined;

/** A video session for one <video>, as long as there is a wish: it follows the wish and ends with the component. A
 *  session that failed for good begins again when `health` changes, such as a camera's status. */
export function useVideo(wish: Wish | undefined, health?: string) {
  const video = useRef<HTMLVideoElement>(null);
  const [session, setSession] = useState<VideoSession>();
  const { site, camera, stream, fromUs, silent } = wish ?? {};
  const wanted = useMemo(() => (camera === undefined || site === undefined ? undefined : { site, camera, stream, fromUs, silent }), [site, camera, stream, fromUs, silent]);
  const base = wanted ? `${wanted.camera}/${wanted.stream ?? ""}` : undefined;

  useEffect(() => {
    if (base === undefined || !video.current) return;
    const made = new VideoSession(video.current, { site: "", camera: "" });
    setSession(made);
    return () => {
      setSession(undefined);
      made.close();
    };
  }, [base]);

  useEffect(() => {
    if (!session || !wanted) return;
    const now = session.snapshot();
    if (now.phase !== "closed" && wanted.fromUs !== undefined && now.fromUs !== undefined) session.seek(wanted.fromUs);
    else session.start(wanted);
  }, [session, wanted]);

  useEffect(() => {
    if (session?.snapshot().phase === "failed") session.start();
  }, [session, health]);

  const snapshot = useSyncExternalStore(session?.subscribe ?? nothing, () => session?.snapshot() ?? idle);
  return { video, session, snapshot };
}

/** Keeps a connection to a site at hand while a page shows something of it that may be watched, with places for so many
 *  cameras. */
export function useWarm(site: string | undefined, places = 1): void {
  useEffect(() => (site === undefined ? undefined : warm(site, places)), [site, places]);
}
