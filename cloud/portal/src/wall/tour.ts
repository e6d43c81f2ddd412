// The order in which pages are shown: those of one wall, or those of several, one after the other.
import type { Wall, WallLayout, WallTile } from "../api/types";
import { pagesOf } from "./layout";

/** One page of one wall. */
export interface Stop {
  wall: Wall;
  layout: WallLayout;
  page: number;
  pages: number;
  tiles: readonly WallTile[];
}

const empty: WallTile = { state: "empty" };

/** Every page of the walls, in their order; `layout` takes the place of the walls' own. Pages on which nothing stands
 *  are left out, but for a wall that has nothing else. */
export function stops(walls: readonly Wall[], layout?: WallLayout): Stop[] {
  return walls.flatMap((wall) => {
    const shape = layout ?? wall.layout;
    const all = pagesOf<WallTile>(wall.tiles, shape, empty);
    const full = all.filter((tiles) => tiles.some((tile) => tile.state !== "empty"));
    const pages = full.length > 0 ? full : all.slice(0, 1);
    return pages.map((tiles, page) => ({ wall, layout: shape, page, pages: pages.length, tiles }));
  });
}

/** The stop after another, around the end. */
export const after = (at: number, by: number, count: number): number => (count === 0 ? 0 : (((at + by) % count) + count) % count);

/** Where to go on when the stops have changed under way: to the same page of the same wall, else as near to it as can be. */
export function resumed(stops: readonly Stop[], wall: string | undefined, page: number): number {
  const first = stops.findIndex((stop) => stop.wall.id === wall);
  return first < 0 ? 0 : first + Math.min(page, (stops[first]?.pages ?? 1) - 1);
}

/** How long each page is shown, in seconds: as asked, else as its wall says; 0 until somebody turns it. */
export const cycleOf = (stop: Stop | undefined, asked: number | undefined): number => asked ?? stop?.wall.cycle_s ?? 0;

/** The intervals that are offered, in seconds. */
export const intervals: readonly number[] = [5, 10, 15, 20, 30, 60, 120, 300];
