import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import { type Snapshot, VideoSession, type Wish } from "./session";

const idle: Snapshot = {
  phase: "closed", fromUs: undefined, paused: false, reason: "", note: "", stream: "", codec: "", hasAudio: false, firstFrameMs: undefined, stats: undefined,
};
const nothing = () => () => undefined;

/** A video session for one <video>, as long as there is a wish: it follows the wish and ends with the component. A
 *  session that failed for good begins again when `health` changes, such as a camera's status. */
export function useVideo(wish: Wish | undefined, health?: string) {
  const video = useRef<HTMLVideoElement>(null);
  const [session, setSession] = useState<VideoSession>();
  const { camera, stream, fromUs } = wish ?? {};
  const wanted = useMemo(() => (camera === undefined ? undefined : { camera, stream, fromUs }), [camera, stream, fromUs]);
  const base = wanted ? `${wanted.camera}/${wanted.stream ?? ""}` : undefined;

  useEffect(() => {
    if (base === undefined || !video.current) return;
    const made = new VideoSession(video.current, { camera: "" });
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
