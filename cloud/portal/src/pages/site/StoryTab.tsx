import { useQuery } from "@tanstack/react-query";
import { Activity, BookOpenText, Link2, type LucideIcon, Power, Unplug } from "lucide-react";
import { useMemo, useState } from "react";

import { sentence } from "../../api/errors";
import { incidents as incidentsQuery, story as storyQuery } from "../../api/queries";
import type { Incident, Site, StoryEntry } from "../../api/types";
import { duration } from "../../lib/format";
import { useNow } from "../../lib/hooks";
import { clock, DAY, dayWord, MINUTE, moment, nowUs } from "../../lib/time";
import { text } from "../../text";
import { Badge } from "../../ui/badge";
import { Segments } from "../../ui/choice";
import { Empty, Failure, Skeleton } from "../../ui/notice";
import { Panel } from "../../ui/page";

const icons: Record<StoryEntry["kind"], LucideIcon> = { outage: Unplug, run: Power, condition: Activity, session: Link2 };

/** The story tells the rest. */
const shownIncidents = 5;

/** What happened at a site, newest first: outages, restarts, conditions. */
export function StoryTab({ site }: { site: Site }) {
  const [days, setDays] = useState("7");
  // Whole minutes, so that the same question is asked again and its answer found again.
  const fromUs = useMemo(() => Math.floor((nowUs() - Number(days) * DAY) / MINUTE) * MINUTE, [days]);
  const { data, error, isPending, refetch } = useQuery(storyQuery(site.id, fromUs));
  const incidents = useQuery(incidentsQuery(site.id)).data ?? [];
  return (
    <>
      {incidents.length > 0 && (
        <Panel title={text.site.incidents} flush data-testid="incidents">
          <ul className="rows">{incidents.slice(0, shownIncidents).map((incident) => <li key={incident.id}><IncidentRow incident={incident} zone={site.timezone} /></li>)}</ul>
        </Panel>
      )}
      <Panel title={text.site.tabs.story} data-testid="story" aside={(
        <Segments label={text.site.storySpan} value={days} onChange={setDays} options={Object.entries(text.site.storySpans).map(([value, label]) => ({ value, label }))} />
      )}>
        {isPending ? <Skeleton lines={5} height={44} /> : !data ? <Failure what={text.site.storyFailed} error={error} onRetry={() => void refetch()} />
          : data.length === 0 ? <Empty icon={BookOpenText} title={text.site.storyEmptyTitle}><p>{text.site.storyEmpty}</p></Empty>
          : <ol className="story">{data.map((entry) => <Item key={`${entry.kind}${entry.start_us}${entry.title}`} entry={entry} zone={site.timezone} />)}</ol>}
      </Panel>
    </>
  );
}

/** One problem as people saw it, from its beginning until it was over. */
function IncidentRow({ incident, zone }: { incident: Incident; zone: string }) {
  const now = useNow(10_000);
  return (
    <div className="row">
      <div className="row-main">
        <p className="row-title">{sentence(incident.text)}</p>
        <p className="soft small num">{text.site.incidentKinds[incident.kind]}, {moment(incident.start_us, zone)}, {duration((incident.end_us ?? now) - incident.start_us)}</p>
      </div>
      <IncidentBadge incident={incident} />
    </div>
  );
}

function IncidentBadge({ incident }: { incident: Incident }) {
  if (!incident.end_us) return <Badge tone="bad">{text.site.incidentLasts}</Badge>;
  return incident.outcome === "lost" ? <Badge tone="warn">{text.site.incidentLost}</Badge> : <Badge tone="ok">{text.site.incidentOver}</Badge>;
}

function Item({ entry, zone }: { entry: StoryEntry; zone: string }) {
  const Icon = icons[entry.kind];
  const lasts = entry.end_us ? text.site.storyOpen(duration(entry.end_us - entry.start_us)) : entry.state === "failing" ? text.site.storyLasts : "";
  return (
    <li className="story-item" data-state={entry.state}>
      <div className="story-when num">
        <span className="strong">{clock(entry.start_us, zone)}</span> {dayWord(entry.start_us, zone)}
        {lasts && <span className="muted small story-lasts">{lasts}</span>}
      </div>
      <span className="story-icon"><Icon size={13} aria-hidden /><span className="unseen">{text.site.storyKinds[entry.kind]}</span></span>
      <div className="story-body">
        <p className="story-title">{entry.title}</p>
        {entry.text && <p className="soft">{entry.text}</p>}
      </div>
    </li>
  );
}
