import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Clip } from "../src/api/types";
import type { ClipVoice } from "../src/video/clipVoice";
import { copiesOf } from "../src/video/copies";

const second = 1_000_000;
const clip = { id: "clp-1", camera: "cam-1", stream: "main", start_us: 100 * second, end_us: 110 * second, gaps: [], playable: true } as unknown as Clip;

/** What a voice has of the browser's video element. */
class Video extends EventTarget {
  src = "";
  readyState = 0;
  videoWidth = 1280;
  currentTime = 0;
  paused = true;
  error = null;
  dataset = {};
  load() {}
  play() {
    this.paused = false;
    return Promise.resolve();
  }
  pause() { this.paused = true; }
  removeAttribute() { this.src = ""; }
  /** What it was to load is there. */
  loads() {
    this.readyState = 1;
    this.dispatchEvent(new Event("loadedmetadata"));
  }
}

let video: Video;
let voice: ClipVoice;

beforeEach(async () => {
  vi.stubGlobal("document", { querySelector: () => null });
  vi.stubGlobal("HTMLMediaElement", { HAVE_METADATA: 1 });
  video = new Video();
  const { ClipVoice } = await import("../src/video/clipVoice");
  voice = new ClipVoice(video as unknown as HTMLVideoElement, { current: { offUs: 2 * second } });
});
afterEach(() => {
  voice.close();
  vi.unstubAllGlobals();
});

describe("clips of the cloud, played", () => {
  test("a moment that was asked for before the clips were known is gone to once they are", () => {
    voice.prepare(107 * second, false); // 105 s by the site's clock
    expect(voice.state()).toBe("none");
    voice.have([]);
    expect(voice.state()).toBe("none");
    voice.have(copiesOf([clip], "cam-1"));
    expect(voice.state()).toBe("loading");
    expect(video.src).toContain(clip.id);
    video.loads();
    expect(video.currentTime).toBeCloseTo(5, 6);
    expect(voice.atUs()).toBe(105 * second);
  });

  test("behind the last clip nothing is shown, until a further one is stored", () => {
    voice.have(copiesOf([clip], "cam-1"));
    voice.prepare(113 * second, false);
    expect(voice.state()).toBe("none");
    const next = { ...clip, id: "clp-2", start_us: 110 * second, end_us: 120 * second };
    voice.have(copiesOf([clip, next], "cam-1"));
    expect(voice.state()).toBe("loading");
    expect(video.src).toContain("clp-2");
    video.loads();
    expect(video.currentTime).toBeCloseTo(1, 6);
  });

  test("clips that come later leave alone what is shown", () => {
    voice.prepare(107 * second, false);
    voice.have(copiesOf([clip], "cam-1"));
    voice.prepare(103 * second, false);
    video.loads();
    voice.have(copiesOf([clip, { ...clip, id: "clp-2", start_us: 120 * second, end_us: 130 * second }], "cam-1"));
    expect(voice.atUs()).toBe(101 * second);
    expect(video.src).toContain(clip.id);
  });
});
