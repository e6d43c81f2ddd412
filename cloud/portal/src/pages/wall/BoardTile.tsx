import { Camera as CameraIcon, EyeOff, ExternalLink, FileX2, Mic, Minimize2, X } from "lucide-react";
import { type CSSProperties, type MouseEvent, useCallback, useMemo, useRef, useState } from "react";

import { useCan } from "../../api/can";
import type { Camera, Site, WallTile } from "../../api/types";
import { Ptz } from "../../ptz/Ptz";
import { text } from "../../text";
import { IconButton, LinkButton } from "../../ui/button";
import { say } from "../../ui/toast";
import { LiveTile } from "../../video/LiveTile";
import { type Pictured, saveSnapshot } from "../../video/stage";
import { TalkBar } from "../../video/TalkBar";
import type { Conductor } from "../../video/together";
import { useZoom, ZoomMark } from "../../video/ZoomMark";
import type { Habits } from "../../video/zoomGestures";
import type { Spot } from "../../wall/layout";
import { DarkTile } from "./DarkTile";
import { tileWithheld } from "./withheld";

interface BoardTileProps {
  tile: WallTile;
  place: number;
  spot: Spot;
  site: Site | undefined;
  camera: Camera | undefined;
  selected: boolean;
  large: boolean;
  /** Says all the time what was measured of its video. */
  details: boolean;
  /** Covered by a large one for a while. */
  asleep: boolean;
  /** Plays recordings in step instead of what is live; moments are told in this time zone. */
  playback: { conductor: Conductor; zone: string } | undefined;
  /** The only tile of its page: it is as large as it can be. */
  alone: boolean;
  onSelect: (place: number) => void;
  onToggle: (place: number) => void;
  /** Somebody is about to turn its camera, or to speak through it. */
  onSteer: () => void;
}

/** On a wall a double click makes a tile large and small; out of a close view it leads back to the whole picture first. */
const habits: Habits = { alone: true, doubleIn: false };

