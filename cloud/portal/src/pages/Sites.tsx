import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Building2, Plus, Search } from "lucide-react";
import { lazy, Suspense, useMemo, useState } from "react";

import { useCan } from "../api/can";
import { regions as regionsQuery, sites as sitesQuery } from "../api/queries";
import type { Region, Site, SiteStatus } from "../api/types";
import { age, ageSpan, bytes, whole } from "../lib/format";
import { useNow } from "../lib/hooks";
import { fullMoment, moment } from "../lib/time";
import { text } from "../text";
import { SiteBadge, siteLook } from "../ui/badge";
import { Button } from "../ui/button";
import { Segments } from "../ui/choice";
import { Empty, Failure, Skeleton } from "../ui/notice";
import { Page } from "../ui/page";

const SiteDialog = lazy(() => import("./SiteDialog"));

const weight: Record<SiteStatus, number> = { dark: 0, attention: 1, starting: 2, never: 3, ok: 4 };

/** All sites: what needs a person first, everything else at a glance. */
export default function SitesPage() {
  const search = useSearch({ from: "/inside/" });
  const navigate = useNavigate({ from: "/" });
  const can = useCan();
  const { data, error, isPending, refetch } = useQuery(sitesQuery());
  const regions = useQuery(regionsQuery());
  const [adding, setAdding] = useState(false);
  const groups = useMemo(() => grouped(data ?? [], regions.data ?? [], search.q ?? "", search.status), [data, regions.data, search]);

  if (isPending) return <Page title={text.nav.sites}><Skeleton lines={4} height={96} gap={12} /></Page>;
  if (!data) return <Page title={text.nav.sites}><Failure what={text.sites.failed} error={error} onRetry={() => void refetch()} /></Page>;

  const addButton = can("sites.create") && (
    <Button look={data.length === 0 ? "primary" : "plain"} icon={<Plus size={16} aria-hidden />} onPress={() => setAdding(true)} data-testid="add-site">{text.sites.add}</Button>
  );
  return (
    <Page title={headline(data)} name={text.nav.sites} lead={data.length > 0 && <Summary sites={data} />} actions={data.length > 0 && addButton} stale={error}>
      {data.length === 0
        ? <Empty icon={Building2} title={text.estate.none} action={addButton}><p>{can("sites.create") ? text.sites.noneOwner : text.sites.none}</p></Empty>
        : (
          <>
            {data.length > 1 && (
              <div className="filters">
                <label className="search">
                  <Search size={16} aria-hidden />
                  <input type="search" className="input" aria-label={text.sites.search} placeholder={text.sites.search} value={search.q ?? ""}
                    onChange={(event) => void navigate({ search: (old) => ({ ...old, q: event.target.value || undefined }) as typeof old, replace: true })} />
                </label>
                <Segments label={text.sites.filter} value={search.status ?? "all"} options={(["all", "trouble", "ok"] as const).map((value) => ({ value, label: text.sites.filters[value] }))}
                  onChange={(value) => void navigate({ search: (old) => ({ ...old, status: value === "all" ? undefined : value }) as typeof old, replace: true })} />
              </div>
            )}
            {groups.length === 0 && <Empty icon={Search} title={text.sites.noMatch} action={<Link className="link" to="/" search={{}}>{text.actions.clear}</Link>} />}
            {groups.map((group) => (
              <section key={group.name} className="site-group">
                {(groups.length > 1 || group.name) && <h2 className="site-group-name">{group.name || text.sites.noRegion}</h2>}
                <ul className="site-list">{group.sites.map((site) => <li key={site.id}><SiteCard site={site} /></li>)}</ul>
              </section>
            ))}
          </>
        )}
      {adding && <Suspense><SiteDialog open onClose={() => setAdding(false)} onMade={(site) => void navigate({ to: "/sites/$site", params: { site: site.id }, search: {}, state: { enrol: true } })} /></Suspense>}
    </Page>
  );
}

function headline(sites: Site[]): string {
  if (sites.length === 0) return text.nav.sites;
  const needing = sites.filter((site) => site.status === "dark" || site.status === "attention").length;
  if (needing > 0) return text.estate.needs(needing, sites.length);
  const waiting = sites.filter((site) => site.status !== "ok").length;
  return waiting > 0 ? text.estate.waiting(waiting) : text.estate.allWell(sites.length);
}

function Summary({ sites }: { sites: Site[] }) {
  const sum = (of: (site: Site) => number) => sites.reduce((total, site) => total + of(site), 0);
  const dark = sites.filter((site) => site.status === "dark").length;
  const facts = sum((site) => site.queue?.facts ?? 0);
  const parts = [
    text.estate.recording(sum((site) => site.cameras.recording), sum((site) => site.cameras.total)),
    ...(dark > 0 ? [text.estate.dark(dark)] : []),
    ...(facts > 0 ? [text.estate.queue(facts)] : []),
  ];
  return <p className="num" data-testid="estate-summary">{parts.join(" · ")}</p>;
}

interface Group {
  name: string;
  sites: Site[];
}

