import { Camera as CameraIcon, Gauge, Maximize, Minimize, Pause, Play, Radio, Rewind, SkipBack, SkipForward, StepBack, StepForward, Volume2, VolumeX } from "lucide-react";
import { memo, type RefObject } from "react";

import { text } from "../text";
import { Button, IconButton } from "../ui/button";
import { nextRate, rateWord, turned } from "./control";
import type { Snapshot } from "./snapshot";
import { toggleFullScreen, toggleMute } from "./stage";
import type { Staged } from "./staged";

interface PlayerBarProps {
  video: RefObject<HTMLVideoElement | null>;
  session: Staged | undefined;
  shows: Snapshot;
  muted: boolean;
  stats: boolean;
  full: boolean;
  hidden: boolean;
  onSnapshot: () => void;
  onStats: (shown: boolean) => void;
  onLive: () => void;
  onEvent: ((direction: 1 | -1) => void) | undefined;
  onStep: ((count: number) => void) | undefined;
}

/** The stage's controls. They are there all the time, and rendered anew for what they show alone: they are many, and what
 *  moves does not wait for them. */
export function PlayerBar({ shows, ...rest }: PlayerBarProps) {
  const runs = shows.phase === "playing" || shows.phase === "stalled";
  return <Bar {...rest} recorded={shows.fromUs !== undefined} paused={shows.paused} runs={runs} hasAudio={shows.hasAudio} soundElsewhere={shows.soundElsewhere} rate={shows.rate} steps={shows.steps} />;
}

interface BarProps extends Omit<PlayerBarProps, "shows">, Pick<Snapshot, "paused" | "hasAudio" | "soundElsewhere" | "rate" | "steps"> {
  recorded: boolean;
  runs: boolean;
}

const Bar = memo(function Bar({ video, session, muted, stats, full, hidden, recorded, paused, runs, hasAudio, soundElsewhere, rate, steps, onSnapshot, onStats, onLive, onEvent, onStep }: BarProps) {
  const withVideo = (act: (element: HTMLVideoElement) => unknown) => () => { if (video.current) act(video.current); };
  return (
    <div className="player-bar" role="toolbar" aria-label={text.live.controls} hidden={hidden}>
      <IconButton look="stage" label={paused ? text.live.play : text.live.pause} keys="Space" isDisabled={!session} onPress={() => (paused ? session?.resume() : session?.pause())}>
        {paused ? <Play size={18} aria-hidden /> : <Pause size={18} aria-hidden />}
      </IconButton>
      {(recorded || onEvent || onStep) && <Transport session={session} recorded={recorded} paused={paused} rate={rate} steps={steps} onEvent={onEvent} onStep={onStep} />}
      <IconButton look="stage" label={!hasAudio ? (soundElsewhere ? text.live.withSound : text.live.noAudio) : muted ? text.live.unmute : text.live.mute} keys="M" isDisabled={!hasAudio && !soundElsewhere} onPress={hasAudio ? withVideo(toggleMute) : () => session?.aloud()} data-testid="mute">
        {muted || !hasAudio ? <VolumeX size={18} aria-hidden /> : <Volume2 size={18} aria-hidden />}
      </IconButton>
      <span className="player-space" />
      {recorded && (
        <Button small look="stage" isDisabled={!session} onPress={() => session?.pace(nextRate(rate, 1))} aria-label={text.live.speed(rateWord(rate))} data-testid="rate">{rateWord(rate)}</Button>
      )}
      {(recorded || paused) && (
        <span className="player-live-place">
          <Button small look="stage" icon={<Radio size={16} aria-hidden />} onPress={onLive} data-testid="back-to-live">{text.live.backToLive}</Button>
        </span>
      )}
      <IconButton look="stage" label={stats ? text.live.statsHide : text.live.statsShow} onPress={() => onStats(!stats)} data-testid="stats-toggle">
        <Gauge size={18} aria-hidden />
      </IconButton>
      <IconButton look="stage" label={text.live.snapshot} isDisabled={!runs || !session} onPress={onSnapshot} data-testid="snapshot">
        <CameraIcon size={18} aria-hidden />
      </IconButton>
      <IconButton look="stage" label={full ? text.live.leaveFullScreen : text.live.fullScreen} keys="F" onPress={withVideo(toggleFullScreen)} data-testid="full-screen">
        {full ? <Minimize size={18} aria-hidden /> : <Maximize size={18} aria-hidden />}
      </IconButton>
    </div>
  );
});

/** Ways through a recording that are no speed: picture by picture, backwards, from event to event. */
function Transport({ session, recorded, paused, rate, steps, onEvent, onStep }: Pick<BarProps, "session" | "recorded" | "paused" | "rate" | "steps" | "onEvent" | "onStep">) {
  const backwards = rate < 0;
  return (
    <span className="player-transport">
      {onStep && (recorded || paused) && (
        <>
          <IconButton look="stage" label={text.live.stepBack} keys="<" isDisabled={!session} onPress={() => onStep(-1)} data-testid="step-back"><StepBack size={18} aria-hidden /></IconButton>
          <IconButton look="stage" label={text.live.stepForward} keys=">" isDisabled={!session} onPress={() => onStep(1)} data-testid="step-forward"><StepForward size={18} aria-hidden /></IconButton>
        </>
      )}
      {recorded && steps && (
        <IconButton look={backwards ? "primary" : "stage"} label={backwards ? text.live.forwards : text.live.backwards} keys="R" isDisabled={!session} onPress={() => session?.turn(turned(rate))} data-testid="backwards"><Rewind size={18} aria-hidden /></IconButton>
      )}
      {onEvent && (
        <>
          <IconButton look="stage" label={text.live.eventBefore} keys="P" onPress={() => onEvent(-1)} data-testid="event-before"><SkipBack size={18} aria-hidden /></IconButton>
          <IconButton look="stage" label={text.live.eventAfter} keys="N" isDisabled={!recorded} onPress={() => onEvent(1)} data-testid="event-after"><SkipForward size={18} aria-hidden /></IconButton>
        </>
      )}
    </span>
  );
}
