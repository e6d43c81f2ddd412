import { describe, expect, test } from "vitest";

import type { Wall, WallTile } from "../src/api/types";
import { blank, type Draft, draftOf, draftPages, fillIn, type Piece, pieceFor, placesOfDraft, put, same, swap, takeOff } from "../src/wall/draft";
import { exchanged, firstFree, layoutFor, layouts, maxTiles, neighbour, pagesOf, placed, placesOf, plan, trimmed } from "../src/wall/layout";
import { after, cycleOf, resumed, stops } from "../src/wall/tour";

describe("layouts", () => {
  test("every layout covers its page once, without a hole", () => {
    for (const layout of layouts) {
      const { columns, rows, spots } = plan(layout);
      const cells = new Set<string>();
      for (const { column, row, size } of spots) {
        for (let x = 0; x < size; x++) for (let y = 0; y < size; y++) cells.add(`${column + x} ${row + y}`);
      }
      const area = spots.reduce((sum, spot) => sum + spot.size ** 2, 0);
      expect([layout, cells.size, area]).toEqual([layout, columns * rows, columns * rows]);
    }
    expect(layouts.map(placesOf)).toEqual([1, 2, 4, 6, 6, 8, 9, 12, 16, 20, 25, 30, 36]);
  });

  test("arrows go where the eye does, around a large tile too, and stop at the edge", () => {
    expect(neighbour("3x2", 0, "right")).toBe(1);
    expect(neighbour("3x2", 1, "down")).toBe(4);
    expect(neighbour("3x2", 2, "right")).toBe(2);
    expect(neighbour("3x2", 4, "down")).toBe(4);
    // 0 is two by two; 1 and 2 stand at its right, 3 4 5 below.
    expect(neighbour("1+5", 0, "right")).toBe(1);
    expect(neighbour("1+5", 2, "left")).toBe(0);
    expect(neighbour("1+5", 0, "down")).toBe(3);
    expect(neighbour("1+5", 4, "up")).toBe(0);
    expect(neighbour("1+5", 5, "up")).toBe(2);
    expect(neighbour("1+5", 2, "down")).toBe(5);
    expect(neighbour("2x2", 9, "down")).toBe(9);
  });

  test("tiles are put into pages", () => {
    expect(pagesOf([1, 2, 3, 4, 5], "2x2", 0)).toEqual([[1, 2, 3, 4], [5, 0, 0, 0]]);
    expect(pagesOf([], "2x1", 0)).toEqual([[0, 0]]);
    expect(pagesOf([1, 2], "2x1", 0)).toHaveLength(1);
  });

  test("the smallest layout that shows them all", () => {
    expect([1, 2, 3, 4, 5, 7, 16, 17, 36, 99].map(layoutFor)).toEqual(["1x1", "2x1", "2x2", "2x2", "3x2", "3x3", "4x4", "5x4", "6x6", "6x6"]);
  });

  test("tiles are placed, exchanged and trimmed", () => {
    expect(placed([1], 3, 9, 0)).toEqual([1, 0, 0, 9]);
    expect(exchanged([1, 2], 0, 3, 0)).toEqual([0, 2, 0, 1]);
    expect(trimmed([0, 1, 0, 0], (tile) => tile === 0)).toEqual([0, 1]);
    const empty = (tile: number) => tile === 0;
    expect(firstFree([1, 0, 3], empty)).toBe(1);
    expect(firstFree([1, 0, 3], empty, 2)).toBe(3);
    expect(firstFree([0, ...Array.from({ length: maxTiles - 1 }, () => 1)], empty, 5)).toBe(0);
    expect(firstFree(Array.from({ length: maxTiles }, () => 1), empty)).toBeUndefined();
  });
});

const tile = (camera: string): WallTile => ({ state: "camera", camera, camera_name: camera.toUpperCase(), site: "s", site_name: "Harbour" });
const wall = (id: string, layout: Wall["layout"], tiles: WallTile[], cycle = 0): Wall => ({
  id, name: id, shared: false, mine: true, may_edit: true, owner_name: "Ana", owner_left: false, layout, cycle_s: cycle, tiles, version: 3, created_us: 1, changed_us: 1,
});

