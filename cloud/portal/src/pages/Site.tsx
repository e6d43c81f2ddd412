import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useRouterState, useSearch } from "@tanstack/react-router";
import { KeyRound } from "lucide-react";
import { useEffect, useState } from "react";

import { type Action, useCan } from "../api/can";
import { site as siteQuery } from "../api/queries";
import type { Site } from "../api/types";
import { useNow } from "../lib/hooks";
import { clock, hereZone, zoneName } from "../lib/time";
import { type SiteTab, siteTabs } from "../router";
import { text } from "../text";
import { SiteBadge } from "../ui/badge";
import { Button } from "../ui/button";
import { Failure, Notice, Skeleton } from "../ui/notice";
import { Page } from "../ui/page";
import { useWarm } from "../video/useVideo";
import { CameraGrid } from "./site/CameraGrid";
import { EnrolDialog } from "./site/EnrolDialog";
import { HealthPanel } from "./site/HealthPanel";
import { HoldsTab } from "./site/HoldsTab";
import { MissingPanel, VerdictPanel } from "./site/Verdict";
import { SettingsTab } from "./site/SettingsTab";
import { SiteEvents } from "./site/SiteEvents";
import { StoryTab } from "./site/StoryTab";
import { WaitingPanel } from "./site/WaitingPanel";
import { Wall } from "./site/Wall";

const needs: Partial<Record<SiteTab, Action[]>> = {
  wall: ["live"], story: ["health"], events: ["events"], holds: ["playback"], settings: ["sites.edit", "agents.edit", "players.edit", "sites.create"],
};

/** One site: its cameras, its health, what happened, and its settings. */
export default function SitePage() {
  const { site: id } = useParams({ from: "/inside/sites/$site" });
  const { tab = "cameras" } = useSearch({ from: "/inside/sites/$site" });
  const fresh = useRouterState({ select: (state) => state.location.state.enrol === true });
  const can = useCan();
  const { data: site, error, isPending, refetch } = useQuery(siteQuery(id));
  const [enrolling, setEnrolling] = useState(fresh);
  useWarm(can("live") && site?.agent?.connected ? id : undefined);
  // Who looks at a site clicks a camera next: its page is there by then.
  useEffect(() => void import("./Camera"), []);
  const up = { to: "/", label: text.site.up };

  if (isPending) return <Page title="…" name={text.nav.sites} up={up} wide><Skeleton lines={5} height={72} /></Page>;
  if (!site) return <Page title={text.nav.sites} up={up}><Failure what={text.site.failed} error={error} onRetry={() => void refetch()} /></Page>;

  const tabs = siteTabs.filter((name) => !needs[name] || needs[name].some((action) => can(action)));
  return (
    <Page title={site.name} badge={<SiteBadge status={site.status} />} up={up} wide stale={error} lead={<Lead site={site} />}
      actions={can("agents.edit") && site.status === "never" && (
        <Button look="primary" icon={<KeyRound size={16} aria-hidden />} onPress={() => setEnrolling(true)} data-testid="enrol">{text.site.enrol}</Button>
      )}>
      <nav className="tabs" aria-label={text.site.tabsLabel}>
        {tabs.map((name) => (
          <Link key={name} to="/sites/$site" params={{ site: id }} search={name === "cameras" ? {} : { tab: name }} activeOptions={{ exact: true }} className="tab" data-testid={`tab-${name}`}>
            {text.site.tabs[name]}
          </Link>
        ))}
      </nav>
      {tab === "cameras" && (
        <div className="site-page">
          <div className="site-page-main">
            {site.status === "starting" && <Notice tone="quiet">{text.siteSentence.starting}</Notice>}
            {site.verdict && <VerdictPanel site={site} verdict={site.verdict} />}
            <CameraGrid site={site} onEnrol={can("agents.edit") ? () => setEnrolling(true) : undefined} />
          </div>
          {site.status !== "never" && (
            <aside className="site-page-side">
              {!site.verdict && site.missing.length > 0 && <MissingPanel site={site} />}
              <HealthPanel site={site} />
              <WaitingPanel site={site} />
            </aside>
          )}
        </div>
      )}
      {tab === "wall" && <Wall site={site} />}
      {tab === "story" && <StoryTab site={site} />}
      {tab === "events" && <SiteEvents site={site} />}
      {tab === "holds" && <HoldsTab site={site} />}
      {tab === "settings" && <SettingsTab site={site} onEnrol={() => setEnrolling(true)} />}
      {enrolling && <EnrolDialog site={site} onClose={() => setEnrolling(false)} />}
    </Page>
  );
}

/** The address, and the time at the site where it differs from the viewer's. */
function Lead({ site }: { site: Site }) {
  const now = useNow(10_000);
  const parts = [site.address, site.timezone === hereZone ? "" : text.site.time(clock(now, site.timezone), zoneName(now, site.timezone))].filter(Boolean);
  return parts.length > 0 ? <p className="num">{parts.join(" · ")}</p> : null;
}
