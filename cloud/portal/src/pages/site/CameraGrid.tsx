import { useQuery } from "@tanstack/react-query";
import type { MouseEvent } from "react";
import { Link } from "@tanstack/react-router";
import { Cctv, EyeOff, FileX2, KeyRound, type LucideIcon, Unplug } from "lucide-react";

import { useCan } from "../../api/can";
import { cameras as camerasQuery } from "../../api/queries";
import type { Camera, Site } from "../../api/types";
import { ageSpan } from "../../lib/format";
import { nowUs } from "../../lib/time";
import { text } from "../../text";
import { reasonWords } from "../../text/health";
import { CameraBadge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Empty, Failure, Skeleton } from "../../ui/notice";
import { beforehand } from "../../video/link";
import { Still, useStill } from "../../video/Still";

/** The cameras of a site with recent stills. */
export function CameraGrid({ site, onEnrol }: { site: Site; onEnrol: (() => void) | undefined }) {
  const { data, error, isPending, refetch } = useQuery(camerasQuery(site.id));
  if (site.status === "never") {
    return (
      <Empty icon={KeyRound} title={text.site.neverTitle} action={onEnrol && <Button look="primary" onPress={onEnrol}>{text.site.enrol}</Button>}>
        <p>{text.site.never}</p>
      </Empty>
    );
  }
  if (isPending) return <Skeleton lines={3} height={180} />;
  if (!data) return <Failure what={text.cameraPage.failed} error={error} onRetry={() => void refetch()} />;
  if (data.length === 0) return <Empty icon={Cctv} title={text.site.noCamerasTitle}><p>{text.site.noCameras}</p></Empty>;
  return <ul className="tiles">{data.map((camera) => <li key={camera.id}><Tile camera={camera} site={site} /></li>)}</ul>;
}

/** Device pixels of a camera page's stage, about. */
const stageWidth = (): number => Math.min(innerWidth, 1100) * devicePixelRatio;

function Tile({ camera, site }: { camera: Camera; site: Site }) {
  const can = useCan();
  // The site can answer while the page is being made. A finger that comes down may be about to scroll.
  const ask = () => { if (can("live")) beforehand(site.id, { camera: camera.id, width: stageWidth() }); };
  // Without a picture its place says why, unless the role alone is the reason.
  const said = useStill(camera.id).picture === undefined && can("live");
  return (
    <article className="tile" data-testid="camera-tile" data-camera={camera.id} data-status={camera.status}>
      <div className="tile-frame"><Still camera={camera.id} name={camera.name} withheld={withheld(camera, site, can("live"))} because={camera.status === "ok" ? undefined : why(camera)} /></div>
      <div className="tile-words">
        <div className="tile-head">
          <h2 className="clip-text"><Link to="/cameras/$camera" params={{ camera: camera.id }} className="tile-link clip-text" onClickCapture={(press) => { if (plain(press)) ask(); }}
            onPointerDown={(press) => { if (press.pointerType === "mouse" && plain(press)) ask(); }}>{camera.name}</Link></h2>
          <CameraBadge camera={camera} />
        </div>
        {camera.status !== "ok" && !said && <p className="tile-why">{why(camera)}</p>}
      </div>
    </article>
  );
}

/** The press leads to the page, here. */
const plain = (press: MouseEvent): boolean => press.button === 0 && !press.ctrlKey && !press.metaKey && !press.shiftKey && !press.altKey;

/** Why no still is asked for; undefined when one is. */
export function withheld(camera: Pick<Camera, "reported">, site: Site, mayWatch: boolean): { icon: LucideIcon; words: string } | undefined {
  if (!mayWatch) return { icon: EyeOff, words: text.support.noVideoTitle };
  if (site.status === "dark") return { icon: Unplug, words: text.still.dark };
  if (!camera.reported) return { icon: FileX2, words: text.cameraSentence.unreported };
  return undefined;
}

/** What is wrong with a camera, in one sentence. */
export function why(camera: Camera): string {
  if (camera.text) return camera.text;
  const words = camera.reason ? reasonWords(camera.reason) : camera.status === "failing" ? text.cameraSentence.failing : camera.status === "disabled" ? text.cameraSentence.disabled : text.cameraSentence.unknown;
  return camera.since_us && camera.status === "failing" ? `${words} ${text.site.storyOpen(ageSpan(nowUs() - camera.since_us))}` : words;
}
