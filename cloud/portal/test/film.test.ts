import { beforeEach, describe, expect, test, vi } from "vitest";

import { firstPicture, pursue } from "../src/video/film";
import type { Answer, Offer } from "../src/video/whep";

describe("the newest picture", () => {
  test("is kept up with by playing a little faster, up to a tenth", () => {
    expect(pursue(10, 5, 10.2, 1)).toEqual({ rate: 1 });
    expect(pursue(10, 5, 10.7, 1)).toEqual({ rate: 1.05 });
    expect(pursue(10, 5, 11.5, 1.05)).toEqual({ rate: 1.1 });
    expect(pursue(10, 5, 10.7, 1.1)).toEqual({ rate: 1.1 });
    expect(pursue(10, 5, 10.4, 1.1)).toEqual({ rate: 1.1 });
    expect(pursue(10, 5, 10.25, 1.1)).toEqual({ rate: 1 });
  });

  test("is jumped to when it is too far away, or behind a hole", () => {
    expect(pursue(10, 5, 13.5, 1)).toEqual({ jumpS: 13.35, rate: 1 });
    expect(pursue(10, 12, 12.04, 1)).toEqual({ jumpS: 12, rate: 1 });
    expect(pursue(0, 57, 58, 1)).toEqual({ jumpS: 57.85, rate: 1 });
  });
});

describe("a fragment", () => {
  const fragment = (track: number, ticks: bigint, flags: number) => {
    const view = new DataView(new ArrayBuffer(200));
    view.setUint32(44, track);
    view.setBigUint64(64, ticks);
    view.setUint32(100, flags);
    return view.buffer;
  };

  test("says whether it begins with a key frame, and when", () => {
    expect(firstPicture(fragment(1, 180_000n, 0x02000000))).toEqual({ atS: 2, key: true });
    expect(firstPicture(fragment(1, 9_000n, 0x01010000))).toEqual({ atS: 0.1, key: false });
    expect(firstPicture(fragment(2, 9_000n, 0x02000000))).toBeUndefined();
    expect(firstPicture(new ArrayBuffer(10))).toBeUndefined();
  });
});

describe("the way", () => {
  const offer: Offer = { camera: "cam-1", width: 1280 };
  const answer = { stream: "sub", unseen: "hvc1.1.6.L120.90" } as Answer;

  /** A browser that receives these codecs by WebRTC and plays those of which a name begins so by MP4. */
  const browser = async (receives: string[] | undefined, plays: string[]) => {
    vi.resetModules();
    vi.stubGlobal("RTCPeerConnection", receives && class {});
    vi.stubGlobal("RTCRtpReceiver", receives && { getCapabilities: () => ({ codecs: receives.map((name) => ({ mimeType: `video/${name}` })) }) });
    vi.stubGlobal("MediaSource", { isTypeSupported: (type: string) => (/"(.*)"/.exec(type)?.[1] ?? "").split(",").every((codec) => plays.some((name) => codec.startsWith(name))) });
    return import("../src/video/ways");
  };

  beforeEach(() => vi.unstubAllGlobals());

  test("is WebRTC where there is one", async () => {
    const ways = await browser(["H264"], ["avc1", "mp4a"]);
    expect(ways.whySocket("s1", offer, false)).toBeUndefined();
    expect(ways.whySocket("s1", offer, true)).toBe("sound");
    expect(ways.audible("mp4a.40.2")).toBe(true);
    expect(ways.audible("")).toBe(false);
  });

  test("is a WebSocket without WebRTC, unless nothing plays it", async () => {
    expect((await browser(undefined, ["avc1"])).whySocket("s1", offer, false)).toBe("no WebRTC");
    expect((await browser(undefined, [])).whySocket("s1", offer, false)).toBeUndefined();
  });

  test("is remembered where no path was found, for the site and then for all", async () => {
    const ways = await browser(["H264"], ["avc1"]);
    ways.noPath("s1");
    expect(ways.whySocket("s1", offer, false)).toBe("no path");
    expect(ways.whySocket("s2", offer, false)).toBeUndefined();
    ways.noPath("s2");
    expect(ways.whySocket("s3", offer, false)).toBe("no path");
    ways.retract("s3", offer);
    expect(ways.whySocket("s3", offer, false)).toBeUndefined();
    ways.noPath("s1");
    ways.noSocket();
    expect(ways.whySocket("s1", offer, false)).toBeUndefined();
  });

  test("is a WebSocket for H.265 that only that has room for, where the picture is large", async () => {
    const ways = await browser(["H264"], ["avc1", "hvc1"]);
    expect(ways.fallsShort({ ...offer, width: 320 }, answer)).toBe(false);
    expect(ways.fallsShort(offer, { ...answer, stream: "main", unseen: "" })).toBe(false);
    expect(ways.fallsShort(offer, answer)).toBe(true);
    expect(ways.whySocket("s1", offer, false)).toBe("pictures");
    expect(ways.whySocket("s1", { ...offer, width: 320 }, false)).toBeUndefined();
    ways.retract("s1", offer);
    expect(ways.whySocket("s1", offer, false)).toBeUndefined();
    expect(ways.refusedPictures(offer)).toBe(true);
    expect(ways.refusedPictures(offer)).toBe(false);
  });

  test("stays as it is where the browser plays no H.265 at all", async () => {
    expect((await browser(["H264"], ["avc1"])).fallsShort(offer, answer)).toBe(false);
  });
});
