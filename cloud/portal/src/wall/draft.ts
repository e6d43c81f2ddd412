// A wall while somebody puts it together: what stands where, and what becomes of it when it is saved.
import type { Camera, Site, Wall, WallLayout, WallPlace, WallTile } from "../api/types";
import { exchanged, firstFree, maxTiles, placed, trimmed } from "./layout";

/** What stands in a place of a draft. What one may not see keeps the place it had in the saved wall, to be found again. */
export type Piece =
  | { state: "empty" }
  | { state: "camera"; camera: string; name: string; site: string; siteName: string }
  | { state: "gone" | "hidden"; was: number };

export interface Draft {
  name: string;
  shared: boolean;
  layout: WallLayout;
  cycleS: number;
  pieces: readonly Piece[];
}

const empty: Piece = { state: "empty" };

export const blank: Draft = { name: "", shared: false, layout: "3x2", cycleS: 0, pieces: [] };

/** A saved wall as a draft. */
export function draftOf(wall: Wall): Draft {
  return { name: wall.name, shared: wall.shared, layout: wall.layout, cycleS: wall.cycle_s, pieces: wall.tiles.map(pieceOf) };
}

function pieceOf(tile: WallTile, place: number): Piece {
  if (tile.state === "camera") return { state: "camera", camera: tile.camera ?? "", name: tile.camera_name ?? "", site: tile.site ?? "", siteName: tile.site_name ?? "" };
  return tile.state === "empty" ? empty : { state: tile.state, was: place };
}

export const isEmpty = (piece: Piece | undefined): boolean => piece === undefined || piece.state === "empty";

/** The piece for a camera of a site. */
export const pieceFor = (camera: Pick<Camera, "id" | "name">, site: Pick<Site, "id" | "name">): Piece => ({ state: "camera", camera: camera.id, name: camera.name, site: site.id, siteName: site.name });

/** The tiles as the cloud takes them. */
export function placesOfDraft(draft: Draft): WallPlace[] {
  return trimmed(draft.pieces, isEmpty).map((piece) => (piece.state === "camera" ? { camera: piece.camera } : piece.state === "empty" ? {} : { keep: piece.was }));
}

const withPieces = (draft: Draft, pieces: readonly Piece[]): Draft => ({ ...draft, pieces: trimmed(pieces, isEmpty) });

/** Puts a piece into a place, whatever stood there. */
export function put(draft: Draft, at: number, piece: Piece): Draft {
  return at >= maxTiles ? draft : withPieces(draft, placed(draft.pieces, at, piece, empty));
}

/** Puts pieces into free places from one on; those for which there is no room are left out. `last` is where the last went. */
export function fillIn(draft: Draft, from: number, pieces: readonly Piece[]): { draft: Draft; last: number | undefined; left: number } {
  let next = draft;
  let last: number | undefined;
  let left = 0;
  for (const piece of pieces) {
    const at = firstFree(next.pieces, isEmpty, last === undefined ? from : last + 1);
    if (at === undefined) {
      left++;
      continue;
    }
    next = put(next, at, piece);
    last = at;
  }
  return { draft: next, last, left };
}

export const takeOff = (draft: Draft, at: number): Draft => put(draft, at, empty);

/** Exchanges what stands in two places. */
export function swap(draft: Draft, from: number, to: number): Draft {
  return from === to || to < 0 || to >= maxTiles ? draft : withPieces(draft, exchanged(draft.pieces, from, to, empty));
}

/** Whether two drafts would be saved as the same wall. */
export function same(a: Draft, b: Draft): boolean {
  return a.name.trim() === b.name.trim() && a.shared === b.shared && a.layout === b.layout && a.cycleS === b.cycleS && JSON.stringify(placesOfDraft(a)) === JSON.stringify(placesOfDraft(b));
}

/** The pages that the editor shows: as many as are used, and one more while the last one is full. */
export function draftPages(draft: Draft, perPage: number): number {
  const used = draft.pieces.length;
  const pages = Math.max(1, Math.ceil(used / perPage));
  const full = used > 0 && used % perPage === 0 && draft.pieces.every((piece) => !isEmpty(piece));
  return Math.min(Math.ceil(maxTiles / perPage), full ? pages + 1 : pages);
}
