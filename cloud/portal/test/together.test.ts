import { beforeEach, describe, expect, test } from "vitest";

import { Moments } from "../src/video/step";
import { type Conductor, limitUs } from "../src/video/together";
import { begin, second, Site, Wall, wallUs } from "./site";

let wall: Wall;
let sites: Site[];
let conductor: Conductor;
const joinAll = () => wall.joinAll();
const pass = (ms: number) => wall.pass(ms);
const drifts = () => wall.drifts();
const where = () => wall.where();

beforeEach(() => {
  wall = new Wall([new Site(), new Site(), new Site()]);
  ({ sites, conductor } = wall);
});

describe("recordings in step", () => {
  test("all begin together, once the last of them is there", () => {
    sites[2]!.comesMs = 1500;
    joinAll();
    pass(1000);
    expect(sites.map((site) => site.playing)).toEqual([false, false, false]);
    expect(conductor.direction().gathering).toBe(true);
    pass(700);
    expect(sites.map((site) => site.playing)).toEqual([true, true, true]);
    pass(1000);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(60_000);
    expect(where()).toEqual(["on", "on", "on"]);
  });

  test("who doesn't come is not waited for, and joins the others where they are by then", () => {
    sites[1]!.comesMs = 6000;
    joinAll();
    pass(5000);
    expect(sites.map((site) => site.playing)).toEqual([true, false, true]);
    expect(where()[1]).toBe("coming");
    pass(1500);
    sites[1]!.comesMs = 800;
    pass(15_000);
    expect(sites[1]!.playing).toBe(true);
    expect(Math.abs(drifts()[1]!)).toBeLessThan(limitUs);
  });

  test("a drift is brought back by the pace, and by no more than a twentieth of it", () => {
    joinAll();
    pass(3000);
    sites[0]!.at += 0.4 * second;
    sites[1]!.at -= 0.15 * second;
    pass(1000);
    expect(conductor.place(sites[0]!).driftUs).toBeGreaterThan(limitUs);
    pass(12_000);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(30_000);
    for (const { paces, prepared } of sites) {
      expect(prepared).toHaveLength(1);
      for (const pace of paces) expect(Math.abs(pace - 1)).toBeLessThan(0.0501);
    }
  });

  test("a slow machine is led, a far one sought", () => {
    sites[0]!.speed = 0.98;
    joinAll();
    pass(30_000);
    expect(Math.abs(drifts()[0]!)).toBeLessThan(60_000);
    sites[2]!.at -= 5 * second;
    pass(3000);
    expect(sites[2]!.prepared).toHaveLength(2);
    expect(Math.abs(drifts()[2]!)).toBeLessThan(100_000);
  });

  test("who lags all the time is said to be behind, holds nobody up and is not sought again and again", () => {
    sites[1]!.speed = 0.5;
    joinAll();
    pass(60_000);
    expect(conductor.momentUs(wall.nowMs) - begin).toBeGreaterThan(58 * second);
    expect(where()).toEqual(["on", "behind", "on"]);
    expect(sites[1]!.prepared.length).toBeLessThan(8);
    sites[1]!.speed = 1;
    pass(60_000);
    expect(where()).toEqual(["on", "on", "on"]);
  });

  test("in a gap a recording waits where it goes on, and goes on with the others", () => {
    sites[1]!.gap = { from: begin + 5 * second, to: begin + 12 * second };
    joinAll();
    pass(8000);
    expect(where()).toEqual(["on", "gap", "on"]);
    expect(conductor.place(sites[1]!).nextUs).toBeGreaterThanOrEqual(begin + 12 * second);
    expect(sites[1]!.playing).toBe(false);
    pass(8000);
    expect(where()[1]).toBe("on");
    expect(Math.abs(drifts()[1]!)).toBeLessThan(limitUs);
    conductor.seek(begin + 7 * second, wall.nowMs);
    pass(2000);
    expect(where()[1]).toBe("gap");
    expect(sites[0]!.playing).toBe(true);
  });

  test("all stand at the same moment, and go on from there", () => {
    joinAll();
    pass(4000);
    sites[0]!.at += 0.3 * second;
    conductor.pause(wall.nowMs);
    const at = conductor.momentUs(wall.nowMs);
    pass(2000);
    expect(conductor.momentUs(wall.nowMs)).toBe(at);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(100_000);
    conductor.play(wall.nowMs);
    pass(2000);
    expect(sites.every((site) => site.playing)).toBe(true);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(100_000);
  });

  test("all are sought together, playing or not, and play faster together", () => {
    joinAll();
    pass(2000);
    conductor.seek(begin + 600 * second, wall.nowMs);
    expect(conductor.direction().gathering).toBe(true);
    pass(2000);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(100_000);
    conductor.pace(4, wall.nowMs);
    pass(5000);
    expect(conductor.momentUs(wall.nowMs)).toBeGreaterThan(begin + 618 * second);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(4 * limitUs);
    conductor.pause(wall.nowMs);
    conductor.seek(begin + 60 * second, wall.nowMs);
    pass(3000);
    expect(sites.map((site) => site.playing)).toEqual([false, false, false]);
    expect(sites.map((site) => site.at)).toEqual(sites.map(() => begin + 60 * second));
  });

  test("a failed one is tried again, and the newest video is not run into", () => {
    joinAll();
    pass(2000);
    sites[0]!.broken = true;
    pass(1000);
    expect(where()[0]).toBe("failed");
    sites[0]!.broken = false;
    pass(3000);
    expect(where()[0]).toBe("on");
    conductor.seek(wallUs(wall.nowMs) - 30 * second, wall.nowMs);
    conductor.pace(16, wall.nowMs);
    pass(8000);
    expect(conductor.direction().rate).toBe(1);
    expect(wallUs(wall.nowMs) - conductor.momentUs(wall.nowMs)).toBeGreaterThan(9 * second);
  });
});

