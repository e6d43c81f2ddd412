import { CircleAlert, LoaderCircle, RotateCw, VideoOff } from "lucide-react";
import { type ReactNode, type RefObject, useEffect, useRef, useState } from "react";

import { clockMillis, clockSeconds, dayWord } from "../lib/time";
import { useNow, useStable } from "../lib/hooks";
import { Ptz } from "../ptz/Ptz";
import { text } from "../text";
import { Button } from "../ui/button";
import { PlayerBar } from "./PlayerBar";
import { blank, type Snapshot } from "./snapshot";
import { recallSound, saveSnapshot } from "./stage";
import type { Staged } from "./staged";
import type { Origin } from "./stamp";
import { Still } from "./Still";
import { StatsTable } from "./StatsTable";
import { useSnapshot } from "./useVideo";
import { PictureAge } from "./TileTruth";
import { useZoom, ZoomMark } from "./ZoomMark";
import type { Habits } from "./zoomGestures";

interface PlayerProps {
  camera: { id: string; name: string };
  /** What a snapshot says of the camera's place, and the zone that moments are shown in. */
  origin: Origin;
  video: RefObject<HTMLVideoElement | null>;
  session: Staged | undefined;
  /** Set: nothing is played, and this says why, with what to do. A session that has begun ahead of the page takes its place with
   *  the first picture. */
  instead?: ReactNode;
  /** Has what the picture is steered by; it may come behind the first picture, since it is much. */
  controls: boolean;
  /** It may be asked whether it moves, and moved by who watches. */
  ptz?: boolean;
  /** Never shows a still, because the role or the site does not allow it. */
  bare?: boolean;
  onLive: () => void;
  /** Goes to the event after the moment on the stage, or to the one before; absent where events are not shown. */
  onEvent?: ((direction: 1 | -1) => void) | undefined;
  /** Shows the picture so many on or back; absent where recordings may not be seen. */
  onStep?: ((count: number) => void) | undefined;
  /** Stays on the stage until the picture that comes next is there. */
  held?: HTMLCanvasElement | undefined;
  /** Where the picture comes from, where that is not the site. */
  source?: ReactNode;
  /** What else there is, where a moment of the recording can't be shown. */
  beside?: ReactNode;
}

const habits: Habits = { alone: false, doubleIn: true };

/** The stage: the video, what it is, why it is not there, and its controls. */
export function Player({ camera, origin, video, session, instead, controls, ptz, bare, onLive, onEvent, onStep, held, source, beside }: PlayerProps) {
  const snapshot = useSnapshot(session);
  const [muted, setMuted] = useState(true);
  const [stats, showStats] = useState(false);
  const [full, setFull] = useState(false);
  const { phase, paused } = snapshot;
  const playing = phase === "playing" || phase === "stalled";
  const { zone } = origin;
  const covered = !!instead && (snapshot.firstFrameMs === undefined || snapshot.fromUs !== undefined); // what begins ahead is live
  const stage = useRef<HTMLDivElement>(null);
  const { zoom, close } = useZoom(stage, !instead, habits);

  useEffect(() => {
    const changed = () => setFull(document.fullscreenElement !== null);
    document.addEventListener("fullscreenchange", changed);
    return () => document.removeEventListener("fullscreenchange", changed);
  }, []);

  useEffect(() => {
    const element = video.current;
    if (!element) return;
    const changed = () => setMuted(element.muted);
    element.addEventListener("volumechange", changed);
    recallSound(element);
    return () => element.removeEventListener("volumechange", changed);
  }, [video]);
  const save = useStable(() => {
    if (video.current && session) void saveSnapshot(video.current, session.moment(), origin, zoom?.part());
  });

  const [steers, setSteers] = useState(false); // on the full screen and beside it alike
  const hands = controls && ptz && !instead && snapshot.fromUs === undefined && <Ptz camera={camera} stage={stage} zoom={zoom} open={steers} onOpen={setSteers} />;
  return (
    <div className="player-place" data-steered={(hands && steers) || undefined}>
      <div className="player" ref={stage} tabIndex={0} role="group" aria-label={text.live.stage(camera.name)} data-testid="player" data-phase={covered ? "instead" : phase} data-playing={(playing && !paused) || undefined}>
        {!bare && (phase === "connecting" || phase === "waiting") && snapshot.fromUs === undefined && !instead && <Still plain camera={camera.id} name={camera.name} />}
        <video ref={video} className="player-video" data-testid="live-video" data-frames="0" muted playsInline autoPlay
          aria-label={text.live.player(camera.name)} data-shown={(snapshot.firstFrameMs !== undefined && !covered) || undefined} />
        {held && !instead && <div className="player-held" data-testid="live-held" ref={(place) => place?.replaceChildren(held)} />}
        {covered ? <div className="player-message">{instead}</div> : !held && <Message snapshot={snapshot} session={session} beside={beside} onLive={onLive} />}
        {!instead && (
          <div className="player-marks">
            <Mode snapshot={snapshot} session={session} zone={zone} />
            {source}
            {snapshot.fromUs === undefined && <PictureAge session={session} />}
            {close && zoom && <ZoomMark zoom={zoom} />}
          </div>
        )}
        {!instead && snapshot.missing && <Missing words={snapshot.missing} />}
        {!instead && (held || snapshot.hint || (snapshot.note && phase !== "failed")) && <p className="player-note" data-testid="live-note">{held ? text.live.fetchingRecorded : snapshot.hint || snapshot.note}</p>}
        {stats && !instead && <StatsTable snapshot={snapshot} session={session} />}
        {controls && (
          <PlayerBar video={video} session={session} shows={instead ? blank : snapshot} muted={muted} stats={stats} full={full} hidden={!!instead}
            onSnapshot={save} onStats={showStats} onLive={onLive} onEvent={onEvent} onStep={onStep} />
        )}
        {full && hands}
      </div>
      {!full && hands}
    </div>
  );
}