function grouped(sites: Site[], regions: Region[], words: string, status: string | undefined): Group[] {
  const needle = words.trim().toLowerCase();
  const names = new Map(regions.map((region) => [region.id, region.name]));
  const groups = new Map<string, Site[]>();
  for (const site of sites) {
    const region = site.region ? (names.get(site.region) ?? "") : "";
    if (needle && ![site.name, site.address, region].some((field) => field.toLowerCase().includes(needle))) continue;
    if (status === "trouble" && site.status !== "dark" && site.status !== "attention") continue;
    if ((status === "ok" || status === "dark" || status === "never") && site.status !== status) continue;
    groups.set(region, [...(groups.get(region) ?? []), site]);
  }
  const worst = (group: Group) => Math.min(...group.sites.map((site) => weight[site.status]));
  return [...groups].map(([name, members]) => ({
    name, sites: members.toSorted((a, b) => weight[a.status] - weight[b.status] || a.name.localeCompare(b.name)),
  })).toSorted((a, b) => worst(a) - worst(b) || (a.name === "" ? 1 : b.name === "" ? -1 : a.name.localeCompare(b.name)));
}

function SiteCard({ site }: { site: Site }) {
  const look = siteLook[site.status];
  const Icon = look.icon;
  return (
    <article className="site-card" data-testid="site-card" data-site={site.id} data-status={site.status}>
      <span className={`site-glyph site-glyph-${look.tone}`}><Icon size={20} strokeWidth={1.9} aria-hidden /></span>
      <div className="site-main">
        <div className="site-name">
          <h3><Link to="/sites/$site" params={{ site: site.id }} className="site-link">{site.name}</Link></h3>
          <SiteBadge status={site.status} />
        </div>
        {site.address && <p className="muted small clip-text">{site.address}</p>}
        <Why site={site} />
      </div>
      <dl className="site-figures num">
        <Cameras site={site} />
        <Queue site={site} />
        <Contact site={site} />
      </dl>
    </article>
  );
}

/** What is missing, in words; the first few. */
function Why({ site }: { site: Site }) {
  const now = useNow(10_000);
  const lines = site.missing.slice(0, 2);
  const more = site.missing.length - lines.length;
  const since = site.since_us ? ageSpan(now - site.since_us) : "";
  return (
    <ul className="site-why">
      {site.status === "dark" && site.verdict && <li data-severity="critical"><span className="strong" title={fullMoment(site.verdict.since_us, site.timezone)}>{text.sites.darkSince(moment(site.verdict.since_us, site.timezone), since)}</span> {site.verdict.text}</li>}
      {site.status === "ok" && site.missing.length === 0 && <li className="muted">{site.cameras.total > 0 ? text.siteSentence.ok : text.siteSentence.noCameras}</li>}
      {site.status === "never" && <li className="muted">{text.siteSentence.never}</li>}
      {site.status === "starting" && <li className="muted">{text.siteSentence.starting}</li>}
      {!(site.status === "dark" && site.verdict) && site.status !== "never" && lines.map((missing) => <li key={missing.text} data-severity={missing.severity}>{missing.text}</li>)}
      {!(site.status === "dark" && site.verdict) && site.status !== "never" && more > 0 && <li className="muted">{text.sites.moreMissing(more)}</li>}
    </ul>
  );
}

/** One mark per camera up to a score, so that a hole is seen before the figure is read. */
function Cameras({ site }: { site: Site }) {
  const { total, recording, failing } = site.cameras;
  const stale = site.status === "dark" || site.status === "starting";
  return (
    <div className="figure">
      <dt>{text.sites.cameras}</dt>
      <dd>
        <span className={failing > 0 ? "strong" : undefined}>{total === 0 ? text.sites.noCameras : stale ? text.sites.notKnown : `${recording} / ${total}`}</span>
        {total > 0 && total <= 24 && (
          <span className="pips" aria-hidden>
            {Array.from({ length: total }, (_, at) => <i key={at} data-state={stale ? "unknown" : at < recording ? "on" : at < recording + failing ? "fail" : "off"} />)}
          </span>
        )}
      </dd>
    </div>
  );
}

function Queue({ site }: { site: Site }) {
  const { facts = 0, clips = 0, clip_bytes: size = 0 } = site.queue ?? {};
  return (
    <div className="figure figure-queue">
      <dt>{text.sites.queue}</dt>
      <dd>
        {!site.queue ? "–" : facts === 0 && clips === 0 ? <span className="muted">{text.line.queueEmpty}</span> : (
          <>
            {facts > 0 && <span>{text.line.queueFacts(facts)}</span>}
            {clips > 0 && <span className="muted small">{text.line.queueClips(clips)}{size > 0 && `, ${bytes(size)}`}</span>}
          </>
        )}
      </dd>
    </div>
  );
}

function Contact({ site }: { site: Site }) {
  const now = useNow(1000);
  const seen = site.agent?.last_seen_us;
  return (
    <div className="figure">
      <dt>{text.line.contact}</dt>
      <dd className={site.status === "dark" ? "strong" : undefined} title={seen ? fullMoment(seen, site.timezone) : undefined}>
        {seen ? age(now - seen) : <span className="muted">{text.line.noContact}</span>}
        {site.agent?.connected && site.agent.rtt_ms > 0 && <span className="muted small">{whole(Math.round(site.agent.rtt_ms))} ms</span>}
      </dd>
    </div>
  );
}
