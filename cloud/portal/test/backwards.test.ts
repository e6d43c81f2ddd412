import { beforeEach, describe, expect, test } from "vitest";

import { type Conductor, limitUs } from "../src/video/together";
import { begin, picture, second, Site, Wall } from "./site";

let wall: Wall;
let sites: Site[];
let conductor: Conductor;
const joinAll = () => wall.joinAll();
const pass = (ms: number) => wall.pass(ms);
const drifts = () => wall.drifts();
const where = () => wall.where();

beforeEach(() => {
  wall = new Wall([new Site(), new Site(0.7 * second), new Site(1.3 * second)]);
  ({ sites, conductor } = wall);
});

describe("backwards", () => {
  /** How far the key frames were from the moment when they came to the screen. */
  const missed = (from: number) => sites.flatMap((site) => site.keys.slice(from).map(({ atUs, ms }) => Math.abs(atUs - (turnedUs + (ms - turnedMs) * 1000 * conductor.direction().rate))));
  let turnedUs: number;
  let turnedMs: number;
  const turn = (rate: number) => {
    conductor.pace(rate, wall.nowMs);
    for (const site of sites) site.keys = [];
    turnedUs = conductor.momentUs(wall.nowMs);
    turnedMs = wall.nowMs;
  };

  beforeEach(() => conductor.seek(begin + 600 * second, 0));

  test("each key frame comes to the screen when the moment has come to it, at any rate", () => {
    joinAll();
    pass(3000);
    turn(-1);
    pass(20_000);
    expect(Math.round((conductor.momentUs(wall.nowMs) - turnedUs) / second)).toBe(-20);
    expect(missed(1).length).toBeGreaterThan(20);
    expect(Math.max(...missed(1))).toBeLessThan(limitUs);
    turn(-8);
    pass(10_000);
    expect(missed(2).length).toBeGreaterThan(60);
    expect(Math.max(...missed(2))).toBeLessThan(8 * limitUs);
    expect(sites.map(({ prepared }) => prepared.length)).toEqual([1, 1, 1]);
    expect(where()).toEqual(["on", "on", "on"]);
  });

  test("those on a long line turn at the same moment, and nobody goes by what was still on its way", () => {
    sites[0]!.lagMs = 400;
    sites[2]!.lagMs = 200;
    joinAll();
    pass(3000);
    turn(-1);
    pass(5000);
    expect(missed(0).length).toBeGreaterThan(5);
    expect(Math.max(...missed(0))).toBeLessThan(60_000);
    const paces = sites.map((site) => site.paces.slice(site.paces.lastIndexOf(-1) + 1));
    expect(paces).toEqual([[], [], []]);
  });

  test("a slow one is led, though its pictures stay for long", () => {
    sites[0]!.speed = 0.97;
    sites[1]!.group = 10 * second;
    joinAll();
    pass(3000);
    turn(-1);
    pass(60_000);
    expect(Math.max(...missed(4))).toBeLessThan(limitUs);
    expect(sites.map(({ prepared }) => prepared.length)).toEqual([1, 1, 1]);
  });

  test("one that begins late is brought back, by a twentieth of the pace at a time", () => {
    joinAll();
    pass(3000);
    turn(-1);
    sites[0]!.speed = 0;
    pass(300);
    sites[0]!.speed = 1;
    pass(14_000);
    const off = sites[0]!.keys.map(({ atUs, ms }) => Math.abs(atUs - turnedUs + (ms - turnedMs) * 1000));
    expect(off[0]).toBeGreaterThan(limitUs);
    expect(off.at(-1)).toBeLessThan(60_000);
    expect(sites[0]!.prepared).toHaveLength(1);
  });

  test("forwards again all go on from the very pictures of the moment, and from a pause too", () => {
    joinAll();
    pass(2000);
    turn(-1);
    pass(5100);
    conductor.pace(1, wall.nowMs);
    const at = conductor.momentUs(wall.nowMs);
    expect(sites.map(({ prepared }) => prepared.at(-1))).toEqual([at, at, at]);
    pass(2000);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(100_000);
    turn(-2);
    pass(3000);
    conductor.pause(wall.nowMs);
    pass(2000);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(100_000);
    conductor.pace(1, wall.nowMs);
    pass(1000);
    conductor.play(wall.nowMs);
    pass(2000);
    expect(where()).toEqual(["on", "on", "on"]);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(100_000);
  });

  test("behind a gap a recording waits before it, and a seek into the gap leads there too", () => {
    sites[1]!.gap = { from: begin + 580 * second, to: begin + 590 * second };
    joinAll();
    pass(2000);
    turn(-2);
    pass(8000);
    expect(where()).toEqual(["on", "gap", "on"]);
    expect(conductor.place(sites[1]!).nextUs).toBeLessThan(begin + 580 * second);
    pass(6000);
    expect(where()).toEqual(["on", "on", "on"]);
    conductor.seek(begin + 586 * second, wall.nowMs);
    pass(2000);
    expect(where()[1]).toBe("gap");
    expect(sites[1]!.at).toBeLessThan(begin + 580 * second);
    pass(4000);
    for (const site of sites) site.keys = [];
    turn(-2);
    pass(8000);
    expect(where()).toEqual(["on", "on", "on"]);
    expect(Math.max(...missed(1))).toBeLessThan(2 * limitUs);
  });

  test("at the beginning of all of them they stop, and are told so", () => {
    sites[0]!.begins = sites[1]!.begins = sites[2]!.begins = begin + 590 * second;
    sites[1]!.begins += 4 * second;
    joinAll();
    pass(2000);
    turn(-1);
    pass(9000);
    expect(where()[1]).toBe("gap");
    expect(conductor.place(sites[1]!).nextUs).toBeUndefined();
    expect(conductor.direction().playing).toBe(true);
    pass(8000);
    expect(conductor.direction()).toMatchObject({ playing: false, rate: 1, news: { what: "beginning" } });
    conductor.play(wall.nowMs);
    pass(8000);
    expect(where()).toEqual(["on", "on", "on"]);
  });
});

