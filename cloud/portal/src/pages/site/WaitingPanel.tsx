import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { useCan } from "../../api/can";
import { client } from "../../api/client";
import type { Site } from "../../api/types";
import { ageSpan, bitrate, bytes } from "../../lib/format";
import { useNow } from "../../lib/hooks";
import { clock, dayWord, moment } from "../../lib/time";
import { clipsLeft, factsLeft, type Loss, offered, type Queue } from "../../lib/waiting";
import { text } from "../../text";
import { Button } from "../../ui/button";
import { FormDialog } from "../../ui/dialog";
import { type Fact, Facts, Panel } from "../../ui/page";
import { say } from "../../ui/toast";

const kbps = (rate: number): number => (rate * 8) / 1000;

/** What waits at the site for its line: how much, how old, how fast it goes, and when it will be done. */
export function WaitingPanel({ site }: { site: Site }) {
  const now = useNow(1000);
  const { agent, queue } = site;
  if (!agent || !queue) return null;
  const allHere = agent.connected ? text.waiting.allHere : text.waiting.allWereHere;
  const facts: (Fact | false)[] = [
    { label: text.waiting.reports, value: queue.facts === 0 ? allHere : text.line.queueFacts(queue.facts), note: reports(queue, agent.connected, now) },
    { label: text.waiting.clips, value: queue.clips === 0 ? allHere : clips(queue), note: queue.clips > 0 && clipsNote(queue, agent.connected, site.timezone) },
    queue.stills > 0 && { label: text.waiting.stills, value: text.waiting.stillsWait(queue.stills) },
    { label: text.waiting.line, value: speed(queue, agent.connected), note: agent.connected && lineNote(queue) },
  ];
  return (
    <Panel title={text.waiting.title} data-testid="waiting-panel">
      <Facts facts={facts} />
      {queue.losses.length > 0 && <Losses losses={queue.losses} site={site} now={now} />}
    </Panel>
  );
}

/** What the line will not carry in time, and what would help. */
function Losses({ losses, site, now }: { losses: readonly Loss[]; site: Site; now: number }) {
  const can = useCan();
  const [asking, setAsking] = useState<Loss>();
  return (
    <section className="losses" data-testid="losses">
      <h3>{text.waiting.losses}</h3>
      <ul>
        {losses.map((loss) => (
          <li key={`${loss.camera}${loss.start_us}`} className="loss">
            <p className="strong">{text.waiting.loss(loss.camera_name, moment(loss.start_us, site.timezone), endOf(loss, site.timezone))}</p>
            <p className="soft small num">{text.waiting.lossDue(moment(loss.due_us, site.timezone), ageSpan(loss.due_us - now))} {text.waiting.lossMore(bitrate(kbps(loss.more)))}</p>
            {loss.step_down && <p className="soft small">{text.waiting.lossStepsDown}</p>}
            {offered(loss) && (
              <div className="loss-offer">
                <p className="soft small num">{text.waiting.lossSizes(bytes(loss.sub_bytes ?? 0), bytes(loss.bytes))}</p>
                {can("cameras.edit") && <Button small aria-label={text.waiting.stepDownOf(loss.camera_name)} onPress={() => setAsking(loss)} data-testid="step-down">{text.waiting.stepDown}</Button>}
              </div>
            )}
          </li>
        ))}
      </ul>
      {asking && <StepDown loss={asking} site={site.id} onClose={() => setAsking(undefined)} />}
    </section>
  );
}

/** The end of a range, with its day where that is another one. */
const endOf = (loss: Loss, zone: string): string =>
  dayWord(loss.start_us, zone) === dayWord(loss.end_us, zone) ? clock(loss.end_us, zone) : moment(loss.end_us, zone);

function StepDown({ loss, site, onClose }: { loss: Loss; site: string; onClose: () => void }) {
  const queries = useQueryClient();
  return (
    <FormDialog title={text.waiting.stepDownTitle(loss.camera_name)} open onClose={onClose} submit={text.waiting.stepDown} data-testid="step-down-dialog" onSubmit={async () => {
      await client.PATCH("/cameras/{camera}", { params: { path: { camera: loss.camera } }, body: { step_down: true } });
      await Promise.all([queries.invalidateQueries({ queryKey: ["camera", loss.camera] }), queries.invalidateQueries({ queryKey: ["cameras", site] }), queries.invalidateQueries({ queryKey: ["site", site] })]);
      say(text.waiting.stepDownDone);
    }}>
      <p className="strong num">{text.waiting.lossSizes(bytes(loss.sub_bytes ?? 0), bytes(loss.bytes))}</p>
      <p>{text.waiting.stepDownText}</p>
    </FormDialog>
  );
}

function reports(queue: Queue, connected: boolean, now: number): string | undefined {
  if (queue.facts === 0) return connected ? undefined : text.waiting.sinceThen;
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
