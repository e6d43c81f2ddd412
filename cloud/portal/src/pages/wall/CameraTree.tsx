import { useQuery } from "@tanstack/react-query";
import { Cctv, Check, ChevronRight, Search } from "lucide-react";
import { useState } from "react";

import { cameras as camerasQuery, sites as sitesQuery } from "../../api/queries";
import type { Camera, Site } from "../../api/types";
import { words } from "../../api/errors";
import { text } from "../../text";
import { Failure, Skeleton } from "../../ui/notice";
import { type Piece, pieceFor } from "../../wall/draft";

interface TreeProps {
  /** The cameras that are on the wall. */
  on: ReadonlySet<string>;
  onAdd: (pieces: readonly Piece[]) => void;
  onDrag: (piece: Piece | undefined) => void;
}

/** Every camera that one may put on a wall, by site, to press or to drag. */
export function CameraTree({ on, onAdd, onDrag }: TreeProps) {
  const { data, error, isPending, refetch } = useQuery(sitesQuery());
  const [search, setSearch] = useState("");
  const needle = search.trim().toLowerCase();
  const sites = data?.filter((site) => site.cameras.total > 0) ?? [];
  return (
    <section className="panel tree" aria-label={text.wallEdit.cameras} data-testid="camera-tree">
      <div className="panel-head"><h2>{text.wallEdit.cameras}</h2></div>
      <label className="search">
        <Search size={16} aria-hidden />
        <input type="search" className="input" aria-label={text.wallEdit.search} placeholder={text.wallEdit.search} value={search} onChange={(event) => setSearch(event.target.value)} data-testid="tree-search" />
      </label>
      <div className="tree-list">
        {isPending ? <Skeleton lines={5} height={22} />
          : !data ? <Failure what={text.sites.failed} error={error} onRetry={() => void refetch()} />
          : sites.length === 0 ? <p className="tree-note">{text.wallEdit.noSites}</p>
          : sites.map((site) => <Branch key={site.id} site={site} needle={needle} on={on} open={sites.length <= 6} onAdd={onAdd} onDrag={onDrag} />)}
      </div>
    </section>
  );
}

function Branch({ site, needle, on, open, onAdd, onDrag }: TreeProps & { site: Site; needle: string; open: boolean }) {
  const [unfolded, setUnfolded] = useState(open);
  const { data, error } = useQuery({ ...camerasQuery(site.id), enabled: unfolded || needle !== "" });
  const whole = site.name.toLowerCase().includes(needle);
  const shown = data?.filter((camera) => camera.reported && (whole || camera.name.toLowerCase().includes(needle)));
  if (needle && !whole && (shown?.length ?? 0) === 0) return null;
  const missing = shown?.filter((camera) => !on.has(camera.id)) ?? [];
  return (
    <details className="tree-site" open={unfolded || needle !== ""} onToggle={(event) => { if (!needle) setUnfolded(event.currentTarget.open); }}>
      <summary><ChevronRight size={16} aria-hidden /><span className="clip-text">{site.name}</span></summary>
      {error && !data && <p className="tree-note" role="alert">{text.wallEdit.treeFailed} {words(error)}</p>}
      {!data && !error && <p className="tree-note">{text.states.loading}</p>}
      <ul className="tree-cameras">
        {shown?.map((camera) => <li key={camera.id}><Leaf camera={camera} site={site} on={on.has(camera.id)} onAdd={onAdd} onDrag={onDrag} /></li>)}
        {missing.length > 1 && (
          <li><button type="button" className="tree-all link" aria-label={text.wallEdit.addSite(site.name)} data-testid="add-site-cameras" onClick={() => onAdd(missing.map((camera) => pieceFor(camera, site)))}>{text.wallEdit.addAll}</button></li>
        )}
      </ul>
    </details>
  );
}

function Leaf({ camera, site, on, onAdd, onDrag }: { camera: Camera; site: Site; on: boolean } & Pick<TreeProps, "onAdd" | "onDrag">) {
  const piece = pieceFor(camera, site);
  // A real button cannot be dragged in every browser.
  return (
    <div role="button" tabIndex={0} className="tree-camera" draggable data-testid="tree-camera" data-camera={camera.id} data-on={on || undefined} aria-label={`${text.wallEdit.add(camera.name, site.name)}${on ? `, ${text.wallEdit.on}` : ""}`}
      onClick={() => onAdd([piece])} onKeyDown={(event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); onAdd([piece]); } }} onDragEnd={() => onDrag(undefined)}
      onDragStart={(event) => {
        event.dataTransfer.effectAllowed = "copy";
        event.dataTransfer.setData("text/plain", camera.name);
        onDrag(piece);
      }}>
      {on ? <Check size={16} aria-hidden /> : <Cctv size={16} aria-hidden />}
      <span className="clip-text">{camera.name}</span>
      {on && <span className="tree-on">{text.wallEdit.on}</span>}
    </div>
  );
}
