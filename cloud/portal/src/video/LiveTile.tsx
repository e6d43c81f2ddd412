import { CircleAlert, type LucideIcon } from "lucide-react";
import { type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";

import { text } from "../text";
import type { VideoSession } from "./session";
import type { Phase } from "./snapshot";
import type { Pictured } from "./stage";
import { gapWords, StepMark } from "./StepMark";
import { Still } from "./Still";
import { TileTruth } from "./TileTruth";
import { type Together, useBegin, useTogether } from "./togetherTile";
import { useVideo } from "./useVideo";

/** The widest picture, in device pixels, for which a site chooses the small stream by itself (agent/live). */
const smallStreamWidth = 800;
/** How long after giving up a tile tries again by itself: nobody may be there to ask it to. */
const againMs = 30_000;
/** How long a tab may be out of sight before its tiles let go of their video. */
const hiddenMs = 15_000;

/** Whether an element is on the screen, of a tab that is looked at. */
export function useOnScreen(element: RefObject<HTMLElement | null>): boolean {
  const [seen, setSeen] = useState(false);
  const [shown, setShown] = useState(true);
  useEffect(() => {
    if (!element.current) return;
    const watcher = new IntersectionObserver(([entry]) => setSeen(entry?.isIntersecting ?? false));
    watcher.observe(element.current);
    return () => watcher.disconnect();
  }, [element]);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const turned = () => {
      clearTimeout(timer);
      if (document.visibilityState === "visible") setShown(true);
      else timer = setTimeout(() => setShown(false), hiddenMs);
    };
    document.addEventListener("visibilitychange", turned);
    return () => {
      document.removeEventListener("visibilitychange", turned);
      clearTimeout(timer);
    };
  }, []);
  return seen && shown;
}

/** Whether an element is so wide that a site would choose the full picture for it; as it was while `held`. */
function useWide(element: RefObject<HTMLElement | null>, held: boolean): boolean {
  const [wide, setWide] = useState(false);
  const holding = useRef(held);
  useLayoutEffect(() => {
    holding.current = held;
  }, [held]);
  useEffect(() => {
    if (!element.current) return;
    const watcher = new ResizeObserver(([entry]) => {
      if (!holding.current) setWide((entry?.contentRect.width ?? 0) * devicePixelRatio > smallStreamWidth);
    });
    watcher.observe(element.current);
    return () => watcher.disconnect();
  }, [element]);
  return wide;
}

export interface LiveTileProps {
  camera: { id: string; name: string; site: string };
  /** The camera's status: what failed begins again when it changes. */
  health?: string | undefined;
  /** Why nothing is asked of the site, in words. */
  withheld?: { icon: LucideIcon; words: string } | undefined;
  /** Lets go of the video though it is on the screen, because something covers it. */
  asleep?: boolean;
  /** Shows the full picture over the small one, once it is there. */
  large?: boolean;
  /** Says all the time what was measured, and not only to whoever looks at it. */
  details?: boolean;
  /** Plays the recording in step with others; moments are told in this time zone. */
  together?: (Together & { zone: string }) | undefined;
  /** Told when the video begins, stops or fails. */
  onPhase?: (phase: Phase) => void;
  /** Told of each video of it while there is one, the one on top last; what it returns, of its end. */
  onPicture?: ((picture: Pictured) => () => void) | undefined;
}

/** The moving picture of a tile, without sound, as long as it is on the screen; before and instead of it the reason in
 *  words. It fills its parent. */
export function LiveTile({ camera, health, withheld, asleep, large, details, together, onPhase, onPicture }: LiveTileProps) {
  const frame = useRef<HTMLDivElement>(null);
  const seen = useOnScreen(frame);
  const wide = useWide(frame, (large ?? false) && !together);
  const wanted = seen && !withheld && !asleep;
  const fromUs = useBegin(together, wanted);
  const { video, session, snapshot } = useVideo(wanted ? { site: camera.site, camera: camera.id, silent: true, fromUs } : undefined, health);
  usePictured(video, session, onPicture);
  // A tile whose window has become much larger or smaller asks for the stream that fits.
  const asked = useRef(wide);
  useEffect(() => {
    if (asked.current === wide) return;
    asked.current = wide;
    if (session && session.snapshot().phase !== "connecting") session.start();
  }, [wide, session]);

  const [full, setFull] = useState<VideoSession>();
  const place = useTogether(session, together, wide);
  const { phase, reason } = snapshot;
  const running = phase === "playing" || phase === "stalled" || (place !== undefined && phase === "waiting" && snapshot.firstFrameMs !== undefined);

  const conducted = together !== undefined;
  useEffect(() => {
    if (phase !== "failed" || !session || conducted) return; // who conducts tries again
    const timer = setTimeout(() => session.start(), againMs);
    return () => clearTimeout(timer);
  }, [phase, session, conducted]);

  useEffect(() => onPhase?.(phase), [onPhase, phase]);

  const Icon = withheld?.icon ?? CircleAlert;
  const gap = together && place?.where === "gap" ? gapWords(place, snapshot.gap, together.zone) : "";
  const words = withheld?.words ?? (gap || (phase === "failed" || phase === "stalled" ? reason : ""));
  const waits = !withheld && !gap && !running && (phase === "connecting" || phase === "waiting" || phase === "reconnecting");
  return (
    <>
      <div className="live-tile" ref={frame} data-testid="live-tile" data-camera={camera.id} data-phase={withheld ? "withheld" : phase} data-where={place?.where} data-drift={place?.driftUs === undefined ? undefined : Math.round(place.driftUs)}>
        {!running && !withheld && !together && <Still plain camera={camera.id} name={camera.name} />}
        <video ref={video} className="live-tile-video" muted playsInline autoPlay data-frames="0" data-shown={running || undefined} aria-label={text.live.player(camera.name)} />
        {large && wanted && !wide && !together && <FullPicture camera={camera} health={health} onShown={setFull} onPicture={onPicture} />}
        {words && <div className="live-tile-words" data-over={running || undefined} data-gap={gap !== "" || undefined}><Icon size={20} strokeWidth={1.6} aria-hidden /><p>{words}</p></div>}
        {waits && <div className="live-tile-words" role="status"><span className="still-wait" /><p>{reason || (together ? text.together.fetching : text.live.connecting)}</p></div>}
        {place && !withheld && !words && <StepMark place={place} />}
      </div>
      {running && !withheld && <TileTruth session={full ?? session} all={details ?? false} />}
    </>
  );
}

/** The full picture of a camera, invisible until it moves: the small one stays under it until then. */
function FullPicture({ camera, health, onShown, onPicture }: Pick<LiveTileProps, "camera" | "health" | "onPicture"> & { onShown: (session: VideoSession | undefined) => void }) {
  const { video, session, snapshot } = useVideo({ site: camera.site, camera: camera.id, silent: true }, health);
  usePictured(video, session, onPicture);
  const shown = snapshot.phase === "playing";
  useEffect(() => {
    onShown(shown ? session : undefined);
    return () => onShown(undefined);
  }, [shown, session, onShown]);
  return <video ref={video} className="live-tile-video" data-testid="full-picture" data-full muted playsInline autoPlay data-frames="0" data-shown={shown || undefined} aria-label={text.live.player(camera.name)} />;
}

/** Tells of a video as long as somebody plays on it. */
function usePictured(video: RefObject<HTMLVideoElement | null>, session: VideoSession | undefined, tell: LiveTileProps["onPicture"]): void {
  useEffect(() => (session && video.current ? tell?.({ video: video.current, moment: () => session.moment() }) : undefined), [video, session, tell]);
}