describe("the moment of a picture", () => {
  test("is reckoned from the one that the site has named, at the rate that holds there", () => {
    const moments = new Moments();
    moments.expect(100);
    moments.painted(5000, 1);
    expect(moments.shown()).toBeUndefined();
    moments.hear({ type: "position", at_us: begin, rtp: 4_294_967_000, rate: 2, asked_us: 100, off_us: -3 });
    moments.painted(4_294_967_000 + 9000 - 2 ** 32, 7); // RTP time wraps
    expect(moments.shown()).toEqual({ siteUs: begin + 200_000, offUs: -3, shownMs: 7 });
    moments.hear({ type: "position", at_us: begin + second, rtp: 90_000, rate: 1, asked_us: 100 });
    expect(moments.shown()?.siteUs).toBe(begin + 200_000);
    moments.painted(90_900, 8);
    expect(moments.shown()).toEqual({ siteUs: begin + second + 10_000, offUs: undefined, shownMs: 8 });
  });

  test("is not known until there is a picture of what was asked for", () => {
    const moments = new Moments();
    moments.expect(100);
    moments.hear({ type: "position", at_us: begin, rtp: 1000, asked_us: 100 });
    moments.painted(1000, 1);
    moments.expect(200);
    expect(moments.shown()).toBeUndefined();
    moments.hear({ type: "position", at_us: begin, rtp: 2000, asked_us: 100 }); // was on its way
    moments.painted(2000, 2);
    expect(moments.shown()).toBeUndefined();
    moments.hear({ type: "position", at_us: begin + second, rtp: 3000, asked_us: 200 });
    expect(moments.shown()).toBeUndefined();
    moments.painted(3000, 3);
    expect(moments.shown()?.siteUs).toBe(begin + second);
  });

  test("of a step is what the site says of it, though its picture is later by the video's clock", () => {
    const moments = new Moments();
    moments.expect(100);
    moments.hear({ type: "position", at_us: begin, rtp: 9000, asked_us: 100, off_us: 5 });
    moments.painted(9000, 1);
    moments.painted(99_000, 2);
    moments.single(99_000, begin - second);
    expect(moments.shown()).toEqual({ siteUs: begin - second, offUs: 5, shownMs: 2 });
    moments.painted(108_000, 3);
    expect(moments.shown()?.siteUs).toBe(begin - second + 100_000);
  });
});

test("what nobody has looked at for a while does not stand in the future", () => {
  const wall = new Wall([new Site(), new Site()]);
  wall.joinAll();
  wall.conductor.seek(wallUs(0) - 60 * second, 0);
  wall.pass(2000);
  wall.conductor.pace(2, wall.nowMs);
  wall.nowMs += 300_000; // the tab was out of sight
  for (const site of wall.sites) site.pass(300_000);
  wall.pass(5000);
  const behindUs = wallUs(wall.nowMs) - wall.conductor.momentUs(wall.nowMs);
  expect(behindUs).toBeGreaterThan(5 * second);
  expect(behindUs).toBeLessThan(30 * second);
  expect(wall.conductor.direction().rate).toBe(1);
});