describe("where nothing is recorded", () => {
  const gap = { from: begin + 605 * second, to: begin + 665 * second };

  test("a time without any picture is skipped, both ways, and told", () => {
    conductor.seek(begin + 600 * second, 0);
    for (const site of sites) site.gap = { ...gap };
    sites[1]!.gap!.to += 5 * second;
    joinAll();
    pass(9000);
    expect(conductor.direction().news).toMatchObject({ what: "skipped" });
    expect(conductor.momentUs(wall.nowMs)).toBeGreaterThan(gap.to);
    expect(where()).toEqual(["on", "gap", "on"]);
    pass(6000);
    expect(where()).toEqual(["on", "on", "on"]);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(limitUs);
    conductor.pace(-4, wall.nowMs);
    pass(9000);
    expect(conductor.momentUs(wall.nowMs)).toBeLessThan(gap.from);
    expect(where()).toEqual(["on", "on", "on"]);
  });

  test("what one of them has is not skipped", () => {
    conductor.seek(begin + 600 * second, 0);
    sites[0]!.gap = { ...gap };
    sites[1]!.gap = { ...gap };
    joinAll();
    pass(12_000);
    expect(conductor.momentUs(wall.nowMs)).toBeLessThan(begin + 615 * second);
    expect(where()).toEqual(["gap", "gap", "on"]);
  });
});

describe("a step", () => {
  test("is one picture of the recording that is followed, and the others go to the picture nearest to it", () => {
    joinAll();
    conductor.follow(sites[2]!);
    pass(3000);
    conductor.step(1, wall.nowMs);
    const from = sites[2]!.at;
    expect(conductor.direction().playing).toBe(false);
    pass(2000);
    expect(sites[2]!.at - from).toBeCloseTo(picture, -1);
    expect(conductor.momentUs(wall.nowMs)).toBe(sites[2]!.at);
    expect(sites.map(({ at }) => at)).toEqual([sites[2]!.at, sites[2]!.at, sites[2]!.at]);
    conductor.step(-1, wall.nowMs);
    conductor.step(-1, wall.nowMs);
    pass(2000);
    expect(conductor.momentUs(wall.nowMs)).toBe(sites[2]!.at);
    expect(sites[0]!.at).toBe(sites[2]!.at);
    expect(where()).toEqual(["on", "on", "on"]);
    conductor.play(wall.nowMs);
    pass(2000);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(100_000);
  });

  test("goes by another one where that has no picture of the moment, and by the clock where nobody answers", () => {
    sites[2]!.gap = { from: begin + 2 * second, to: begin + 60 * second };
    joinAll();
    conductor.follow(sites[2]!);
    pass(4000);
    conductor.pause(wall.nowMs);
    pass(1000);
    const from = sites[0]!.at;
    conductor.step(1, wall.nowMs);
    pass(1000);
    expect(sites[0]!.at - from).toBeCloseTo(picture, -1);
    expect(conductor.momentUs(wall.nowMs)).toBe(sites[0]!.at);
    sites[0]!.stepped = () => undefined;
    const at = conductor.momentUs(wall.nowMs);
    conductor.step(-1, wall.nowMs);
    pass(4000);
    expect(at - conductor.momentUs(wall.nowMs)).toBeCloseTo(picture, -1);
  });
});
