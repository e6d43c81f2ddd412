import { useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import { warm } from "./link";
import { VideoSession } from "./session";
import { blank, type Snapshot, type Wish } from "./snapshot";

const idle: Snapshot = { ...blank, phase: "closed" };
const nothing = () => () => undefined;

/** A video session for one <video>, as long as the component and its camera stay: it follows the wish, and rests without
 *  one. A session that failed for good begins again when `health` changes, such as a camera's status. */
export function useSession(camera: string | undefined, wish: Wish | undefined, health?: string) {
  const video = useRef<HTMLVideoElement>(null);
  const [session, setSession] = useState<VideoSession>();
  const { site, stream, fromUs, silent } = wish ?? {};
  const shown = wish?.camera;
  const wanted = useMemo(() => (shown === undefined || site === undefined ? undefined : { site, camera: shown, stream, fromUs, silent }), [site, shown, stream, fromUs, silent]);
  const newest = useRef(wanted);
  useLayoutEffect(() => {
    newest.current = wanted;
  }, [wanted]);

  useEffect(() => {
    if (camera === undefined || !video.current) return;
    const made = new VideoSession(video.current);
    if (newest.current) made.follow(newest.current); // what is asked for at once is there sooner
    setSession(made);
    return () => {
      setSession(undefined);
      made.close();
    };
  }, [camera]);

  useEffect(() => {
    if (wanted) session?.follow(wanted);
    else session?.rest();
  }, [session, wanted]);

  useEffect(() => {
    if (session?.snapshot().phase === "failed") session.start();
  }, [session, health]);

  return { video, session };
}

/** What a session shows, as it changes. */
export function useSnapshot(session: Pick<VideoSession, "subscribe" | "snapshot"> | undefined): Snapshot {
  return useSyncExternalStore(session?.subscribe ?? nothing, () => session?.snapshot() ?? idle);
}

/** A session that lasts as long as there is a wish, and what it shows. */
export function useVideo(wish: Wish | undefined, health?: string) {
  const { video, session } = useSession(wish && `${wish.camera}/${wish.stream ?? ""}`, wish, health);
  return { video, session, snapshot: useSnapshot(session) };
}

/** Keeps a connection to a site at hand while a page shows something of it that may be watched, with places for so many
 *  cameras. */
export function useWarm(site: string | undefined, places = 1): void {
  useEffect(() => (site === undefined ? undefined : warm(site, places)), [site, places]);
}
