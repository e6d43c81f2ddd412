import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Cctv, Gauge } from "lucide-react";
import { useState } from "react";

import { cameras as camerasQuery } from "../../api/queries";
import type { Camera, Site } from "../../api/types";
import { text } from "../../text";
import { Button } from "../../ui/button";
import { Empty, Failure, Notice, Skeleton } from "../../ui/notice";
import { LiveTile } from "../../video/LiveTile";
import type { Phase } from "../../video/snapshot";
import { useDetails } from "../../video/useDetails";
import { useWarm } from "../../video/useVideo";

/** About how many tiles a large screen has in view. */
const screenful = 16;

/** Every camera of a site, live, as long as its tile is on the screen. */
export function Wall({ site }: { site: Site }) {
  const { data, error, isPending, refetch } = useQuery(camerasQuery(site.id));
  const shown = data?.filter((camera) => camera.reported && !camera.disabled) ?? [];
  useWarm(site.agent?.connected && shown.length > 0 ? site.id : undefined, Math.min(shown.length, screenful));
  const [details, toggleDetails] = useDetails();
  if (isPending) return <Skeleton lines={2} height={220} />;
  if (!data) return <Failure what={text.cameraPage.failed} error={error} onRetry={() => void refetch()} />;
  if (site.status === "dark" || site.status === "never" || shown.length === 0) {
    return <Empty icon={Cctv} title={text.site.wallNone}><p>{site.status === "dark" ? text.still.dark : site.status === "never" ? text.siteSentence.never : text.site.noCameras}</p></Empty>;
  }
  return (
    <>
      <Notice tone="accent" action={<Button small icon={<Gauge size={15} aria-hidden />} onPress={toggleDetails} data-testid="wall-details">{details ? text.live.detailsHide : text.live.detailsShow}</Button>}>{text.site.wallLead}</Notice>
      <ul className="wall">{shown.map((camera) => <li key={camera.id}><WallTile camera={camera} details={details} /></li>)}</ul>
    </>
  );
}

function WallTile({ camera, details }: { camera: Camera; details: boolean }) {
  const [phase, setPhase] = useState<Phase>("closed");
  return (
    <article className="tile" data-testid="wall-tile" data-camera={camera.id} data-phase={phase}>
      <div className="tile-frame">
        <LiveTile camera={camera} health={camera.status} details={details} onPhase={setPhase} />
        <h2 className="wall-name"><Link to="/cameras/$camera" params={{ camera: camera.id }} className="tile-link">{camera.name}</Link></h2>
      </div>
    </article>
  );
}
