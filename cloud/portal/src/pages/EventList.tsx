import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { CalendarClock, Film, Play, Scissors } from "lucide-react";
import { useState } from "react";

import { useCan } from "../api/can";
import { camera as cameraQuery, type EventFilter, events as eventsQuery, sites as sitesQuery } from "../api/queries";
import type { Camera, Event, Site } from "../api/types";
import { duration } from "../lib/format";
import { eventName } from "../lib/events";
import { clock, clockSeconds, dayWord, fullMoment, hereZone, SECOND, startOfDay, zoneName } from "../lib/time";
import { text } from "../text";
import { KeepDialog } from "../timeline/KeepDialog";
import { Button, LinkButton } from "../ui/button";
import { Empty, Failure, Notice, Skeleton } from "../ui/notice";
import { say } from "../ui/toast";

/** How much around an event a clip holds unless the person says otherwise. */
const before = 10 * SECOND;
const after = 20 * SECOND;

/** Events, newest first, by day. */
export function EventList({ filter, filtered = false, acrossSites = false }: { filter: EventFilter; filtered?: boolean; acrossSites?: boolean }) {
  const can = useCan();
  const query = useInfiniteQuery(eventsQuery(filter));
  const sites = useQuery(sitesQuery());
  const [keeping, setKeeping] = useState<Event>();
  if (query.isPending) return <Skeleton lines={8} height={48} gap={8} />;
  if (!query.data) return <Failure what={text.events.failed} error={query.error} onRetry={() => void query.refetch()} />;
  const list = query.data.pages.flatMap((page) => page.events);
  if (list.length === 0) return <Empty icon={CalendarClock} title={text.events.emptyTitle}><p>{filtered ? text.events.emptyFiltered : text.events.empty}</p></Empty>;
  const siteOf = (event: Event) => sites.data?.find((site) => site.id === event.site);
  return (
    <>
      {!can("playback") && <Notice tone="quiet">{text.events.noVideo}</Notice>}
      {days(list, acrossSites ? () => hereZone : (event) => siteOf(event)?.timezone ?? hereZone).map((day) => (
        <section key={day.key} className="event-day">
          <h2 className="event-day-name">{day.name}</h2>
          <ul className="rows panel panel-flush">
            {day.events.map((event) => <li key={event.id}><EventRow event={event} site={siteOf(event)} acrossSites={acrossSites} onKeep={setKeeping} /></li>)}
          </ul>
        </section>
      ))}
      {query.hasNextPage && <Button busy={query.isFetchingNextPage} onPress={() => void query.fetchNextPage()}>{text.actions.moreRows}</Button>}
      {keeping && <KeepEvent event={keeping} site={siteOf(keeping)} onClose={() => setKeeping(undefined)} />}
    </>
  );
}

function days(events: Event[], zoneOf: (event: Event) => string) {
  const found: { key: string; name: string; events: Event[] }[] = [];
  for (const event of events) {
    const zone = zoneOf(event);
    const word = dayWord(event.at_us, zone);
    const name = word.charAt(0).toUpperCase() + word.slice(1);
    const last = found.at(-1);
    if (last?.name === name) last.events.push(event);
    else found.push({ key: `${name}${startOfDay(event.at_us, zone)}${event.id}`, name, events: [event] });
  }
  return found;
}

function EventRow({ event, site, acrossSites, onKeep }: { event: Event; site: Site | undefined; acrossSites: boolean; onKeep: (event: Event) => void }) {
  const can = useCan();
  const siteZone = site?.timezone ?? hereZone;
  // One list of many sites runs in one time, the viewer's; the site's own stands below where it differs.
  const zone = acrossSites ? hereZone : siteZone;
  const camera = useQuery({ ...cameraQuery(event.camera ?? ""), enabled: !!event.camera, staleTime: 300_000, refetchInterval: false });
  const name = eventName(event.kind);
  const other = acrossSites ? siteZone : hereZone;
  const foreign = zoneName(event.at_us, siteZone) !== zoneName(event.at_us, hereZone);
  return (
    <div className="row event-row" data-testid="event-row" data-kind={event.kind}>
      <time className="event-time num" dateTime={new Date(event.at_us / 1000).toISOString()} title={fullMoment(event.at_us, zone)}>
        {clockSeconds(event.at_us, zone)}
        {foreign && <span className="muted small event-other">{clock(event.at_us, other)} {zoneName(event.at_us, other)}</span>}
      </time>
      <div className="row-main">
        <p><span className="row-title">{name}</span>{event.end_us ? <span className="muted small"> {text.events.lasted(duration(event.end_us - event.at_us))}</span> : null}</p>
        <p className="soft event-where">
          {[acrossSites ? site?.name : "", event.camera ? camera.data?.name : text.events.noCamera, event.text].filter(Boolean).join(" · ")}
        </p>
      </div>
      <div className="row-side">
        {event.clip && can("export") && <LinkButton small look="quiet" icon={<Film size={15} aria-hidden />} to="/clips" search={{ clip: event.clip }}>{text.events.hasClip}</LinkButton>}
        {event.camera && !event.clip && can("export") && <Button small look="quiet" icon={<Scissors size={15} aria-hidden />} onPress={() => onKeep(event)} data-testid="event-keep">{text.events.keep}</Button>}
        {event.camera && can("playback") && (
          <LinkButton small icon={<Play size={14} aria-hidden />} to="/cameras/$camera" params={{ camera: event.camera }} search={{ at: event.at_us - 5 * SECOND }}
            aria-label={text.events.watchAt(name, clockSeconds(event.at_us, zone))} data-testid="event-watch">{text.events.watch}</LinkButton>
        )}
      </div>
    </div>
  );
}

function KeepEvent({ event, site, onClose }: { event: Event; site: Site | undefined; onClose: () => void }) {
  const navigate = useNavigate();
  const { data: camera } = useQuery({ ...cameraQuery(event.camera ?? ""), enabled: !!event.camera });
  if (!camera) return null;
  return (
    <KeepDialog open camera={camera} zone={site?.timezone ?? hereZone} stream="main" hasSub={hasSub(camera)} ranges={[]} suggested={eventName(event.kind)} onClose={onClose}
      selection={{ inUs: event.at_us - before, outUs: Math.max(event.end_us ?? 0, event.at_us) + after }}
      onKept={(clip) => {
        say(text.keep.done);
        void navigate({ to: "/clips", search: { clip: clip.id } });
      }} />
  );
}

const hasSub = (camera: Camera): boolean => camera.streams.some((stream) => stream.kind === "sub");
