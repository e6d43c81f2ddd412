import type { Site } from "../../api/types";
import { ageSpan, bitrate, bytes } from "../../lib/format";
import { useNow } from "../../lib/hooks";
import { moment } from "../../lib/time";
import { clipsLeft, factsLeft, type Queue } from "../../lib/waiting";
import { text } from "../../text";
import { type Fact, Facts, Panel } from "../../ui/page";

const kbps = (rate: number): number => (rate * 8) / 1000;

/** What waits at the site for its line: how much, how old, how fast it goes, and when it will be done. */
export function WaitingPanel({ site }: { site: Site }) {
  const now = useNow(1000);
  const { agent, queue } = site;
  if (!agent || !queue) return null;
  const facts: (Fact | false)[] = [
    { label: text.waiting.reports, value: queue.facts === 0 ? text.waiting.allHere : text.line.queueFacts(queue.facts), note: reports(queue, agent.connected, now) },
    { label: text.waiting.clips, value: queue.clips === 0 ? text.waiting.allHere : clips(queue), note: queue.clips > 0 && clipsNote(queue, agent.connected, site.timezone) },
    queue.stills > 0 && { label: text.waiting.stills, value: text.waiting.stillsWait(queue.stills) },
    { label: text.waiting.line, value: speed(queue, agent.connected), note: agent.connected && lineNote(queue) },
  ];
  return (
    <Panel title={text.waiting.title} data-testid="waiting-panel">
      <Facts facts={facts} />
    </Panel>
  );
}

function reports(queue: Queue, connected: boolean, now: number): string | undefined {
  if (queue.facts === 0) return undefined;
  const oldest = queue.oldest_us ? text.waiting.oldest(ageSpan(now - queue.oldest_us)) : "";
  return sentence(oldest, connected && queue.facts_minute > 0 && text.waiting.perMinute(queue.facts_minute), when(connected, factsLeft(queue)));
}

function clips(queue: Queue): string {
  const size = queue.clip_bytes > 0 ? ` (${bytes(queue.clip_bytes)})` : "";
  return text.line.queueClips(queue.clips) + size;
}

function clipsNote(queue: Queue, connected: boolean, timezone: string): string {
  const oldest = queue.oldest_clip_us ? text.waiting.oldestClip(moment(queue.oldest_clip_us, timezone)) : "";
  return sentence(oldest, connected && queue.clip_rate > 0 && text.waiting.speed(bitrate(kbps(queue.clip_rate))), when(connected, clipsLeft(queue)));
}

function speed(queue: Queue, connected: boolean): string {
  if (!connected) return text.waiting.noLine;
  return queue.up_rate > 0 ? text.waiting.up(bitrate(kbps(queue.up_rate))) : text.waiting.idle;
}

function lineNote(queue: Queue): string {
  const carries = queue.line_rate > 0 ? text.waiting.carries(bitrate(kbps(queue.line_rate))) : text.waiting.carriesUnknown;
  return sentence(carries, queue.cap > 0 && text.waiting.cap(bitrate(kbps(queue.cap))));
}

const when = (connected: boolean, left: number | undefined): string =>
  !connected ? text.waiting.whenBack : left === undefined ? text.waiting.whenUnknown : text.waiting.done(ageSpan(left));

const sentence = (...parts: (string | false)[]): string => parts.filter(Boolean).join(", ");