/** One place of a running wall: a camera with its names, or why there is none. */
export function BoardTile({ tile, place, spot, site, camera, selected, large, details, asleep, playback, alone, onSelect, onToggle, onSteer }: BoardTileProps) {
  const of = useMemo(() => (tile.camera && tile.site ? { id: tile.camera, name: tile.camera_name ?? "", site: tile.site } : undefined), [tile.camera, tile.site, tile.camera_name]);
  // An agent says by how much its clock is ahead of the cloud's.
  const offUs = -(site?.agent?.clock_offset_us ?? 0);
  const pictureUs = lasts(camera);
  const first = selected || large;
  const together = useMemo(() => playback && { ...playback, offUs, pictureUs, first }, [playback, offUs, pictureUs, first]);
  const can = useCan();
  const mayCopy = can("export");
  const withheld = tileWithheld(site, camera);
  const words = tile.state === "camera" ? text.board.tile(tile.camera_name ?? "", tile.site_name ?? "") : text.board[tile.state];
  const frame = useRef<HTMLLIElement>(null);
  const { zoom, close } = useZoom(frame, large || alone, habits);
  // A camera that turns is turned where it is large.
  const turns = (large || alone) && !playback && !withheld && !!camera?.ptz && can("cameras.move");
  const [steers, setSteers] = useState(false);
  if (steers && !turns) setSteers(false);
  const speaks = (large || alone) && !playback && !withheld && !!camera?.talk && can("talk");
  const [talks, setTalks] = useState(false);
  if (talks && !speaks) setTalks(false);
  const { pictures, onPicture } = usePictures();
  const save = () => {
    const all = pictures();
    const shown = all.find(({ video }) => video.dataset.full !== undefined) ?? all.at(-1);
    const origin = { site: tile.site_name ?? "", camera: tile.camera_name ?? "", zone: site?.timezone ?? "", clockOffsetUs: -offUs };
    if (shown) void saveSnapshot(shown.video, shown.moment(), origin, zoom?.part());
    else say(text.board.noPicture);
  };
  // A double click is for the mouse; a finger, and whoever uses no pointer at all, make it large with one touch. While the
  // camera is turned a touch brings what it meets into the middle.
  const byFinger = useRef(false);
  const press = (event: MouseEvent) => {
    onSelect(place);
    byFinger.current = (event.nativeEvent as PointerEvent).pointerType === "touch";
    if (!steers && (event.detail === 0 || byFinger.current)) onToggle(place);
  };
  const where = { "--column": spot.column + 1, "--row": spot.row + 1, "--size": spot.size } as CSSProperties;
  return (
    <li className="board-tile" ref={frame} style={where} data-testid="board-tile" data-state={tile.state} data-camera={tile.camera} data-large={large || undefined} data-big={spot.size > 1 || undefined} data-roomy={large || alone || undefined} data-steered={steers || undefined}>
      {!of ? <Nothing tile={tile} />
        : together && withheld && site?.status === "dark" && mayCopy ? <DarkTile camera={of} withheld={withheld} together={together} onPicture={onPicture} />
          : <LiveTile camera={of} health={camera?.status} withheld={withheld} asleep={asleep} large={large && !alone} details={details} together={together} onPicture={onPicture} />}
      <button type="button" className="board-pick" tabIndex={selected ? 0 : -1} aria-label={words} aria-pressed={large} data-place={place} data-surface
        onClick={press} onDoubleClick={() => { if (!byFinger.current) onToggle(place); }} onFocus={() => onSelect(place)}
        onKeyUp={(event) => { if (event.key === " ") event.preventDefault(); }} />
      {of && (
        <div className="board-name">
          <span className="clip-text strong">{tile.camera_name}</span>
          <span className="clip-text board-site">{tile.site_name}</span>
        </div>
      )}
      {close && zoom && <div className="board-zoom"><ZoomMark zoom={zoom} /></div>}
      {turns && of && <Ptz camera={of} stage={frame} zoom={zoom} open={steers} onOpen={(open) => { setSteers(open); if (open) onSteer(); }} />}
      {of && (
        <div className="board-tools" role="toolbar" aria-label={text.board.tools(tile.camera_name ?? "")} data-kept={large || talks || undefined}>
          {large && <LinkButton small look="stage" to="/cameras/$camera" params={{ camera: of.id }} search={() => (playback ? { at: Math.round(playback.conductor.momentUs(performance.now()) - offUs) } : {})} icon={<ExternalLink size={15} aria-hidden />}>{text.board.openCamera}</LinkButton>}
          {speaks && (
            <IconButton small look={talks ? "primary" : "stage"} label={talks ? text.board.talkClose : text.board.talk} aria-expanded={talks} onPress={() => { setTalks(!talks); if (!talks) onSteer(); }} data-testid="tile-talk">
              {talks ? <X size={16} aria-hidden /> : <Mic size={16} aria-hidden />}
            </IconButton>
          )}
          {(!withheld || together) && <IconButton small look="stage" label={text.live.snapshot} excludeFromTabOrder={!selected} onPress={save} data-testid="tile-snapshot"><CameraIcon size={16} aria-hidden /></IconButton>}
          {large && !alone && <IconButton small look="stage" label={text.board.shrink} keys="Esc" onPress={() => onToggle(place)}><Minimize2 size={16} aria-hidden /></IconButton>}
        </div>
      )}
      {talks && of && <div className="board-talk on-stage"><TalkBar camera={of.id} zone={site?.timezone ?? ""} /></div>}
    </li>
  );
}

/** The videos of a tile that show a picture, as far as it has told of them; the last is the one that is seen. */
function usePictures() {
  const told = useRef<Pictured[]>([]);
  const onPicture = useCallback((picture: Pictured) => {
    told.current = [...told.current, picture];
    return () => {
      told.current = told.current.filter((known) => known !== picture);
    };
  }, []);
  const pictures = useCallback(() => told.current.filter(({ video }) => video.dataset.shown !== undefined && video.videoWidth > 0), []);
  return { pictures, onPicture };
}

/** How long a picture lasts of the stream that a tile shows of a recording. */
function lasts(camera: Camera | undefined): number | undefined {
  const fps = (camera?.streams.find(({ kind, record }) => kind === "sub" && record) ?? camera?.streams.find(({ kind }) => kind === "main"))?.fps;
  return fps ? 1_000_000 / fps : undefined;
}

function Nothing({ tile }: { tile: WallTile }) {
  const Icon = tile.state === "hidden" ? EyeOff : tile.state === "gone" ? FileX2 : undefined;
  const state = tile.state === "camera" ? "empty" : tile.state;
  return <div className="board-nothing" data-state={state}>{Icon && <Icon size={20} strokeWidth={1.6} aria-hidden />}<p>{text.board[state]}</p></div>;
}
