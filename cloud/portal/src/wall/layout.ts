// The arithmetic of walls: how many places a layout has, where they lie, and what moves where. No camera is known here
// by more than its ID.
import type { WallLayout } from "../api/types";

/** All layouts, from one tile to 36. */
export const layouts: readonly WallLayout[] = ["1x1", "2x1", "2x2", "3x2", "1+5", "1+7", "3x3", "4x3", "4x4", "5x4", "5x5", "6x5", "6x6"];

/** Places of one wall, over all its pages. */
export const maxTiles = 36;

/** Where a place lies on its page, in columns and rows from 0, and how many it covers. */
export interface Spot {
  column: number;
  row: number;
  size: number;
}

export interface Plan {
  columns: number;
  rows: number;
  spots: readonly Spot[];
}

/** The plan of a page. With one large tile it stands top left, the small ones to its right and then below. */
export function plan(layout: WallLayout): Plan {
  const [first = 1, second = 1] = layout.split(/[x+]/).map(Number);
  if (!layout.includes("+")) {
    return { columns: first, rows: second, spots: Array.from({ length: first * second }, (_, at) => ({ column: at % first, row: Math.floor(at / first), size: 1 })) };
  }
  const side = (second + 1) / 2;
  const right = Array.from({ length: side - 1 }, (_, row) => ({ column: side - 1, row, size: 1 }));
  const below = Array.from({ length: side }, (_, column) => ({ column, row: side - 1, size: 1 }));
  return { columns: side, rows: side, spots: [{ column: 0, row: 0, size: side - 1 }, ...right, ...below] };
}

/** How many places a page of the layout has. */
export const placesOf = (layout: WallLayout): number => plan(layout).spots.length;

/** The tiles in pages, each filled up with what stands for an empty place; at least one page. */
export function pagesOf<T>(tiles: readonly T[], layout: WallLayout, empty: T): T[][] {
  const size = placesOf(layout);
  const count = Math.max(1, Math.ceil(tiles.length / size));
  return Array.from({ length: count }, (_, page) => Array.from({ length: size }, (_, at) => tiles[page * size + at] ?? empty));
}

export type Direction = "left" | "right" | "up" | "down";

/** The place that one comes to from another; the same one at the edge. A large tile is left on the side that is asked
 *  for, to the place beside its top left corner. */
export function neighbour(layout: WallLayout, from: number, direction: Direction): number {
  const { columns, rows, spots } = plan(layout);
  const spot = spots[from];
  if (!spot) return from;
  const step = { left: [-1, 0], right: [spot.size, 0], up: [0, -1], down: [0, spot.size] }[direction] as [number, number];
  const column = spot.column + step[0];
  const row = spot.row + step[1];
  if (column < 0 || row < 0 || column >= columns || row >= rows) return from;
  const at = spots.findIndex((other) => column >= other.column && column < other.column + other.size && row >= other.row && row < other.row + other.size);
  return at < 0 ? from : at;
}

/** The tiles without the empty places behind the last one. */
export function trimmed<T>(tiles: readonly T[], empty: (tile: T) => boolean): T[] {
  let length = tiles.length;
  while (length > 0 && empty(tiles[length - 1] as T)) length--;
  return tiles.slice(0, length);
}

/** The tiles with another one in a place; places before it that were not there are filled up. */
export function placed<T>(tiles: readonly T[], at: number, tile: T, empty: T): T[] {
  const next = [...tiles];
  while (next.length <= at) next.push(empty);
  next[at] = tile;
  return next;
}

/** The tiles with what stands in two places exchanged. */
export function exchanged<T>(tiles: readonly T[], from: number, to: number, empty: T): T[] {
  const moved = tiles[from] ?? empty;
  return placed(placed(tiles, from, tiles[to] ?? empty, empty), to, moved, empty);
}

/** The first place that is free, from one on and then from the start; undefined when a wall can have no more. */
export function firstFree<T>(tiles: readonly T[], empty: (tile: T) => boolean, from = 0): number | undefined {
  const free = (at: number) => at >= tiles.length || empty(tiles[at] as T);
  for (let at = from; at < maxTiles; at++) if (free(at)) return at;
  for (let at = 0; at < from; at++) if (free(at)) return at;
  return undefined;
}

/** The layout that a key stands for while a wall runs: 1 to 6 are so many columns. */
export const layoutOfKey: Readonly<Record<string, WallLayout>> = { "1": "1x1", "2": "2x2", "3": "3x3", "4": "4x4", "5": "5x5", "6": "6x6" };

/** The smallest layout that shows so many cameras on one page. */
export function layoutFor(count: number): WallLayout {
  return layouts.find((layout) => !layout.includes("+") && placesOf(layout) >= count) ?? "6x6";
}
