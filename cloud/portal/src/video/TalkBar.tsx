import { useQuery } from "@tanstack/react-query";
import { Mic, MicOff } from "lucide-react";
import { type KeyboardEvent as ReactKeyboardEvent, type PointerEvent, type RefObject, useEffect, useRef, useState, useSyncExternalStore } from "react";

import { words } from "../api/errors";
import { talk as talkQuery } from "../api/queries";
import { usePageKeys } from "../lib/hooks";
import { clockSeconds } from "../lib/time";
import { text } from "../text";
import { Talk, type TalkSnapshot } from "./talk";

const quiet: TalkSnapshot = { phase: "idle", words: "" };
const nothing = () => () => undefined;

interface TalkBarProps {
  camera: string;
  zone: string;
  /** The picture beside it, whose sound is kept down while somebody speaks here; absent where it has none. */
  video?: RefObject<HTMLVideoElement | null>;
}

/** The button that is held to speak through a camera's loudspeaker, how loud that is, and who speaks. */
export function TalkBar({ camera, zone, video }: TalkBarProps) {
  const talk = useTalk(camera, video);
  const own = useSyncExternalStore(talk?.subscribe ?? nothing, () => talk?.snapshot() ?? quiet);
  const state = useQuery(talkQuery(camera));
  const active = own.phase === "connecting" || own.phase === "speaking";
  // What was heard last of oneself is old by the time one has let go.
  const other = active || state.data?.mine ? undefined : state.data?.by;
  const barred = !active && (!state.data?.possible || other !== undefined);
  const said = own.words || (own.phase === "speaking" ? (video ? text.talk.speaking : text.talk.speakingAlone) : own.phase === "connecting" ? text.talk.connecting
    : other ? text.talk.other(other, clockSeconds(state.data?.since_us ?? 0, zone))
    : state.data ? state.data.text || text.talk.hint : state.error ? words(state.error) : text.talk.looking);
  useHold(talk, barred);

  const press = (event: PointerEvent<HTMLButtonElement>) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId); // a finger that slips off the button goes on speaking
    talk?.press();
  };
  const key = (event: ReactKeyboardEvent) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (event.type === "keyup") talk?.release();
    else if (!event.repeat) talk?.press();
  };
  return (
    <div className="talk" data-phase={own.phase} data-testid="talk">
      <button type="button" className="talk-button" aria-pressed={active} disabled={barred} data-testid="talk-button" onPointerDown={press} onPointerUp={talk?.release}
        onPointerCancel={talk?.release} onLostPointerCapture={talk?.release} onKeyDown={key} onKeyUp={key} onBlur={talk?.release} onContextMenu={(event) => event.preventDefault()}>
        {barred ? <MicOff size={18} aria-hidden /> : <Mic size={18} aria-hidden />}
        <span>{active ? text.talk.holding : text.talk.hold}</span>
        <kbd className="key">T</kbd>
      </button>
      <Level talk={talk} on={active} />
      <p className="talk-words" role="status" data-testid="talk-words">{said}</p>
    </div>
  );
}

/** A camera's loudspeaker, as long as the bar stays. */
function useTalk(camera: string, video: RefObject<HTMLVideoElement | null> | undefined): Talk | undefined {
  const [talk, setTalk] = useState<Talk>();
  useEffect(() => {
    let quieted: MediaStreamTrack[] = [];
    const made = new Talk(camera, (low) => {
      const element = video?.current;
      if (element) element.volume = low ? 0 : 1;
      // Where a page may not set the volume the sound itself is switched off.
      for (const track of quieted) track.enabled = true;
      quieted = low && element?.srcObject instanceof MediaStream ? element.srcObject.getAudioTracks() : [];
      for (const track of quieted) track.enabled = false;
    });
    setTalk(made);
    return () => {
      setTalk(undefined);
      made.close();
    };
  }, [camera, video]);
  return talk;
}

/** The key T speaks while it is held, and nobody speaks on in a window that is left. */
function useHold(talk: Talk | undefined, barred: boolean): void {
  usePageKeys({ t: () => { if (!barred) talk?.press(); } });
  useEffect(() => {
    if (!talk) return;
    const up = (event: KeyboardEvent) => { if (event.key.toLowerCase() === "t") talk.release(); };
    const hidden = () => { if (document.visibilityState === "hidden") talk.release(); };
    addEventListener("keyup", up);
    addEventListener("blur", talk.release);
    document.addEventListener("visibilitychange", hidden);
    return () => {
      removeEventListener("keyup", up);
      removeEventListener("blur", talk.release);
      document.removeEventListener("visibilitychange", hidden);
    };
  }, [talk]);
}

/** How loud the microphone is. It moves by itself, without React. */
function Level({ talk, on }: { talk: Talk | undefined; on: boolean }) {
  const bar = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    if (!talk || !on) return;
    const element = bar.current;
    let frame = requestAnimationFrame(function draw() {
      element?.style.setProperty("--level", talk.level().toFixed(3));
      frame = requestAnimationFrame(draw);
    });
    return () => {
      cancelAnimationFrame(frame);
      element?.style.setProperty("--level", "0");
    };
  }, [talk, on]);
  return <span className="talk-level" ref={bar} aria-hidden data-testid="talk-level" />;
}
