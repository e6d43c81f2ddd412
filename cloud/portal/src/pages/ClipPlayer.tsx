import { Clock, Download } from "lucide-react";
import { useState } from "react";

import { useCan } from "../api/can";
import { mediaUrl } from "../api/client";
import type { Clip } from "../api/types";
import { bytes, codecName, duration, isH265, percent } from "../lib/format";
import { eventName } from "../lib/events";
import { useNow } from "../lib/hooks";
import { clockSeconds, dayDate, dayWord, moment } from "../lib/time";
import { text } from "../text";
import { reasonWords } from "../text/health";
import { ClipBadge } from "../ui/badge";
import { FileButton, LinkButton } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { Notice } from "../ui/notice";
import { Facts } from "../ui/page";
import { clipTitle, expiry, waitWords } from "./Clips";

const capital = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);

/** One clip: played, or what became of it. */
export function ClipPlayer({ clip, site, zone, onClose }: { clip: Clip; site: string; zone: string; onClose: () => void }) {
  const can = useCan();
  const [broken, setBroken] = useState(false);
  const missing = clip.gaps.reduce((total, gap) => total + gap.end_us - gap.start_us, 0);
  const failed = clip.state === "unavailable" || clip.state === "lost";
  const now = useNow(10_000);
  const kept = expiry(clip, zone, now);
  const less = clip.cut_start_us !== undefined && clip.cut_end_us !== undefined && (clip.cut_start_us > clip.start_us + 1e6 || clip.cut_end_us < clip.end_us - 1e6);
  return (
    <Dialog title={clipTitle(clip)} open onClose={onClose} wide data-testid="clip-player">
      <div className="dialog-body clip-player">
        {clip.playable
          ? <video className="clip-video" src={mediaUrl(clip)} controls playsInline autoPlay muted data-testid="clip-video" onError={() => setBroken(true)} />
          : (
            <div className="clip-state">
              <ClipBadge state={clip.state} />
              <p>{clip.waits ? waitWords(clip, now) : clip.reason || text.clipSentence[clip.state]}</p>
              {clip.waits && clip.reason && <p className="small">{clip.reason}</p>}
              {clip.state === "uploading" && <progress max={1} value={clip.progress} aria-label={percent(clip.progress)} />}
              {failed && can("playback") && clip.nearest.length > 0 && (
                <div className="clip-nearest" data-testid="clip-nearest">
                  <span className="small muted">{text.clips.nearest}</span>
                  {clip.nearest.map((near) => (
                    <LinkButton key={near.side} small to="/cameras/$camera" params={{ camera: clip.camera }} search={{ at: near.side === "before" ? near.at_us - 1_000_000 : near.at_us }}>
                      {(near.side === "before" ? text.clips.nearestBefore : text.clips.nearestAfter)(duration(near.distance_us))}
                    </LinkButton>
                  ))}
                </div>
              )}
              {failed && clip.nearest.length === 0 && <p className="small">{text.clips.nearestNone}</p>}
            </div>
          )}
        {broken && <Notice tone="warn">{isH265(clip.codec?.split(",")[0]) ? text.clips.h265 : text.clips.cannotPlay}</Notice>}
        {clip.wanted_stream && !failed && <Notice tone="quiet">{text.clips.smallWhy}</Notice>}
        {less && <Notice tone="warn">{text.clips.less}</Notice>}
        <Facts facts={[
          { label: text.cameraPage.about, value: clip.camera_name, note: site },
          { label: text.keep.from, value: `${dayWord(clip.start_us, zone)} ${clockSeconds(clip.start_us, zone)}` },
          { label: text.keep.length, value: duration(clip.end_us - clip.start_us) },
          clip.gaps.length > 0 && {
            label: text.clips.gapsIn, value: text.clips.gaps(clip.gaps.length, duration(missing)), tone: "warn" as const,
            note: clip.gaps.slice(0, 5).map((gap) => `${clockSeconds(gap.start_us, zone)} – ${clockSeconds(gap.end_us, zone)} ${reasonWords(gap.reason)}`).join("; "),
          },
          clip.playable && { label: text.live.codec, value: [clip.codec ? clip.codec.split(",").map((codec) => codecName(codec.trim())).join(" + ") : "", bytes(clip.bytes ?? 0)].filter(Boolean).join(", ") },
          clip.events.length > 0 && {
            label: text.clips.events, value: text.clips.shows(clip.events.length),
            note: [
              ...clip.events.slice(0, 6).map((event) => `${clockSeconds(event.at_us, zone)} ${event.text || eventName(event.kind)}`),
              ...(clip.events.length > 6 ? [text.clips.eventsMore(clip.events.length - 6)] : []),
            ].join("; "),
          },
          { label: text.clips.kept, value: clip.site_deleted && clip.expires_us ? text.clips.siteGone(dayDate(clip.expires_us, zone)) : capital(kept.words), ...(kept.soon ? { tone: "warn" as const } : {}) },
          { label: text.clips.chosen, value: clip.by ? text.clips.byPerson(clip.by) : clip.rule ? text.nav.rules : "–", note: moment(clip.created_us, zone) },
        ]} />
      </div>
      <footer className="dialog-foot">
        {can("playback") && <LinkButton look="quiet" icon={<Clock size={16} aria-hidden />} to="/cameras/$camera" params={{ camera: clip.camera }} search={{ at: clip.start_us }}>{text.clips.onTimeline}</LinkButton>}
        {clip.playable && <FileButton look="primary" href={mediaUrl(clip, true)} download icon={<Download size={16} aria-hidden />}>{text.clips.download}</FileButton>}
      </footer>
    </Dialog>
  );
}
