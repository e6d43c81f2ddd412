import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { Ellipsis, LayoutGrid, Lock, Pencil, Play, Plus, Share2, Trash2, Users } from "lucide-react";
import { useState } from "react";

import { client } from "../api/client";
import { words } from "../api/errors";
import { walls as wallsQuery } from "../api/queries";
import type { Wall } from "../api/types";
import { text } from "../text";
import { Badge } from "../ui/badge";
import { Button, IconButton, LinkButton } from "../ui/button";
import { Confirm } from "../ui/dialog";
import { Menu } from "../ui/menu";
import { Empty, Failure, Skeleton } from "../ui/notice";
import { Page } from "../ui/page";
import { say } from "../ui/toast";
import { stops } from "../wall/tour";
import { LayoutIcon } from "./wall/LayoutIcon";
import { TourDialog } from "./wall/TourDialog";

/** The walls that one sees: the own ones and those that are shared. */
export default function WallsPage() {
  const { data, error, isPending, refetch } = useQuery(wallsQuery());
  const [touring, setTouring] = useState(false);
  const add = <LinkButton look="primary" to="/walls/new" icon={<Plus size={16} aria-hidden />} data-testid="add-wall">{text.walls.add}</LinkButton>;
  const tour = data && data.filter((wall) => wall.tiles.length > 0).length > 1 && (
    <Button icon={<Play size={16} aria-hidden />} onPress={() => setTouring(true)} data-testid="tour">{text.walls.tour}</Button>
  );
  return (
    <Page title={text.walls.title} lead={text.walls.lead} wide stale={data && error} actions={data && data.length > 0 && <>{tour}{add}</>}>
      {isPending ? <Skeleton lines={2} height={190} />
        : !data ? <Failure what={text.walls.failed} error={error} onRetry={() => void refetch()} />
        : data.length === 0 ? <Empty icon={LayoutGrid} title={text.walls.emptyTitle} action={add}><p>{text.walls.empty}</p></Empty>
        : <ul className="wall-cards">{data.map((wall) => <li key={wall.id}><WallCard wall={wall} /></li>)}</ul>}
      {touring && data && <TourDialog walls={data} onClose={() => setTouring(false)} />}
    </Page>
  );
}

function WallCard({ wall }: { wall: Wall }) {
  const pages = stops([wall]);
  return (
    <article className="wall-card" data-testid="wall-card" data-wall={wall.id}>
      <div className="wall-card-picture"><LayoutIcon layout={wall.layout} used={pages[0]?.tiles.map((tile) => tile.state !== "empty") ?? []} width={180} /></div>
      <div className="wall-card-words">
        <h2 className="clip-text"><Link to="/walls/$wall" params={{ wall: wall.id }} className="wall-card-link" aria-label={text.walls.showOf(wall.name)}>{wall.name}</Link></h2>
        <CardMenu wall={wall} />
        <p className="soft clip-text">{whatOf(wall)}</p>
        <p className="small muted">{[text.walls.layouts[wall.layout], pages.length > 1 && text.walls.pages(pages.length), pages.length > 1 && wall.cycle_s > 0 && text.walls.turns(wall.cycle_s)].filter(Boolean).join(" · ")}</p>
        <div className="wall-card-foot">
          {!wall.shared ? <Badge tone="quiet" icon={Lock}>{text.walls.private}</Badge>
            : <Badge tone="accent" icon={Users}>{wall.mine ? text.walls.shared : wall.owner_left ? text.walls.sharedByLeft(wall.owner_name) : text.walls.sharedBy(wall.owner_name)}</Badge>}
        </div>
      </div>
    </article>
  );
}

/** How many cameras, of those how many one sees, and of which sites. */
function whatOf(wall: Wall): string {
  const used = wall.tiles.filter((tile) => tile.state !== "empty");
  if (used.length === 0) return text.walls.noCameras;
  const sites = [...new Set(used.flatMap((tile) => (tile.site_name ? [tile.site_name] : [])))];
  const seen = used.filter((tile) => tile.state === "camera").length;
  return [seen < used.length ? text.walls.someCameras(seen, used.length) : text.walls.cameras(seen), text.walls.sites(sites)].filter(Boolean).join(" · ");
}

function CardMenu({ wall }: { wall: Wall }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [removing, setRemoving] = useState(false);
  if (!wall.may_edit) return null;
  const again = () => queries.invalidateQueries({ queryKey: ["walls"] });
  const share = async () => {
    try {
      await client.PATCH("/walls/{wall}", { params: { path: { wall: wall.id } }, body: { version: wall.version, shared: !wall.shared } });
      say(wall.shared ? text.walls.nowPrivate : text.walls.nowShared);
    } catch (error) {
      say(words(error), true);
    }
    await again();
  };
  return (
    <div className="wall-card-menu">
      <Menu label={text.actions.more} groups={[
        [
          { id: "edit", label: text.walls.edit, icon: <Pencil size={15} />, onAction: () => void navigate({ to: "/walls/$wall/edit", params: { wall: wall.id } }) },
          wall.mine && { id: "share", label: wall.shared ? text.walls.unshare : text.walls.share, icon: wall.shared ? <Lock size={15} /> : <Share2 size={15} />, onAction: () => void share() },
        ],
        [{ id: "delete", label: text.actions.delete, icon: <Trash2 size={15} />, danger: true, onAction: () => setRemoving(true) }],
      ]}>
        <IconButton small label={text.actions.more} data-testid="wall-menu"><Ellipsis size={18} aria-hidden /></IconButton>
      </Menu>
      {removing && (
        <Confirm title={text.walls.removeTitle(wall.name)} open onClose={() => setRemoving(false)} submit={text.actions.delete} onSubmit={async () => {
          await client.DELETE("/walls/{wall}", { params: { path: { wall: wall.id } } });
          await again();
          say(text.walls.removed);
        }}><p>{text.walls.removeText}</p>{wall.shared && <p>{text.walls.removeShared}</p>}</Confirm>
      )}
    </div>
  );
}
