// Stills: one key frame per camera, fetched when it is looked at, decoded in the browser, kept in memory only.
import { raw } from "../api/client";
import { ApiError, words } from "../api/errors";
import { isH265 } from "../lib/format";
import { nowUs } from "../lib/time";
import { text } from "../text";

export interface Still {
  /** The newest picture, if there ever was one. */
  picture: ImageBitmap | undefined;
  /** When the picture was taken. */
  atUs: number;
  /** When it was asked for last. */
  askedUs: number;
  busy: boolean;
  /** Why there is no newer picture, for a person. */
  reason: string;
}

const none: Still = { picture: undefined, atUs: 0, askedUs: 0, busy: false, reason: "" };

/** How many stills are fetched at a time: the site's line is narrow, and the browser's connections are few. */
const atOnce = 2;

/** Pixels across of a still that is kept: tiles are not larger, and a page has many. */
const mostWidth = 960;

class Stills {
  private readonly known = new Map<string, Still>();
  private readonly listeners = new Map<string, Set<() => void>>();
  private readonly queue: string[] = [];
  private running = 0;

  get(camera: string): Still {
    return this.known.get(camera) ?? none;
  }

  subscribe(camera: string, tell: () => void): () => void {
    const set = this.listeners.get(camera) ?? new Set();
    this.listeners.set(camera, set);
    set.add(tell);
    return () => set.delete(tell);
  }

  /** Asks for a new still, unless one is already asked for or the last is younger than `maxAgeMs`. */
  want(camera: string, maxAgeMs: number): void {
    const still = this.get(camera);
    if (still.busy || nowUs() - still.askedUs < maxAgeMs * 1000) return;
    this.set(camera, { busy: true, askedUs: nowUs() });
    this.queue.push(camera);
    this.pump();
  }

  /** Takes back a wish that has not begun: the tile left the screen. */
  unwant(camera: string): void {
    const at = this.queue.indexOf(camera);
    if (at < 0) return;
    this.queue.splice(at, 1);
    this.set(camera, { busy: false, askedUs: 0 });
  }

  private pump(): void {
    while (this.running < atOnce) {
      const camera = this.queue.shift();
      if (camera === undefined) return;
      this.running++;
      void this.fetch(camera).finally(() => {
        this.running--;
        this.pump();
      });
    }
  }

  private async fetch(camera: string): Promise<void> {
    try {
      if (typeof VideoDecoder === "undefined") throw new ApiError(501, text.still.noDecoder);
      const response = await raw(`/cameras/${encodeURIComponent(camera)}/still`);
      const codec = response.headers.get("Holdfast-Codec") ?? "";
      const size = { width: Number(response.headers.get("Holdfast-Width")), height: Number(response.headers.get("Holdfast-Height")) };
      const picture = await decode(new Uint8Array(await response.arrayBuffer()), codec, size);
      this.get(camera).picture?.close();
      this.set(camera, { picture, atUs: Number(response.headers.get("Holdfast-At-Us")) || nowUs(), reason: "" });
    } catch (error) {
      this.set(camera, { reason: words(error) });
    } finally {
      this.set(camera, { busy: false });
    }
  }

  private set(camera: string, change: Partial<Still>): void {
    this.known.set(camera, { ...this.get(camera), ...change });
    for (const tell of this.listeners.get(camera) ?? []) tell();
  }
}

export const stills = new Stills();

/** Decodes one key frame in Annex B form; a decoder without a description takes exactly that. */
async function decode(frame: Uint8Array<ArrayBuffer>, codec: string, size: { width: number; height: number }): Promise<ImageBitmap> {
  const config: VideoDecoderConfig = {
    codec, optimizeForLatency: true,
    ...(size.width > 0 && size.height > 0 ? { codedWidth: size.width, codedHeight: size.height } : {}),
  };
  const support = await VideoDecoder.isConfigSupported(config).catch(() => ({ supported: false }));
  if (!support.supported) throw new ApiError(501, isH265(codec) ? text.still.h265 : text.still.noPicture);
  return await new Promise<ImageBitmap>((done, failed) => {
    const fault = () => failed(new ApiError(502, text.still.noPicture));
    const decoder = new VideoDecoder({
      output: (picture) => {
        createImageBitmap(picture, picture.displayWidth > mostWidth ? { resizeWidth: mostWidth } : {}).then(done, fault).finally(() => picture.close());
      },
      error: fault,
    });
    decoder.configure(config);
    decoder.decode(new EncodedVideoChunk({ type: "key", timestamp: 0, data: frame }));
    // A frame that the decoder swallows without a word would otherwise never end the wait.
    decoder.flush().then(() => { setTimeout(fault, 1000); decoder.close(); }, fault);
  });
}
