import { Link } from "@tanstack/react-router";
import { ChevronLeft, ChevronRight, Gauge, History, Keyboard, LayoutGrid, Maximize, Minimize, Pause, Pencil, Play } from "lucide-react";
import { Dialog as AriaDialog, DialogTrigger } from "react-aria-components/Dialog";
import { Popover } from "react-aria-components/Popover";
import { useState } from "react";

import type { WallLayout } from "../../api/types";
import { usePageKeys } from "../../lib/hooks";
import { text } from "../../text";
import { Button, IconButton, LinkButton } from "../../ui/button";
import { Menu } from "../../ui/menu";
import { layouts } from "../../wall/layout";
import type { Stop } from "../../wall/tour";
import { LayoutIcon } from "./LayoutIcon";

interface BoardBarProps {
  stop: Stop;
  /** Which of all the pages of the round this is, from 0. */
  at: number;
  count: number;
  cycle: number;
  turning: boolean;
  paused: boolean;
  full: boolean;
  /** Every tile says what was measured. */
  details: boolean;
  override: WallLayout | undefined;
  /** Plays all cameras back; absent where they are, or where this person may not. */
  onBegin: (() => void) | undefined;
  onTurn: (by: number) => void;
  onPause: () => void;
  onFull: () => void;
  onDetails: () => void;
  onLayout: (layout: WallLayout | undefined) => void;
}

/** What stands over a running wall: where one is, and what can be done. */
export function BoardBar({ stop, at, count, cycle, turning, paused, full, details, override, onBegin, onTurn, onPause, onFull, onDetails, onLayout }: BoardBarProps) {
  const [keys, showKeys] = useState(false);
  usePageKeys({ "?": () => showKeys(true) });
  return (
    <header className="board-bar" role="toolbar" aria-label={text.board.controls}>
      {!full && <Link to="/walls" className="board-up" aria-label={text.walls.title}><ChevronLeft size={20} aria-hidden /></Link>}
      <h1 className="board-title clip-text">{stop.wall.name}</h1>
      {count > 1 && (
        <div className="board-pages">
          <IconButton small look="stage" label={text.board.previous} keys="PgUp" onPress={() => onTurn(-1)} data-testid="board-previous"><ChevronLeft size={17} aria-hidden /></IconButton>
          <span className="num board-page" data-testid="board-page" aria-live={turning ? "off" : "polite"}>
            <span className="unseen">{text.board.pageOf(at + 1, count)}</span><span aria-hidden>{at + 1} / {count}</span>
          </span>
          <IconButton small look="stage" label={text.board.next} keys="PgDn" onPress={() => onTurn(1)} data-testid="board-next"><ChevronRight size={17} aria-hidden /></IconButton>
          {cycle > 0 && (
            <IconButton small look="stage" label={paused ? text.board.play : text.board.pause} keys="Space" onPress={onPause} data-testid="board-pause">
              {paused ? <Play size={16} aria-hidden /> : <Pause size={16} aria-hidden />}
            </IconButton>
          )}
        </div>
      )}
      <span className="board-space" />
      {onBegin && <Button small look="stage" icon={<History size={16} aria-hidden />} onPress={onBegin} data-testid="board-play-back">{text.together.begin}</Button>}
      <Menu label={text.board.layout} groups={[
        [{ id: "saved", label: `${text.board.asSaved}: ${text.walls.layouts[stop.wall.layout]}`, icon: <LayoutIcon layout={stop.wall.layout} width={18} />, onAction: () => onLayout(undefined) }],
        layouts.map((layout) => ({ id: layout, label: text.walls.layouts[layout] ?? layout, icon: <LayoutIcon layout={layout} width={18} />, onAction: () => onLayout(layout) })),
      ]}>
        <IconButton small look="stage" label={text.board.layout} keys="1 – 6" data-testid="board-layout">{override ? <LayoutIcon layout={override} width={20} /> : <LayoutGrid size={17} aria-hidden />}</IconButton>
      </Menu>
      <IconButton small look={details ? "primary" : "stage"} label={details ? text.live.detailsHide : text.live.detailsShow} keys="I" onPress={onDetails} data-testid="board-details"><Gauge size={17} aria-hidden /></IconButton>
      <span className="board-keys">
        <DialogTrigger isOpen={keys} onOpenChange={showKeys}>
          <IconButton small look="stage" label={text.board.shortcuts} keys="?" data-testid="board-keys"><Keyboard size={17} aria-hidden /></IconButton>
          <Popover className="popover">
            <AriaDialog className="shortcuts shortcuts-wide" data-testid="board-shortcuts" aria-label={text.board.shortcuts}>
              <KeyList keys={text.board.keys} />
              <h2 className="shortcuts-title">{text.board.playing}</h2>
              <KeyList keys={text.board.playKeys} />
            </AriaDialog>
          </Popover>
        </DialogTrigger>
      </span>
      {stop.wall.may_edit && !full && (
        <LinkButton small look="stage" to="/walls/$wall/edit" params={{ wall: stop.wall.id }} icon={<Pencil size={15} aria-hidden />} data-testid="board-edit">{text.walls.edit}</LinkButton>
      )}
      <IconButton small look="stage" label={full ? text.board.leaveFullScreen : text.board.fullScreen} keys="F" onPress={onFull} data-testid="board-full">
        {full ? <Minimize size={17} aria-hidden /> : <Maximize size={17} aria-hidden />}
      </IconButton>
      {turning && <i key={at} className="board-progress" style={{ animationDuration: `${cycle}s` }} />}
    </header>
  );
}

function KeyList({ keys }: { keys: readonly (readonly [string, string])[] }) {
  return (
    <dl>
      {keys.map(([press, what]) => (
        <div key={press}><dt>{press.split(" ").map((key) => (key === "–" ? key : <kbd key={key} className="key">{key}</kbd>))}</dt><dd>{what}</dd></div>
      ))}
    </dl>
  );
}
