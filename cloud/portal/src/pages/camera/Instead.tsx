import { EyeOff, KeyRound, type LucideIcon, Unplug, VideoOff } from "lucide-react";
import type { ReactNode } from "react";

import type { Range, Site } from "../../api/types";
import { ageSpan, duration } from "../../lib/format";
import { clock, clockSeconds, nowUs, SECOND } from "../../lib/time";
import { text } from "../../text";
import { reasonWords } from "../../text/health";
import { nextVideo, previousVideo, wholeGap } from "../../timeline/coverage";
import { Button } from "../../ui/button";

interface InsteadProps {
  site: Site;
  allowed: boolean;
  asked: number | undefined;
  /** The gap in which the asked moment lies. */
  hole: Range | undefined;
  ranges: readonly Range[];
  zone: string;
  onPlay: (us: number) => void;
  onLive: () => void;
  /** Of a site that can't be reached: what the cloud has around the moment. */
  near?: ReactNode;
}

/** What stands on the stage when nothing can be played: why, and what can be done instead. Never another moment's
 *  video in its place. */
export function Instead({ site, allowed, asked, hole, ranges, zone, onPlay, onLive, near }: InsteadProps) {
  if (!allowed) return <Words icon={EyeOff} title={text.support.noVideoTitle}><p>{text.support.noVideo}</p></Words>;
  if (hole) return <Gap hole={hole} ranges={ranges} zone={zone} onPlay={onPlay} onLive={onLive} near={near} />;
  if (site.status === "never") return <Words icon={KeyRound} title={text.live.failTitle}><p>{text.live.siteNever}</p></Words>;
  return (
    <Words icon={Unplug} title={asked === undefined ? text.live.failTitle : text.live.failPlayback}>
      <p>{text.live.siteDark(ageSpan(nowUs() - (site.verdict?.since_us ?? site.since_us ?? nowUs())))}</p>
      {near}
    </Words>
  );
}

function Gap({ hole, ranges, zone, onPlay, onLive, near }: { hole: Range; ranges: readonly Range[]; zone: string; onPlay: (us: number) => void; onLive: () => void; near: ReactNode }) {
  const whole = wholeGap(ranges, hole);
  const next = nextVideo(ranges, whole.end_us);
  const before = previousVideo(ranges, whole.start_us);
  const lasts = whole.end_us >= nowUs() - 5 * SECOND;
  return (
    <Words icon={VideoOff} title={`${text.live.gapTitle}: ${reasonWords(hole.reason).toLowerCase()}`}>
      <p className="num">{lasts ? text.live.gapOpen(clock(whole.start_us, zone)) : text.live.gapSpan(clockSeconds(whole.start_us, zone), clockSeconds(whole.end_us, zone), duration(whole.end_us - whole.start_us))}</p>
      {hole.text && <p>{hole.text}</p>}
      {near || (
        <div className="player-choices">
          {before && <Button small onPress={() => onPlay(Math.max(before.start_us, whole.start_us - 10 * SECOND))}>{text.live.playPrevious(clockSeconds(Math.max(before.start_us, whole.start_us - 10 * SECOND), zone))}</Button>}
          {next !== undefined && !lasts && <Button small onPress={() => onPlay(next)}>{text.live.playNext(clockSeconds(next, zone))}</Button>}
          <Button small look="stage" onPress={onLive}>{text.live.goLive}</Button>
        </div>
      )}
    </Words>
  );
}

function Words({ icon: Icon, title, children }: { icon: LucideIcon; title: string; children: ReactNode }) {
  return (
    <>
      <Icon size={26} strokeWidth={1.6} aria-hidden />
      <h2 data-testid="instead">{title}</h2>
      {children}
    </>
  );
}
