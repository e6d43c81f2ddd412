import { describe, expect, test } from "vitest";

import { SECOND } from "../src/lib/time";
import { nextRate, Playhead, readWord, turned, whyNotYet } from "../src/video/control";

describe("messages of the site", () => {
  test("a position is read", () => {
    expect(readWord('{"type":"position","at_us":1700000000000000}')).toEqual({ type: "position", at_us: 1_700_000_000_000_000 });
  });

  test("a position tells how fast it moves", () => {
    expect(readWord('{"type":"position","at_us":7,"rate":0.25}')).toEqual({ type: "position", at_us: 7, rate: 0.25 });
    expect(readWord('{"type":"position","at_us":7,"rate":-16,"steps":true}')).toEqual({ type: "position", at_us: 7, rate: -16, steps: true });
    expect(readWord('{"type":"position","at_us":7,"rate":0,"steps":1}')).toEqual({ type: "position", at_us: 7 });
  });

  test("what it says about time is read", () => {
    expect(readWord('{"type":"pong","at_us":5,"sent_us":1700000000000000}')).toEqual({ type: "pong", at_us: 5, sent_us: 1_700_000_000_000_000 });
    expect(readWord('{"type":"position","at_us":7,"rtp":4294967295,"sent_us":9}')).toEqual({ type: "position", at_us: 7, born: { rtp: 4_294_967_295, sent_us: 9, age_us: 0 } });
    expect(readWord('{"type":"position","at_us":7,"rtp":1,"sent_us":9,"age_us":3,"own_us":83000}')).toEqual({ type: "position", at_us: 7, born: { rtp: 1, sent_us: 9, age_us: 3, own_us: 83_000 } });
    expect(readWord('{"type":"pong","at_us":5}')).toBeUndefined();
  });

  test("reasons are read, cut to what a tile can hold", () => {
    expect(readWord('{"type":"state","text":"No route."}')).toEqual({ type: "state", text: "No route." });
    expect(readWord('{"type":"state"}')).toEqual({ type: "state", text: "" });
    expect(readWord('{"type":"note","text":"No room.","every_us":12000000}')).toEqual({ type: "note", text: "No room.", every_us: 12_000_000 });
    expect(readWord('{"type":"note","text":"","every_us":"soon"}')).toEqual({ type: "note", text: "" });
    expect(readWord(`{"type":"end","text":"${"x".repeat(9000)}"}`)).toEqual({ type: "end", text: "x".repeat(500) });
    expect(readWord('{"type":"gap","text":7}')).toEqual({ type: "gap", text: "" });
  });

  test("why there is no picture yet is told before the answer", () => {
    expect(whyNotYet('{"type":"state","text":"The site fetches the small stream from the camera."}')).toBe("The site fetches the small stream from the camera.");
    expect(whyNotYet('{"type":"state"}')).toBe("");
    for (const message of ['{"type":"note","text":"Less."}', '{"type":"gap"}', "{", undefined]) expect(whyNotYet(message)).toBeUndefined();
  });

  test("single pictures are read", () => {
    expect(readWord('{"type":"picture","at_us":7,"rtp":9}')).toEqual({ type: "picture", at_us: 7, rtp: 9, text: "" });
    expect(readWord('{"type":"picture","at_us":7,"rtp":9,"step":true}')).toEqual({ type: "picture", at_us: 7, rtp: 9, step: true, text: "" });
    expect(readWord('{"type":"picture","at_us":7,"text":"No video."}')).toEqual({ type: "picture", at_us: 7, text: "No video." });
    expect(readWord('{"type":"stop","at_us":7,"rtp":9,"text":"The beginning."}')).toEqual({ type: "stop", at_us: 7, text: "The beginning." });
    expect(readWord('{"type":"picture","rtp":9}')).toBeUndefined();
  });

  test("everything else is ignored", () => {
    for (const message of ["", "null", "17", '{"type":"position"}', '{"type":"position","at_us":"now"}', '{"type":"seek","at_us":1}', "{", new ArrayBuffer(4), undefined]) {
      expect(readWord(message)).toBeUndefined();
    }
  });
});

describe("rates", () => {
  test("go round in one direction", () => {
    expect([nextRate(1, 1), nextRate(16, 1), nextRate(0.25, -1), nextRate(3, 1)]).toEqual([2, 0.25, 16, 1]);
    expect([nextRate(-1, 1), nextRate(-16, 1), nextRate(-1, -1)]).toEqual([-2, -1, -16]);
  });

  test("turn round at the same speed, as far as there is one", () => {
    expect([turned(8), turned(-8), turned(0.25)]).toEqual([-8, 8, -1]);
  });
});

describe("the playhead", () => {
  const start = 1_700_000_000 * SECOND;
  test("waits at its start for the first picture, then follows the video's clock", () => {
    const head = new Playhead(start);
    expect(head.at(3)).toBe(start);
    expect(head.waiting()).toBe(true);
    head.firstFrame(3);
    expect(head.at(5)).toBe(start + 2 * SECOND);
    head.firstFrame(4);
    expect(head.at(5)).toBe(start + 2 * SECOND);
  });

  test("stands still while the video's clock does, and never runs backwards", () => {
    const head = new Playhead(start);
    head.firstFrame(10);
    expect(head.at(10)).toBe(start);
    expect(head.at(9)).toBe(start);
  });

  test("believes the site's word over its own sum", () => {
    const head = new Playhead(start);
    head.firstFrame(0);
    head.set(start + 60 * SECOND, 10);
    expect(head.at(11)).toBe(start + 61 * SECOND);
  });

  test("runs as fast as the recording is played", () => {
    const head = new Playhead(start);
    head.set(start, 10, 4);
    expect(head.at(12)).toBe(start + 8 * SECOND);
    head.set(start + 8 * SECOND, 12);
    expect(head.at(13)).toBe(start + 12 * SECOND);
  });

  test("backwards it runs backwards", () => {
    const head = new Playhead(start);
    head.set(start, 10, -2);
    expect(head.at(13)).toBe(start - 6 * SECOND);
  });

  test("is held at a picture, and goes on from a jump", () => {
    const head = new Playhead(start);
    head.set(start, 10, 4);
    head.hold(start + 7);
    expect(head.at(500)).toBe(start + 7);
    head.jump(start + SECOND);
    head.firstFrame(500);
    expect(head.at(501)).toBe(start + 2 * SECOND);
  });

  test("after a jump it stands at the target until the picture is there", () => {
    const head = new Playhead(start);
    head.firstFrame(0);
    head.jump(start + 600 * SECOND);
    expect(head.at(30)).toBe(start + 600 * SECOND);
    head.firstFrame(30);
    expect(head.at(32)).toBe(start + 602 * SECOND);
  });
});
