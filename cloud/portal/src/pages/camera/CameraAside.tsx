import { Diamond } from "lucide-react";
import { useState } from "react";

import type { Camera, Event, Retention, Stream, StreamKind } from "../../api/types";
import { age, bitrate, bytes, codecName, daysLeft, duration } from "../../lib/format";
import { eventName } from "../../lib/events";
import { useNow } from "../../lib/hooks";
import { clockSeconds, dayWord, moment, SECOND } from "../../lib/time";
import { text } from "../../text";
import { reasonWords } from "../../text/health";
import { Segments } from "../../ui/choice";
import { type Fact, Facts } from "../../ui/page";

interface AsideProps {
  camera: Camera;
  zone: string;
  stream: StreamKind | undefined;
  onStream: (next: StreamKind | undefined) => void;
  events: readonly Event[];
  mayPlay: boolean;
  hasSub: boolean;
  onPlay: (us: number) => void;
}

/** Beside the stage: which stream, what the camera is, what happened in view. */
export function CameraAside({ camera, zone, stream, onStream, events, mayPlay, hasSub, onPlay }: AsideProps) {
  const [shown, setShown] = useState<"events" | "about">(mayPlay ? "events" : "about");
  return (
    <aside className="camera-aside">
      {mayPlay && (
        <div className="camera-aside-head">
          <Segments label={text.cameraPage.about} value={shown} onChange={setShown} options={[{ value: "events", label: text.cameraPage.recentEvents }, { value: "about", label: text.cameraPage.about }]} />
        </div>
      )}
      {shown === "events" ? <EventsInView events={events} zone={zone} onPlay={onPlay} /> : <About camera={camera} zone={zone} stream={stream} onStream={onStream} mayPlay={mayPlay} hasSub={hasSub} />}
    </aside>
  );
}

function EventsInView({ events, zone, onPlay }: { events: readonly Event[]; zone: string; onPlay: (us: number) => void }) {
  if (events.length === 0) return <p className="camera-quiet muted">{text.cameraPage.noEvents}</p>;
  return (
    <ul className="camera-events" data-testid="camera-events" tabIndex={0} aria-label={text.cameraPage.recentEvents}>
      {events.map((event) => (
        <li key={event.id}>
          <button type="button" className="camera-event" onClick={() => onPlay(event.at_us)} aria-label={text.events.watchAt(eventName(event.kind), clockSeconds(event.at_us, zone))}>
            <Diamond size={10} fill="currentColor" aria-hidden />
            <span className="camera-event-words">
              <span className="strong clip-text">{eventName(event.kind)}</span>
              {event.text && <span className="muted small clip-text">{event.text}</span>}
            </span>
            <span className="num small soft camera-event-when">{clockSeconds(event.at_us, zone)}<br /><span className="muted">{dayWord(event.at_us, zone)}</span></span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function About({ camera, zone, stream, onStream, mayPlay, hasSub }: Pick<AsideProps, "camera" | "zone" | "stream" | "onStream" | "mayPlay" | "hasSub">) {
  const now = useNow(1000);
  const behind = camera.durable_us ? now - camera.durable_us : 0;
  return (
    <div className="camera-about">
      {mayPlay && hasSub && (
        <div className="camera-pick">
          <span className="field-label">{text.cameraPage.streamPick}</span>
          <Segments label={text.cameraPage.streamPick} value={stream ?? "auto"} onChange={(next) => onStream(next === "auto" ? undefined : next)}
            options={[{ value: "auto", label: text.live.streamAuto }, { value: "main", label: text.live.streamMain }, { value: "sub", label: text.live.streamSub }]} />
        </div>
      )}
      <Facts facts={[
        !!camera.channel && { label: text.cameraPage.channel, value: camera.channel },
        camera.status !== "ok" && !!camera.reason && { label: text.cameraPage.state, value: reasonWords(camera.reason), note: camera.text, tone: camera.status === "failing" ? "bad" : undefined } as const,
        camera.status !== "ok" && !!camera.since_us && { label: text.cameraPage.since, value: `${moment(camera.since_us, zone)}, ${duration(now - camera.since_us)}` },
        !!camera.durable_us && { label: text.cameraPage.newest, value: behind < 60 * SECOND ? age(behind) : moment(camera.durable_us, zone) },
        !!camera.first_us && { label: text.cameraPage.oldest, value: `${moment(camera.first_us, zone)}`, note: duration(now - camera.first_us) },
        { label: text.cameraPage.kept, value: wished(camera) },
        ...retentionFacts(camera.retention, zone),
        camera.step_down && { label: text.cameraPage.clipsFrom, value: text.cameraPage.clipsStepDown },
        ...camera.streams.map((known) => ({ label: known.kind === "main" ? text.cameraPage.main : text.cameraPage.sub, ...streamWords(known) })),
      ]} />
    </div>
  );
}

/** What people wish: days, a share of the disk, both, or neither. */
function wished(camera: Camera): string {
  const parts = [camera.keep_days > 0 ? text.cameraPage.keptDays(camera.keep_days) : "", camera.share_pct > 0 ? text.cameraPage.keptShare(camera.share_pct) : ""];
  return parts.filter(Boolean).join(", ") || text.cameraPage.keptBySite;
}

/** What the site says of it: how far back video will reach, how much there is, and what goes soon. */
function retentionFacts(retention: Retention | undefined, zone: string): (Fact | false)[] {
  if (!retention) return [];
  const { due } = retention;
  const left = daysLeft(retention.days);
  return [
    { label: text.cameraPage.reaches, value: left ? text.cameraPage.reachesRate(left) : text.cameraPage.reachesUnknown },
    {
      label: text.cameraPage.size, value: bytes(retention.bytes),
      note: [retention.held ? text.cameraPage.sizeHeld(bytes(retention.held)) : "", retention.day_bytes > 0 ? text.cameraPage.sizeDay(bytes(retention.day_bytes)) : ""].filter(Boolean).join(", "),
    },
    due !== undefined && {
      label: text.cameraPage.due, tone: "warn", value: text.cameraPage.dueValue(duration(due.length_us), bytes(due.bytes)), note: text.cameraPage.dueFrom(moment(due.due_us, zone)),
    } as Fact,
  ];
}

function streamWords(stream: Stream): { value: string; note: string; tone?: "bad" } {
  const value = [stream.codec && codecName(stream.codec), stream.width && stream.height ? `${stream.width} × ${stream.height}` : "", stream.record ? text.cameraPage.recorded : text.cameraPage.onDemand].filter(Boolean).join(", ");
  const note = [
    stream.fps ? `${Math.round(stream.fps)} fps` : "", stream.kbps ? bitrate(stream.kbps) : "", stream.audio ? `${text.cameraPage.audio} ${codecName(stream.audio)}` : text.cameraPage.noAudio,
    stream.b_frames ? text.cameraPage.bFrames : "", stream.state === "failing" ? (stream.text ?? reasonWords(stream.reason)) : "",
  ].filter(Boolean).join(", ");
  return { value, note, ...(stream.state === "failing" ? { tone: "bad" as const } : {}) };
}