/** Why the moment under the pointer has no picture: no other moment's is shown in its place. */
function Missing({ words }: { words: string }) {
  return (
    <div className="player-message player-missing" role="status" data-testid="live-missing">
      <VideoOff size={26} strokeWidth={1.6} aria-hidden />
      <p>{words}</p>
    </div>
  );
}

/** What is on the stage: live, or which moment. */
function Mode({ snapshot, session, zone }: { snapshot: Snapshot; session: Staged | undefined; zone: string }) {
  useNow(250);
  if (snapshot.fromUs === undefined) {
    const on = snapshot.phase === "playing" && !snapshot.paused;
    return <span className="player-mode" data-live={on || undefined} data-testid="live-mode">{snapshot.paused ? text.live.paused : text.live.live}</span>;
  }
  const at = session?.positionUs() ?? snapshot.fromUs;
  return (
    <span className="player-mode num" data-testid="live-mode">
      {snapshot.paused ? text.live.paused : text.live.playback} · {dayWord(at, zone)} {snapshot.paused ? clockMillis(at, zone) : clockSeconds(at, zone)}
    </span>
  );
}

/** Why there is no moving picture, while there is none. One that a person has stopped stays as it is. */
function Message({ snapshot, session, beside, onLive }: { snapshot: Snapshot; session: Staged | undefined; beside: ReactNode; onLive: () => void }) {
  const { phase, reason, paused } = snapshot;
  const stands = paused && snapshot.firstFrameMs !== undefined;
  if (phase === "playing" || phase === "closed" || (stands && phase !== "failed")) return null;
  if (phase === "failed" && stands) return <Lost snapshot={snapshot} session={session} />;
  if (phase === "failed") {
    return (
      <div className="player-message" role="alert" data-testid="live-failure">
        <CircleAlert size={26} strokeWidth={1.6} aria-hidden />
        <h2>{snapshot.fromUs === undefined ? text.live.failTitle : text.live.failPlayback}</h2>
        <p>{reason}</p>
        <div className="player-choices">
          <Button small icon={<RotateCw size={15} aria-hidden />} onPress={() => session?.again()}>{text.live.tryAgain}</Button>
          {snapshot.fromUs !== undefined && <Button small look="stage" onPress={onLive}>{text.live.backToLive}</Button>}
        </div>
        {beside}
      </div>
    );
  }
  // While it connects the site's own word is the better one.
  const words = paused ? (phase === "reconnecting" ? text.live.pausedTrying : text.live.pausedComing) : phase === "connecting" ? (reason ? "" : text.live.connecting) : phase === "waiting" ? text.live.waiting : phase === "reconnecting" ? text.live.reconnecting : "";
  return (
    <div className="player-wait" role="status">
      <LoaderCircle size={18} className="btn-spin" aria-hidden />
      <span>{words}{reason && (words ? `. ${reason}` : reason)}</span>
    </div>
  );
}

/** Under a picture that a person has stopped: it goes on no more by itself, and why. */
function Lost({ snapshot, session }: { snapshot: Snapshot; session: Staged | undefined }) {
  return (
    <div className="player-lost" role="alert" data-testid="live-failure">
      <CircleAlert size={18} strokeWidth={1.6} aria-hidden />
      <p><strong>{text.live.pausedLost}</strong> {snapshot.reason} {snapshot.fromUs !== undefined ? text.live.pausedLostPlayback : text.live.pausedLostLive}</p>
      <Button small icon={<RotateCw size={15} aria-hidden />} onPress={() => session?.again()}>{text.live.tryAgain}</Button>
    </div>
  );
}