describe("a round of walls", () => {
  const first = wall("first", "2x1", [tile("a"), tile("b"), { state: "empty" }, { state: "empty" }, tile("c")], 30);
  const second = wall("second", "1x1", [], 10);

  test("goes through the pages of each, past those that are empty", () => {
    const round = stops([first, second]);
    expect(round.map((stop) => [stop.wall.id, stop.page, stop.pages, stop.tiles.map(({ camera }) => camera ?? "-").join("")])).toEqual([
      ["first", 0, 2, "ab"], ["first", 1, 2, "c-"], ["second", 0, 1, "-"],
    ]);
    expect(stops([first], "3x3").map((stop) => stop.layout)).toEqual(["3x3"]);
  });

  test("turns around the end, both ways", () => {
    expect([after(0, 1, 3), after(2, 1, 3), after(0, -1, 3), after(0, 1, 0)]).toEqual([1, 0, 2, 0]);
  });

  test("stays where it is when walls change under way", () => {
    expect(resumed(stops([first, second]), "second", 0)).toBe(2);
    expect(resumed(stops([wall("first", "2x1", [tile("a")]), second]), "first", 1)).toBe(0);
    expect(resumed(stops([second]), "first", 1)).toBe(0);
  });

  test("each page stays as long as was asked, else as its wall says", () => {
    const [stop] = stops([first]);
    expect([cycleOf(stop, undefined), cycleOf(stop, 5), cycleOf(undefined, undefined)]).toEqual([30, 5, 0]);
  });
});

describe("a wall that is put together", () => {
  const piece = (name: string): Piece => pieceFor({ id: name, name }, { id: "s", name: "Harbour" });
  const names = (draft: Draft) => draft.pieces.map((p) => (p.state === "camera" ? p.camera : p.state === "empty" ? "-" : "?")).join("");
  const of = (...cameras: string[]): Draft => cameras.reduce((draft, camera, at) => put(draft, at, piece(camera)), blank);

  test("is saved as it was loaded, with what one may not see", () => {
    const loaded = wall("w", "2x2", [tile("a"), { state: "hidden" }, { state: "empty" }, { state: "gone" }], 20);
    const draft = draftOf(loaded);
    expect(placesOfDraft(draft)).toEqual([{ camera: "a" }, { keep: 1 }, {}, { keep: 3 }]);
    expect(placesOfDraft(swap(draft, 0, 1))).toEqual([{ keep: 1 }, { camera: "a" }, {}, { keep: 3 }]);
    expect(placesOfDraft(takeOff(draft, 3))).toEqual([{ camera: "a" }, { keep: 1 }]);
  });

  test("cameras go into the chosen place and the free ones after it", () => {
    const { draft, last, left } = fillIn(put(blank, 3, piece("d")), 2, [piece("a"), piece("b")]);
    expect([names(draft), last, left]).toEqual(["--adb", 4, 0]);
    const full = fillIn(blank, 0, Array.from({ length: maxTiles + 2 }, (_, at) => piece(`c${at}`)));
    expect([full.draft.pieces.length, full.left]).toEqual([maxTiles, 2]);
  });

  test("moving exchanges two places and never leaves the wall", () => {
    expect(names(swap(of("a", "b", "c"), 0, 2))).toBe("cba");
    expect(names(swap(of("a", "b"), 1, 4))).toBe("a---b");
    const one = of("a");
    expect(swap(one, 0, -1)).toBe(one);
    expect(swap(one, 0, maxTiles)).toBe(one);
    expect(put(one, maxTiles, piece("b"))).toBe(one);
  });

  test("a further page is offered once the last one is full", () => {
    expect(draftPages(blank, 2)).toBe(1);
    expect(draftPages(of("a", "b"), 2)).toBe(2);
    expect(draftPages(takeOff(of("a", "b"), 0), 2)).toBe(1);
    expect(draftPages(of(...Array.from({ length: maxTiles }, (_, at) => `c${at}`)), 36)).toBe(1);
    expect(draftPages(of(...Array.from({ length: maxTiles }, (_, at) => `c${at}`)), 20)).toBe(2);
  });

  test("knows whether anything was changed", () => {
    const draft = of("a", "b");
    expect(same(draft, { ...draft, name: "  " })).toBe(true);
    expect(same(draft, swap(swap(draft, 0, 1), 0, 1))).toBe(true);
    expect(same(draft, swap(draft, 0, 1))).toBe(false);
    expect(same(draft, { ...draft, layout: "6x6" })).toBe(false);
  });
});
