import { ChevronLeft, ChevronRight, EyeOff, FileX2, Plus, X } from "lucide-react";
import { type CSSProperties, type KeyboardEvent, useEffect, useRef, useState } from "react";

import { text } from "../../text";
import { IconButton } from "../../ui/button";
import { Still } from "../../video/Still";
import { type Draft, draftPages, isEmpty, type Piece } from "../../wall/draft";
import { type Direction, maxTiles, neighbour, plan, type Spot } from "../../wall/layout";

interface PlanGridProps {
  draft: Draft;
  selected: number;
  /** What is being dragged: a camera of the tree, or the place of one on the wall. */
  dragged: Piece | number | undefined;
  onSelect: (place: number) => void;
  onDrag: (place: number | undefined) => void;
  onDrop: (place: number) => void;
  onSwap: (from: number, to: number) => void;
  onTakeOff: (place: number) => void;
}

const directions: Record<string, Direction> = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };

/** The pages of a wall while it is put together, place by place. */
export function PlanGrid(props: PlanGridProps) {
  const { draft, selected } = props;
  const { columns, rows, spots } = plan(draft.layout);
  const pages = draftPages(draft, spots.length);
  const grid = useRef<HTMLDivElement>(null);
  const byKey = useRef(false);
  useEffect(() => {
    if (byKey.current) grid.current?.querySelector<HTMLElement>(`[data-place="${selected}"]`)?.focus();
    byKey.current = false;
  }, [selected, draft]);

  const press = (event: KeyboardEvent) => {
    const direction = directions[event.key];
    if (direction) {
      event.preventDefault();
      const to = step(draft, selected, direction, pages * spots.length);
      if (to === selected) return;
      byKey.current = true;
      if (event.shiftKey) props.onSwap(selected, to);
      else props.onSelect(to);
    } else if ((event.key === "Delete" || event.key === "Backspace") && !isEmpty(draft.pieces[selected])) {
      event.preventDefault();
      byKey.current = true;
      props.onTakeOff(selected);
    }
  };
  const frame = { "--columns": columns, "--rows": rows } as CSSProperties;
  return (
    <div className="plan-pages" ref={grid} onKeyDown={press} data-testid="plan">
      {Array.from({ length: pages }, (_, page) => (
        <section key={page} className="plan-page" aria-label={text.wallEdit.page(page + 1)}>
          {pages > 1 && <h3>{text.wallEdit.page(page + 1)}</h3>}
          <ul className="plan-grid" style={frame}>
            {spots.map((spot, at) => {
              const place = page * spots.length + at;
              return place < maxTiles && <Place key={place} {...props} place={place} spot={spot} />;
            })}
          </ul>
        </section>
      ))}
    </div>
  );
}

/** The place that an arrow leads to; from the edge of a page to the next or the previous one. */
function step(draft: Draft, from: number, direction: Direction, count: number): number {
  const size = plan(draft.layout).spots.length;
  const page = Math.floor(from / size);
  const to = page * size + neighbour(draft.layout, from % size, direction);
  const end = Math.min(count, maxTiles) - 1;
  if (to !== from) return Math.min(to, end);
  if (direction === "right" || direction === "down") return Math.min((page + 1) * size, end);
  return page > 0 ? page * size - 1 : from;
}

function Place({ draft, place, spot, selected, dragged, onSelect, onDrag, onDrop, onSwap, onTakeOff }: PlanGridProps & { place: number; spot: Spot }) {
  const [over, setOver] = useState(false);
  const piece = draft.pieces[place];
  const empty = isEmpty(piece);
  const what = pieceWords(piece);
  const where = { "--column": spot.column + 1, "--row": spot.row + 1, "--size": spot.size } as CSSProperties;
  return (
    <li className="plan-place" style={where} data-testid="plan-place" data-state={piece?.state ?? "empty"} data-camera={piece?.state === "camera" ? piece.camera : undefined}
      data-empty={empty || undefined} data-selected={selected === place || undefined} data-over={(over && dragged !== undefined) || undefined}
      onDragOver={(event) => { if (dragged !== undefined) { event.preventDefault(); setOver(true); } }} onDragLeave={() => setOver(false)}
      onDrop={(event) => { event.preventDefault(); setOver(false); onDrop(place); }}>
      {piece?.state === "camera" && <Still plain camera={piece.camera} name={piece.name} />}
      <div role="button" className="plan-pick" data-place={place} tabIndex={selected === place ? 0 : -1} draggable={!empty} aria-pressed={selected === place}
        aria-label={text.wallEdit.place(place + 1, what)} onClick={() => onSelect(place)} onFocus={() => onSelect(place)} onDragEnd={() => onDrag(undefined)}
        onDragStart={(event) => {
          event.dataTransfer.effectAllowed = "move";
          event.dataTransfer.setData("text/plain", what);
          onDrag(place);
        }}>
        {empty ? <Plus size={18} strokeWidth={1.6} aria-hidden /> : piece?.state === "gone" ? <FileX2 size={18} aria-hidden /> : piece?.state === "hidden" ? <EyeOff size={18} aria-hidden /> : null}
      </div>
      {!empty && (
        <>
          <div className="plan-words">
            {piece?.state === "camera" ? <><span className="clip-text strong">{piece.name}</span><span className="clip-text">{piece.siteName}</span></> : <span>{what}</span>}
          </div>
          <div className="plan-tools">
            {place > 0 && <span className="btn-move"><IconButton small look="stage" label={text.wallEdit.earlier} keys="⇧←" onPress={() => onSwap(place, place - 1)}><ChevronLeft size={15} aria-hidden /></IconButton></span>}
            {place + 1 < maxTiles && <span className="btn-move"><IconButton small look="stage" label={text.wallEdit.later} keys="⇧→" onPress={() => onSwap(place, place + 1)}><ChevronRight size={15} aria-hidden /></IconButton></span>}
            <IconButton small look="stage" label={text.wallEdit.remove(what)} onPress={() => onTakeOff(place)} data-testid="take-off"><X size={15} aria-hidden /></IconButton>
          </div>
        </>
      )}
    </li>
  );
}

/** What stands in a place, in words. */
export function pieceWords(piece: Piece | undefined): string {
  if (!piece || piece.state === "empty") return text.wallEdit.emptyPlace;
  return piece.state === "camera" ? text.board.tile(piece.name, piece.siteName) : text.board[piece.state];
}
