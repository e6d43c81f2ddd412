import { useQuery } from "@tanstack/react-query";
import { Cloud as CloudIcon } from "lucide-react";

import { nearestCopies } from "../../api/queries";
import type { Site } from "../../api/types";
import { ageSpan, duration } from "../../lib/format";
import { useNow } from "../../lib/hooks";
import { clock, clockSeconds, dayWord, moment, nowUs } from "../../lib/time";
import { text } from "../../text";
import { Button } from "../../ui/button";
import type { Copy } from "../../video/copies";
import type { Staged } from "../../video/staged";
import { useSnapshot } from "../../video/useVideo";

interface CloudMarkProps {
  site: Site;
  zone: string;
  clip: Staged | undefined;
  /** Why the site could not show the moment; undefined: it was dark. */
  reason: string | undefined;
  onSite: () => void;
  onPlay: (us: number) => void;
  camera: string;
}

/** Says on the stage that this is the cloud's copy, why, and how to go back to the site's own recording once that can be had. */
export function CloudMark({ site, zone, clip, reason, camera, onSite, onPlay }: CloudMarkProps) {
  const now = useNow(5000);
  const { hint } = useSnapshot(clip);
  const dark = site.status === "dark";
  const sinceUs = site.verdict?.since_us ?? site.since_us ?? now;
  const why = dark ? text.cloud.dark(dayWord(sinceUs, zone) === dayWord(now, zone) ? clock(sinceUs, zone) : moment(sinceUs, zone), ageSpan(now - sinceUs)) : reason === undefined ? text.cloud.back : text.cloud.failed;
  return (
    <>
      <span className="player-mode player-cloud" title={reason ?? text.cloud.hint} data-testid="cloud-mark"><CloudIcon size={14} aria-hidden /><span>{text.together.copy} · <span className="num">{why}</span></span></span>
      {!dark && <Button small look="primary" onPress={onSite} data-testid="cloud-site">{reason === undefined ? text.cloud.site : text.cloud.again}</Button>}
      {hint === text.cloud.ended && clip && <Next camera={camera} atUs={clip.positionUs()} zone={zone} onPlay={onPlay} />}
    </>
  );
}

/** Where the cloud's next clip begins, of those that are further away. */
function Next({ camera, atUs, zone, onPlay }: { camera: string; atUs: number; zone: string; onPlay: (us: number) => void }) {
  const { data } = useQuery(nearestCopies(camera, Math.ceil(atUs / 1e6) * 1e6));
  return data?.after ? <Button small look="stage" onPress={() => onPlay(data.after?.startUs ?? atUs)} data-testid="cloud-next">{text.cloud.next(when(data.after, zone))}</Button> : null;
}

/** The cloud's clips that are nearest to a moment that it has none of, to be played in place. */
export function NearClips({ camera, atUs, zone, onPlay }: { camera: string; atUs: number; zone: string; onPlay: (us: number) => void }) {
  const { data, isPending } = useQuery(nearestCopies(camera, atUs));
  if (!data) return isPending ? <p role="status">{text.cloud.looking}</p> : null;
  const { before, after } = data;
  return (
    <>
      <p data-testid="cloud-none">{before || after ? text.together.noCopy : text.cloud.none}</p>
      {(before ?? after) && (
        <div className="player-choices" data-testid="cloud-near">
          {before && <Button small icon={<CloudIcon size={15} aria-hidden />} onPress={() => onPlay(before.startUs)} data-testid="cloud-before">{text.cloud.before(when(before, zone), duration(before.endUs - before.startUs))}</Button>}
          {after && <Button small icon={<CloudIcon size={15} aria-hidden />} onPress={() => onPlay(after.startUs)} data-testid="cloud-after">{text.cloud.after(when(after, zone), duration(after.endUs - after.startUs))}</Button>}
        </div>
      )}
    </>
  );
}

/** Its day as far as that is not today, and its time. */
const when = ({ startUs }: Copy, zone: string): string => (dayWord(startUs, zone) === dayWord(nowUs(), zone) ? clockSeconds(startUs, zone) : `${dayWord(startUs, zone)} ${clockSeconds(startUs, zone)}`);
