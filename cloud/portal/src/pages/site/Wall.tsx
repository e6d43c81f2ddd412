import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Cctv, CircleAlert } from "lucide-react";
import { useEffect, useRef, useState } from "react";

import { cameras as camerasQuery } from "../../api/queries";
import type { Camera, Site } from "../../api/types";
import { text } from "../../text";
import { Empty, Failure, Notice, Skeleton } from "../../ui/notice";
import { Still } from "../../video/Still";
import { useVideo } from "../../video/useVideo";

/** Every camera of a site, live, as long as its tile is on the screen. */
export function Wall({ site }: { site: Site }) {
  const { data, error, isPending, refetch } = useQuery(camerasQuery(site.id));
  if (isPending) return <Skeleton lines={2} height={220} />;
  if (!data) return <Failure what={text.cameraPage.failed} error={error} onRetry={() => void refetch()} />;
  const shown = data.filter((camera) => camera.reported && !camera.disabled);
  if (site.status === "dark" || site.status === "never" || shown.length === 0) {
    return <Empty icon={Cctv} title={text.site.wallNone}><p>{site.status === "dark" ? text.still.dark : site.status === "never" ? text.siteSentence.never : text.site.noCameras}</p></Empty>;
  }
  return (
    <>
      <Notice tone="accent">{text.site.wallLead}</Notice>
      <ul className="wall">{shown.map((camera) => <li key={camera.id}><WallTile camera={camera} /></li>)}</ul>
    </>
  );
}

function WallTile({ camera }: { camera: Camera }) {
  const frame = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (!frame.current) return;
    const watcher = new IntersectionObserver(([entry]) => setSeen(entry?.isIntersecting ?? false));
    watcher.observe(frame.current);
    return () => watcher.disconnect();
  }, []);
  const { video, snapshot } = useVideo(seen ? { site: camera.site, camera: camera.id, stream: "sub", silent: true } : undefined, camera.status);
  const running = snapshot.phase === "playing" || snapshot.phase === "stalled";
  return (
    <article className="tile" data-testid="wall-tile" data-camera={camera.id} data-phase={snapshot.phase}>
      <div className="tile-frame" ref={frame}>
        {!running && <Still plain camera={camera.id} name={camera.name} />}
        <video ref={video} className="wall-video" muted playsInline autoPlay data-frames="0" data-shown={running || undefined} aria-label={text.live.player(camera.name)} />
        {snapshot.phase === "failed" && <div className="wall-words"><CircleAlert size={20} strokeWidth={1.6} aria-hidden /><p>{snapshot.reason}</p></div>}
        {(snapshot.phase === "connecting" || snapshot.phase === "waiting" || snapshot.phase === "reconnecting") && <div className="wall-words" role="status"><span className="still-wait" /><p>{snapshot.reason || text.live.connecting}</p></div>}
        <h2 className="wall-name"><Link to="/cameras/$camera" params={{ camera: camera.id }} className="tile-link">{camera.name}</Link></h2>
      </div>
    </article>
  );
}
