import { beforeEach, describe, expect, test } from "vitest";

import { Moments } from "../src/video/step";
import { Conductor, limitUs, type Player } from "../src/video/together";

const second = 1_000_000;
const begin = 1_800_000_000 * second;
const wallUs = (nowMs: number) => begin + 3600 * second + nowMs * 1000;

/** A recording at a site: it comes after a while, plays at its pace times what its machine makes of it, and has a gap. */
class Site implements Player {
  prepared: number[] = [];
  paces: number[] = [];
  at = 0;
  rate = 1;
  playing = false;
  broken = false;
  comesMs = 300;
  speed = 1;
  gap: { from: number; to: number } | undefined;
  private readyMs: number | undefined;
  private targetUs = 0;
  private nowMs = 0;

  prepare(atUs: number): void {
    this.prepared.push(atUs);
    this.playing = false;
    this.readyMs = this.nowMs + this.comesMs;
    this.targetUs = atUs;
  }
  play(): void { this.playing = true; }
  hold(): void { this.playing = false; }
  pace(rate: number): void { this.rate = rate; this.paces.push(rate); }
  shown() { return this.readyMs === undefined ? { atUs: this.at, shownMs: this.nowMs } : undefined; }
  failed(): boolean { return this.broken; }
  delayMs(): number { return 40; }

  pass(ms: number): void {
    this.nowMs += ms;
    if (this.readyMs !== undefined && this.nowMs >= this.readyMs) {
      this.readyMs = undefined;
      this.at = this.targetUs;
    } else if (this.playing) this.at += ms * 1000 * this.rate * this.speed;
    if (this.gap && this.at >= this.gap.from && this.at < this.gap.to) this.at = this.gap.to;
  }
}

let nowMs: number;
let sites: Site[];
let conductor: Conductor;

beforeEach(() => {
  nowMs = 0;
  sites = [new Site(), new Site(), new Site()];
  conductor = new Conductor(begin, 0, wallUs);
});

const joinAll = () => sites.map((site) => conductor.join(site, nowMs));

function pass(ms: number): void {
  for (const end = nowMs + ms; nowMs < end; ) {
    nowMs += 20;
    for (const site of sites) site.pass(20);
    conductor.tick(nowMs);
  }
}

const drifts = () => sites.map((site) => site.at - conductor.momentUs(nowMs));
const where = () => sites.map((site) => conductor.place(site).where);

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
    expect(conductor.momentUs(nowMs) - begin).toBeGreaterThan(58 * second);
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
    conductor.seek(begin + 7 * second, nowMs);
    pass(2000);
    expect(where()[1]).toBe("gap");
    expect(sites[0]!.playing).toBe(true);
  });

  test("all stand at the same moment, and go on from there", () => {
    joinAll();
    pass(4000);
    sites[0]!.at += 0.3 * second;
    conductor.pause(nowMs);
    const at = conductor.momentUs(nowMs);
    pass(2000);
    expect(conductor.momentUs(nowMs)).toBe(at);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(100_000);
    conductor.play(nowMs);
    pass(2000);
    expect(sites.every((site) => site.playing)).toBe(true);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(100_000);
  });

  test("all are sought together, playing or not, and play faster together", () => {
    joinAll();
    pass(2000);
    conductor.seek(begin + 600 * second, nowMs);
    expect(conductor.direction().gathering).toBe(true);
    pass(2000);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(100_000);
    conductor.pace(4, nowMs);
    pass(5000);
    expect(conductor.momentUs(nowMs)).toBeGreaterThan(begin + 618 * second);
    expect(Math.max(...drifts().map(Math.abs))).toBeLessThan(4 * limitUs);
    conductor.pause(nowMs);
    conductor.seek(begin + 60 * second, nowMs);
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
    conductor.seek(wallUs(nowMs) - 30 * second, nowMs);
    conductor.pace(16, nowMs);
    pass(8000);
    expect(conductor.direction().rate).toBe(1);
    expect(wallUs(nowMs) - conductor.momentUs(nowMs)).toBeGreaterThan(9 * second);
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
});
