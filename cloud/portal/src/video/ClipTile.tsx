import { CircleAlert, Cloud, type LucideIcon } from "lucide-react";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";

import { clockSeconds } from "../lib/time";
import { isH265 } from "../lib/format";
import { text } from "../text";
import { ClipVoice } from "./clipVoice";
import type { Copy } from "./copies";
import type { Pictured } from "./stage";
import { StepMark } from "./StepMark";
import { type Together, usePart, useTold } from "./togetherTile";

interface ClipTileProps {
  camera: { id: string; name: string };
  /** What the cloud keeps of it; undefined while that is being asked. */
  copies: readonly Copy[] | undefined;
  /** Why the cloud can't be asked, in words. */
  failed?: string | undefined;
  /** Why the site itself is not asked, in words. */
  withheld: { icon: LucideIcon; words: string };
  together: Together & { zone: string };
  /** Told of the video while there is one; what it returns, of its end. */
  onPicture?: ((picture: Pictured) => () => void) | undefined;
}

const silent = () => () => undefined;
const none: readonly Copy[] = [];

/** What the cloud's clips show of a camera whose site can't be asked, in step with the others; and where there is no clip of
 *  the moment, that in words. */
export function ClipTile({ camera, copies, failed, withheld, together, onPicture }: ClipTileProps) {
  const video = useRef<HTMLVideoElement>(null);
  const [voice, setVoice] = useState<ClipVoice>();
  const told = useTold(together);
  useEffect(() => {
    if (!video.current) return;
    const made = new ClipVoice(video.current, told);
    setVoice(made);
    return () => {
      setVoice(undefined);
      made.close();
    };
  }, [told]);
  useEffect(() => voice?.have(copies ?? none), [voice, copies]);
  useEffect(() => (voice && video.current ? onPicture?.({ video: video.current, moment: () => voice.moment() }) : undefined), [voice, onPicture]);
  const place = usePart(voice, together);
  const state = useSyncExternalStore(voice?.subscribe ?? silent, () => voice?.state() ?? "loading");

  const gap = place?.where === "gap";
  const shows = state === "shows" && !gap;
  const Icon = state === "broken" ? CircleAlert : withheld.icon;
  const next = place?.nextUs;
  const words = state === "broken"
    ? [isH265(voice?.shows()?.clip.codec?.split(",")[0]) ? text.clips.h265 : text.clips.cannotPlay]
    : failed !== undefined ? [withheld.words, failed]
    : gap || (state === "none" && copies) ? [withheld.words, gap && next !== undefined ? text.together.copyGoesOn(clockSeconds(next, together.zone)) : text.together.noCopy] : [];
  return (
    <div className="live-tile" data-testid="live-tile" data-camera={camera.id} data-phase={state} data-source="cloud" data-where={place?.where} data-drift={place?.driftUs === undefined ? undefined : Math.round(place.driftUs)}>
      <video ref={video} className="live-tile-video" muted playsInline preload="auto" data-frames="0" data-shown={shows || undefined} aria-label={text.live.player(camera.name)} />
      {words.length > 0 && <div className="live-tile-words" data-gap><Icon size={20} strokeWidth={1.6} aria-hidden />{words.map((line) => <p key={line}>{line}</p>)}</div>}
      {words.length === 0 && state !== "shows" && <div className="live-tile-words" role="status"><span className="still-wait" /><p>{text.together.fetchingCopy}</p></div>}
      {shows && <span className="copy-mark" title={text.together.copyHint} data-testid="copy-mark"><Cloud size={13} aria-hidden />{text.together.copy}</span>}
      {place && words.length === 0 && <StepMark place={place} />}
    </div>
  );
}
