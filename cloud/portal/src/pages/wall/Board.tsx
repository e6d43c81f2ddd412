import { useQueries, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { LayoutGrid } from "lucide-react";
import { type CSSProperties, type RefObject, useCallback, useEffect, useMemo, useRef, useState } from "react";

import { useCan } from "../../api/can";
import { cameras as camerasQuery, sites as sitesQuery } from "../../api/queries";
import type { Camera, Wall, WallLayout, WallTile } from "../../api/types";
import { usePageKeys, useTitle } from "../../lib/hooks";
import { nowUs } from "../../lib/time";
import { text } from "../../text";
import { LinkButton } from "../../ui/button";
import { Empty } from "../../ui/notice";
import type { Conductor } from "../../video/together";
import { useDetails } from "../../video/useDetails";
import { stills } from "../../video/stills";
import { useWarm } from "../../video/useVideo";
import { type Direction, layoutOfKey, neighbour, plan } from "../../wall/layout";
import { after, cycleOf, resumed, type Stop, stops } from "../../wall/tour";
import { BoardBar } from "./BoardBar";
import { BoardTile } from "./BoardTile";
import { PlayBar } from "./PlayBar";
import { useConductor, zoneOf } from "./playback";
import { useAwake, useFullScreen, useIdle, useLasting } from "./screen";
import { camerasOf } from "./useBands";

/** How long the tiles under a large one go on: whoever only wants a closer look finds them running. */
const coveredMs = 10_000;
const barMs = 3_000;

/** Walls that run: one page of tiles at a time, turned by hand or by the clock. */
export function Board({ walls, every }: { walls: readonly Wall[]; every: number | undefined }) {
  const [layout, setLayout] = useState<WallLayout>();
  const [where, setWhere] = useState<{ wall: string | undefined; page: number }>({ wall: walls[0]?.id, page: 0 });
  const [paused, setPaused] = useState(false);
  const [selected, setSelected] = useState(0);
  const [large, setLarge] = useState<number>();
  const { full, toggle: toggleFull } = useFullScreen();
  const [details, toggleDetails] = useDetails();
  const idle = useIdle(barMs);
  const round = useMemo(() => stops(walls, layout), [walls, layout]);
  const at = resumed(round, where.wall, where.page);
  const stop = round[at];
  const cycle = cycleOf(stop, every);
  const { conductor, begin, seek, live } = usePlayback();
  const { data: sites } = useQuery(sitesQuery());
  const zone = useMemo(() => zoneOf(stop?.wall.tiles ?? [], sites), [stop?.wall.tiles, sites]);
  const cameras = useMemo(() => camerasOf(stop?.wall.tiles ?? [], sites), [stop?.wall.tiles, sites]);
  const playback = useMemo(() => conductor && { conductor, zone: zone.zone }, [conductor, zone]);
  const turning = cycle > 0 && !paused && !conductor && round.length > 1 && large === undefined;
  useTitle(stop?.wall.name ?? text.walls.title);
  useAwake(full || turning);

  const turn = useCallback((by: number) => {
    const next = round[after(at, by, round.length)];
    if (!next) return;
    setWhere({ wall: next.wall.id, page: next.page });
    setLarge(undefined);
    setSelected(0);
  }, [round, at]);
  useEffect(() => {
    if (!turning) return;
    const timer = setTimeout(() => turn(1), cycle * 1000);
    return () => clearTimeout(timer);
  }, [turning, turn, cycle]);
  const next = round[after(at, 1, round.length)];
  useEffect(() => {
    if (!turning || !next) return;
    const look = () => {
      for (const { camera, state } of next.tiles) if (camera && state === "camera") stills.want(camera, aheadMs);
    };
    const timer = setTimeout(look, cycle * 1000 - aheadMs);
    return () => clearTimeout(timer);
  }, [turning, next, cycle]);

  const board = useRef<HTMLDivElement>(null);
  useBoardKeys({ stop, selected, large, board, setSelected, setLarge, setLayout, turn, toggleFull, toggleDetails, pause: () => setPaused(!paused), conductor, begin });
  const toggleLarge = useCallback((place: number) => setLarge((was) => (was === undefined && round[at]?.tiles[place]?.state === "camera" ? place : undefined)), [round, at]);
  const stay = useCallback(() => setPaused(true), []); // a tour takes no camera out of anybody's hand
  const covered = useLasting(large !== undefined, coveredMs);
  if (!stop) return null;

  const shape = plan(stop.layout);
  const frame = { "--columns": shape.columns, "--rows": shape.rows, "--phone-columns": shape.columns > 2 ? 2 : 1 } as CSSProperties;
  return (
    <div className="board" ref={board} data-testid="board" data-full={full || undefined} data-idle={(full && idle) || undefined} data-page={at} data-layout={stop.layout}>
      <BoardBar stop={stop} at={at} count={round.length} cycle={cycle} turning={turning} paused={paused} full={full} details={details} override={layout} onBegin={conductor ? undefined : begin}
        onTurn={turn} onPause={() => setPaused(!paused)} onFull={toggleFull} onDetails={toggleDetails} onLayout={(chosen) => { setLayout(chosen); setLarge(undefined); setSelected(0); }} />
      {stop.wall.tiles.length === 0
        ? (
          <Empty icon={LayoutGrid} title={text.board.nothingTitle} action={stop.wall.may_edit && <LinkButton look="primary" to="/walls/$wall/edit" params={{ wall: stop.wall.id }}>{text.walls.edit}</LinkButton>}>
            <p>{text.board.nothing}</p>
          </Empty>
        )
        : (
          <div className="board-stage">
            <Tiles stop={stop} frame={frame} selected={selected} large={large} details={details} covered={covered} playback={playback} onSelect={setSelected} onToggle={toggleLarge} onSteer={stay} />
          </div>
        )}
      {conductor && <PlayBar conductor={conductor} zone={zone} cameras={cameras} chosen={stop.tiles[large ?? selected]?.camera} onSeek={seek} onLive={live} />}
      {[...placesAt([stop.tiles, turning ? (next?.tiles ?? []) : []])].map(([site, places]) => <Warm key={site} site={site} places={places} />)}
    </div>
  );
}

/** So long before a tour turns, the stills of its next page are fetched: a site then has the small streams at hand, too. */
const aheadMs = 8_000;

/** How long before now playback begins, where no moment is asked for. */
const beginUs = 60_000_000;

/** The moment of the address, who leads the tiles from there, and how to go to another one. */
function usePlayback() {
  const { at } = useSearch({ from: "/inside/walls/$wall" });
  const navigate = useNavigate({ from: "/walls/$wall" });
  const mayPlay = useCan()("playback");
  const conductor = useConductor(mayPlay ? at : undefined);
  const go = useCallback((next: number | undefined) => void navigate({ search: (old) => ({ ...old, at: next }) as typeof old, replace: true }), [navigate]);
  const seek = useCallback((us: number) => {
    // The newest seconds are not on the disk yet: that near to now is live.
    if (us > nowUs() - 3_000_000) go(undefined);
    else if (Math.round(us) === at) conductor?.seek(at, performance.now());
    else go(Math.round(us));
  }, [go, at, conductor]);
  const begin = useCallback(() => go(nowUs() - beginUs), [go]);
  return { conductor, begin: mayPlay ? begin : undefined, seek, live: useCallback(() => go(undefined), [go]) };
}

/** Keeps a connection at hand to a site that is on this page, or on the next one. */
function Warm({ site, places }: { site: string; places: number }) {
  useWarm(site, places);
  return null;
}

/** How many cameras of each site are shown at once, on whichever page has most of them. */
function placesAt(pages: (readonly WallTile[])[]): Map<string, number> {
  const most = new Map<string, number>();
  for (const tiles of pages) {
    for (const site of sitesOf(tiles)) most.set(site, Math.max(most.get(site) ?? 0, tiles.filter((tile) => tile.site === site).length));
  }
  return most;
}

const sitesOf = (tiles: readonly WallTile[]): string[] => [...new Set(tiles.flatMap((tile) => (tile.site ? [tile.site] : [])))];

interface TilesProps {
  stop: Stop;
  frame: CSSProperties;
  selected: number;
  large: number | undefined;
  details: boolean;
  covered: boolean;
  playback: { conductor: Conductor; zone: string } | undefined;
  onSelect: (place: number) => void;
  onToggle: (place: number) => void;
  onSteer: () => void;
}

function Tiles({ stop, frame, selected, large, details, covered, playback, onSelect, onToggle, onSteer }: TilesProps) {
  const { data: sites } = useQuery(sitesQuery());
  const cameras = useQueries({ queries: sitesOf(stop.tiles).map((site) => camerasQuery(site)), combine: byID });
  const { spots } = plan(stop.layout);
  const seen = new Map<string, number>();
  return (
    <ul className="board-grid" style={frame} aria-label={text.board.tiles}>
      {stop.tiles.map((tile, place) => {
        // A camera that stays when the page turns goes on playing.
        const nth = tile.camera ? (seen.get(tile.camera) ?? 0) : place;
        if (tile.camera) seen.set(tile.camera, nth + 1);
        return (
          <BoardTile key={`${tile.camera ?? tile.state} ${nth}`} tile={tile} place={place} spot={spots[place] ?? { column: 0, row: 0, size: 1 }}
            site={sites?.find((site) => site.id === tile.site)} camera={tile.camera ? cameras.get(tile.camera) : undefined}
            selected={selected === place} large={large === place} details={details} asleep={covered && large !== place} playback={playback} alone={spots.length === 1} onSelect={onSelect} onToggle={onToggle} onSteer={onSteer} />
        );
      })}
    </ul>
  );
}

function byID(found: UseQueryResult<Camera[]>[]): Map<string, Camera> {
  return new Map(found.flatMap((query) => query.data?.map((camera) => [camera.id, camera] as const) ?? []));
}

interface KeysProps {
  stop: Stop | undefined;
  selected: number;
  large: number | undefined;
  board: RefObject<HTMLDivElement | null>;
  setSelected: (place: number) => void;
  setLarge: (place: number | undefined) => void;
  setLayout: (layout: WallLayout | undefined) => void;
  turn: (by: number) => void;
  toggleFull: () => void;
  toggleDetails: () => void;
  pause: () => void;
  conductor: Conductor | undefined;
  begin: (() => void) | undefined;
}

/** The keys of a wall; what is played back has more of its own (PlayBar). */
function useBoardKeys({ stop, selected, large, board, setSelected, setLarge, setLayout, turn, toggleFull, toggleDetails, pause, conductor, begin }: KeysProps): void {
  const navigate = useNavigate();
  const move = (direction: Direction) => {
    if (!stop) return;
    const next = neighbour(stop.layout, selected, direction);
    if (next === selected && (direction === "left" || direction === "right")) return;
    setSelected(next);
    if (large !== undefined) setLarge(stop.tiles[next]?.state === "camera" ? next : undefined);
    board.current?.querySelector<HTMLElement>(`[data-place="${next}"]`)?.focus();
  };
  const tile = stop?.tiles[selected];
  const arrange = (layout: WallLayout | undefined) => () => {
    setLayout(layout);
    setLarge(undefined);
    setSelected(0);
  };
  usePageKeys({
    arrowleft: () => move("left"), arrowright: () => move("right"), arrowup: () => move("up"), arrowdown: () => move("down"),
    enter: () => setLarge(large === undefined && tile?.state === "camera" ? selected : undefined),
    escape: () => setLarge(undefined),
    " ": conductor ? () => (conductor.direction().playing ? conductor.pause(performance.now()) : conductor.play(performance.now())) : pause,
    ...(begin && !conductor ? { p: begin } : {}),
    f: toggleFull,
    i: toggleDetails,
    pageup: () => turn(-1),
    pagedown: () => turn(1),
    c: () => { if (tile?.camera) void navigate({ to: "/cameras/$camera", params: { camera: tile.camera } }); },
    "0": arrange(undefined),
    ...Object.fromEntries(Object.entries(layoutOfKey).map(([key, layout]) => [key, arrange(layout)])),
  }, ".board-pick");
}
