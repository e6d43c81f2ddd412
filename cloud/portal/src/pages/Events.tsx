import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";

import { cameras as camerasQuery, sites as sitesQuery } from "../api/queries";
import { eventName } from "../lib/events";
import { DAY, fromDateInput, hereZone } from "../lib/time";
import type { EventsSearch } from "../router";
import { text } from "../text";
import { Button } from "../ui/button";
import { SelectField } from "../ui/field";
import { Page } from "../ui/page";
import { EventList } from "./EventList";

/** Everything that happened, at all sites; what is filtered stands in the address. */
export default function EventsPage() {
  const search = useSearch({ from: "/inside/events" });
  const navigate = useNavigate({ from: "/events" });
  const sites = useQuery(sitesQuery());
  const cameras = useQuery({ ...camerasQuery(search.site ?? ""), enabled: search.site !== undefined });
  const zone = sites.data?.find((site) => site.id === search.site)?.timezone ?? hereZone;
  const set = (change: Partial<EventsSearch>) => void navigate({
    search: (old) => Object.fromEntries(Object.entries({ ...old, ...change }).filter(([, value]) => value)) as EventsSearch, replace: true,
  });
  const from = search.from ? fromDateInput(search.from, zone) : undefined;
  const to = search.to ? fromDateInput(search.to, zone) : undefined;
  const filtered = Object.keys(search).length > 0;
  const filter = {
    ...(search.site ? { site: search.site } : {}), ...(search.camera ? { camera: search.camera } : {}), ...(search.kind ? { kind: search.kind } : {}),
    ...(from !== undefined ? { from_us: from } : {}), ...(to !== undefined ? { to_us: to + DAY } : {}),
  };
  const kinds = [...new Set([...Object.keys(text.eventKinds), ...(search.kind ? [search.kind] : [])])];
  return (
    <Page title={text.events.title}>
      <div className="filters">
        <SelectField bare label={text.rules.site} value={search.site ?? ""} onChange={(site) => set({ site, camera: "" })} data-testid="filter-site"
          options={[{ value: "", label: text.events.anySite }, ...(sites.data ?? []).map((site) => ({ value: site.id, label: site.name }))]} />
        {search.site && (
          <SelectField bare label={text.rules.camera} value={search.camera ?? ""} onChange={(camera) => set({ camera })}
            options={[{ value: "", label: text.events.anyCamera }, ...(cameras.data ?? []).map((camera) => ({ value: camera.id, label: camera.name }))]} />
        )}
        <SelectField bare label={text.rules.kind} value={search.kind ?? ""} onChange={(kind) => set({ kind })} data-testid="filter-kind"
          options={[{ value: "", label: text.events.anyKind }, ...kinds.map((kind) => ({ value: kind, label: eventName(kind) }))]} />
        <label className="filter-date">{text.events.from}<input type="date" className="input" value={search.from ?? ""} onChange={(event) => set({ from: event.target.value })} /></label>
        <label className="filter-date">{text.events.to}<input type="date" className="input" value={search.to ?? ""} onChange={(event) => set({ to: event.target.value })} /></label>
        {filtered && <Button small look="quiet" onPress={() => void navigate({ search: {}, replace: true })}>{text.actions.clear}</Button>}
      </div>
      <EventList filter={filter} filtered={filtered} acrossSites={!search.site} />
    </Page>
  );
}
