import { beforeEach, describe, expect, test, vi } from "vitest";

import { Film, firstPicture, pursue } from "../src/video/film";
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

const fragment = (track: number, ticks: bigint, flags: number) => {
  const view = new DataView(new ArrayBuffer(200));
  view.setUint32(44, track);
  view.setBigUint64(64, ticks);
  view.setUint32(100, flags);
  return view.buffer;
};
const keyFrame = 0x02000000;

describe("a fragment", () => {
  test("says whether it begins with a key frame, and when", () => {
    expect(firstPicture(fragment(1, 180_000n, 0x02000000))).toEqual({ atS: 2, key: true });
    expect(firstPicture(fragment(1, 9_000n, 0x01010000))).toEqual({ atS: 0.1, key: false });
    expect(firstPicture(fragment(2, 9_000n, 0x02000000))).toBeUndefined();
    expect(firstPicture(new ArrayBuffer(10))).toBeUndefined();
  });
});

describe("a film whose tracks change", () => {
  /** What is done with the browser's media sources, in order. */
  let done: string[];
  const sizes = new Map<ArrayBuffer, string>();

  class Source {
    static isTypeSupported = () => true;
    readyState = "open";
    onsourceopen: (() => void) | undefined;

    addSourceBuffer(mime: string) {
      done.push(`source of ${mime}`);
      const buffer = {
        updating: false, onupdateend: undefined as (() => void) | undefined,
        changeType: (other: string) => done.push(`change to ${other}`),
        appendBuffer: (piece: ArrayBuffer) => done.push(sizes.get(piece) ?? "?"),
      };
      return buffer;
    }
  }

  const named = (name: string, piece: ArrayBuffer) => {
    sizes.set(piece, name);
    return piece;
  };
  const opening = (name: string) => named(name, new ArrayBuffer(50));

  const filmed = () => {
    const said: string[] = [];
    const listeners = new Map<string, () => void>();
    const video = {
      paused: false, readyState: 4, autoplay: true, currentTime: 0, playbackRate: 1, srcObject: null, src: "", seeking: false, disableRemotePlayback: false,
      buffered: { length: 0 }, play: () => Promise.resolve(), removeEventListener: () => undefined,
      addEventListener: (name: string, does: () => void) => listeners.set(name, does),
    };
    const sources: Source[] = [];
    vi.stubGlobal("MediaSource", class extends Source {
      constructor() {
        super();
        sources.push(this);
      }
    });
    vi.stubGlobal("URL", { createObjectURL: () => "blob:film", revokeObjectURL: () => undefined });
    const film = new Film(() => said.push("failed"), () => said.push("anew"));
    film.attach(video as unknown as HTMLVideoElement);
    const begin = (mime: string, name: string) => {
      film.begin(mime);
      film.add(opening(name));
      const opened = sources.at(-1)?.onsourceopen;
      if (opened) sources.at(-1)!.onsourceopen = undefined; // it opens once
      opened?.();
    };
    const play = () => {
      video.paused = false;
      listeners.get("play")?.();
    };
    return { film, video, said, begin, play, sources };
  };

  beforeEach(() => {
    done = [];
    sizes.clear();
    return () => vi.unstubAllGlobals();
  });

  test("goes on in the same source with as many tracks, and in a new one with more", () => {
    const { film, begin } = filmed();
    begin("a,b", "opening 1");
    film.add(named("key 1", fragment(1, 0n, keyFrame)));
    begin("c,d", "opening 2");
    begin("c", "opening 3");
    film.close();
    expect(done).toEqual(["source of a,b", "opening 1", "key 1", "change to c,d", "opening 2", "source of c", "opening 3"]);
  });

  test("keeps the picture of one who has paused, and opens the new tracks when he goes on", () => {
    const { film, video, said, begin, play, sources } = filmed();
    begin("a,b", "opening 1");
    film.add(named("key 1", fragment(1, 0n, keyFrame)));
    video.paused = true;
    begin("a", "opening 2"); // nothing has come since the pause
    film.add(named("key 2", fragment(1, 90_000n, keyFrame)));
    begin("a,c", "opening 3");
    film.add(named("key 3", fragment(1, 180_000n, keyFrame)));
    expect(done).toEqual(["source of a,b", "opening 1", "key 1"]);
    play();
    film.add(named("picture", fragment(1, 186_000n, 0x01010000)));
    film.add(named("key 4", fragment(1, 270_000n, keyFrame)));
    expect(said).toEqual(["anew"]);
    expect(sources.length).toBe(1); // as many tracks as were shown last
    film.close();
    expect(done.slice(3)).toEqual(["change to a,c", "opening 3", "key 4"]);
  });

  test("opens the same kind again for one who has paused: the size of the pictures may be another", () => {
    const { film, video, begin, play } = filmed();
    begin("a", "opening 1");
    film.add(named("key 1", fragment(1, 0n, keyFrame)));
    video.paused = true;
    film.add(named("key 2", fragment(1, 90_000n, keyFrame)));
    begin("a", "opening 2");
    play();
    film.add(named("key 3", fragment(1, 180_000n, keyFrame)));
    film.close();
    expect(done).toEqual(["source of a", "opening 1", "key 1", "key 2", "opening 2", "key 3"]);
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
