import { describe, expect, test } from "vitest";

import { SECOND } from "../src/lib/time";
import { Playhead, readWord } from "../src/video/control";

describe("messages of the site", () => {
  test("a position is read", () => {
    expect(readWord('{"type":"position","at_us":1700000000000000}')).toEqual({ type: "position", at_us: 1_700_000_000_000_000 });
  });

  test("a position tells how fast it moves", () => {
    expect(readWord('{"type":"position","at_us":7,"rate":0.25}')).toEqual({ type: "position", at_us: 7, rate: 0.25 });
    expect(readWord('{"type":"position","at_us":7,"rate":-1}')).toEqual({ type: "position", at_us: 7 });
  });

  test("what it says about time is read", () => {
    expect(readWord('{"type":"pong","at_us":5,"sent_us":1700000000000000}')).toEqual({ type: "pong", at_us: 5, sent_us: 1_700_000_000_000_000 });
    expect(readWord('{"type":"position","at_us":7,"rtp":4294967295,"sent_us":9}')).toEqual({ type: "position", at_us: 7, born: { rtp: 4_294_967_295, sent_us: 9, age_us: 0 } });
    expect(readWord('{"type":"pong","at_us":5}')).toBeUndefined();
  });

  test("reasons are read, cut to what a tile can hold", () => {
    expect(readWord('{"type":"state","text":"No route."}')).toEqual({ type: "state", text: "No route." });
    expect(readWord('{"type":"state"}')).toEqual({ type: "state", text: "" });
    expect(readWord(`{"type":"end","text":"${"x".repeat(9000)}"}`)).toEqual({ type: "end", text: "x".repeat(500) });
    expect(readWord('{"type":"gap","text":7}')).toEqual({ type: "gap", text: "" });
  });

  test("everything else is ignored", () => {
    for (const message of ["", "null", "17", '{"type":"position"}', '{"type":"position","at_us":"now"}', '{"type":"seek","at_us":1}', "{", new ArrayBuffer(4), undefined]) {
      expect(readWord(message)).toBeUndefined();
    }
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

  test("after a jump it stands at the target until the picture is there", () => {
    const head = new Playhead(start);
    head.firstFrame(0);
    head.jump(start + 600 * SECOND);
    expect(head.at(30)).toBe(start + 600 * SECOND);
    head.firstFrame(30);
    expect(head.at(32)).toBe(start + 602 * SECOND);
  });
});
