import { ExternalLink } from "lucide-react";

import type { Site } from "../../api/types";
import { age, bytes, daysLeft, duration, offset } from "../../lib/format";
import { useNow } from "../../lib/hooks";
import { dayDate, fullMoment, moment, SECOND } from "../../lib/time";
import { text } from "../../text";
import { Badge } from "../../ui/badge";
import { type Fact, Facts, Panel } from "../../ui/page";

/** How the agent, its line, its disk and its clock are, as last reported. */
export function HealthPanel({ site }: { site: Site }) {
  const now = useNow(1000);
  const { agent, disk, last_outage: outage } = site;
  if (!agent) return null;
  const left = daysLeft(disk?.days);
  const clockBad = Math.abs(agent.clock_offset_us) > SECOND;
  const facts: (Fact | false)[] = [
    { label: text.line.contact, value: agent.last_seen_us ? age(now - agent.last_seen_us) : text.line.noContact },
    agent.connected && agent.rtt_ms > 0 && { label: text.site.line, value: text.site.lineValue(Math.round(agent.rtt_ms)) },
    disk !== undefined && {
      label: text.site.disk,
      value: (
        <>
          {text.site.diskFree(bytes(disk.free), bytes(disk.total))}
          <span className="meter" aria-hidden>
            <i style={{ width: `${share(disk.video, disk.total)}%` }} />
            <i style={{ width: `${share(disk.total - disk.free - disk.video, disk.total)}%` }} />
          </span>
        </>
      ),
      note: [text.site.diskVideo(bytes(disk.video)), disk.held ? text.site.diskHeld(bytes(disk.held)) : "", left ? text.site.diskLeft(left) : text.site.diskUnknown].filter(Boolean).join(", "),
    },
    agent.connected && {
      label: text.site.clockOffset, tone: clockBad ? "warn" : undefined,
      value: clockBad ? offset(agent.clock_offset_us) : text.site.clockFine,
      note: clockBad ? text.site.clockBad : offset(agent.clock_offset_us),
    } as Fact,
    { label: text.site.host, value: agent.host, note: agent.os },
    { label: text.site.version, value: agent.version, note: agent.connected && agent.up_us > 0 ? `${text.site.up_us} ${duration(agent.up_us)}` : undefined },
    agent.enrolled_us > 0 && { label: text.site.enrolled, value: dayDate(agent.enrolled_us, site.timezone) },
    !!agent.local && {
      label: text.site.local, note: text.site.localHint,
      value: <a className="link nowrap" href={localUrl(agent.local)} target="_blank" rel="noreferrer">{agent.local} <ExternalLink className="inline-icon" size={12} aria-hidden /></a>,
    },
    outage !== undefined && {
      label: text.site.outage,
      value: <span title={fullMoment(outage.start_us, site.timezone)}>{moment(outage.start_us, site.timezone)}, {duration(outage.end_us - outage.start_us)}</span>,
      note: outage.text || text.outageAgent[outage.agent],
    },
  ];
  return (
    <Panel title={text.site.health} data-testid="health-panel" aside={<Badge tone={agent.connected ? "ok" : "bad"}>{agent.connected ? text.site.agentConnected : text.site.agentGone}</Badge>}>
      <Facts facts={facts} />
    </Panel>
  );
}

const share = (part: number, whole: number): number => (whole > 0 ? Math.max(0, Math.min(100, (part / whole) * 100)) : 0);

const localUrl = (local: string): string => (/^https?:\/\//.test(local) ? local : `http://${local}`);
