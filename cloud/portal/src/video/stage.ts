// What can be done to the video element on a stage, by its buttons and by keys alike.
import { clockSeconds, dateInput } from "../lib/time";
import { corrected, type Moment, type Origin, shortened, told } from "./stamp";
import type { Part } from "./zoom";

const soundKey = "holdfast.sound";

/** Switches the sound on or off, and keeps the choice in this browser. */
export function toggleMute(video: HTMLVideoElement): void {
  video.muted = !video.muted;
  try {
    localStorage.setItem(soundKey, video.muted ? "off" : "on");
  } catch {
    // Storage is blocked: the choice holds until the page is left.
  }
}

/** Switches the sound on where somebody has chosen that before, and has done something on this page: before that a browser
 *  plays nothing that can be heard. */
export function recallSound(video: HTMLVideoElement): void {
  try {
    if (localStorage.getItem(soundKey) === "on" && navigator.userActivation?.hasBeenActive) video.muted = false;
  } catch {
    // Storage is blocked: it begins without.
  }
}

export function toggleFullScreen(video: HTMLVideoElement): void {
  if (document.fullscreenElement) {
    void document.exitFullscreen();
    return;
  }
  const stage = video.closest<HTMLElement>(".player") ?? video;
  if (stage.requestFullscreen) void stage.requestFullscreen().catch(() => undefined);
  // An iPhone has no full screen but the video's own.
  else (video as unknown as { webkitEnterFullscreen?: () => void }).webkitEnterFullscreen?.();
}

/** A video that shows a picture, and the moment of that. */
export interface Pictured {
  video: HTMLVideoElement;
  moment: () => Moment;
}

/** Saves what is seen of the picture on the stage, or the whole of it, with a band under it that says of whom and when. */
export async function saveSnapshot(video: HTMLVideoElement, moment: Moment, origin: Origin, seen?: Part): Promise<void> {
  const picture = stamped(video, moment, origin, seen);
  const blob = await new Promise<Blob | null>((done) => picture.toBlob(done, "image/jpeg", 0.92));
  if (!blob) return;
  const atUs = corrected(moment, origin.clockOffsetUs);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${origin.site} ${origin.camera} ${dateInput(atUs, origin.zone)} ${clockSeconds(atUs, origin.zone).replaceAll(":", ".")}.jpg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** A small part is saved larger, by a whole number of times, so that there is room for what stands under it. */
const leastWidth = 640;
/** The most of the width that the words about the moment take. */
const momentShare = 0.62;
const colours = { ground: "#0b1111", ink: "#eef4f2", soft: "#b3c1bd" };
const face = "system-ui, sans-serif";

/** The picture with its band. The band lies under it, not on it: it hides nothing, and can be read whatever is above. */
function stamped(video: HTMLVideoElement, moment: Moment, origin: Origin, seen?: Part): HTMLCanvasElement {
  const part = seen ?? { x: 0, y: 0, width: video.videoWidth, height: video.videoHeight };
  const times = Math.ceil(leastWidth / part.width);
  const [width, height] = [part.width * times, part.height * times];
  const lines = told(moment, origin, part, { width: video.videoWidth, height: video.videoHeight });
  const size = Math.round(width / 48);
  const pad = Math.round(size * 0.8);
  const lead = Math.round(size * 1.4);

  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height + 2 * pad + lines.length * lead;
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  context.imageSmoothingQuality = "high";
  context.fillStyle = colours.ground;
  context.fillRect(0, height, width, canvas.height - height);
  context.drawImage(video, part.x, part.y, part.width, part.height, 0, 0, width, height);

  context.textBaseline = "middle";
  const line = (words: string, at: number, room: number, align: CanvasTextAlign): number => {
    context.font = at === 0 ? `600 ${size}px ${face}` : `${Math.round(size * 0.8)}px ${face}`;
    context.fillStyle = at === 0 ? colours.ink : colours.soft;
    context.textAlign = align;
    const widthOf = (words: string) => context.measureText(words).width;
    const short = shortened(words, room, widthOf);
    context.fillText(short, align === "left" ? pad : width - pad, height + pad + (at + 0.5) * lead);
    return widthOf(short);
  };
  const taken = Math.max(...lines.map((words, at) => line(words, at, width * momentShare, "right")));
  [origin.camera, origin.site].forEach((words, at) => line(words, at, width - taken - 3 * pad, "left"));
  return canvas;
}

const firstRelayedMs = 8_000;

/** Whether a picture comes in; false when none does in time. */
export function hasPicture(media: MediaStream): Promise<boolean> {
  const probe = document.createElement("video");
  probe.muted = true;
  probe.srcObject = media;
  return new Promise<boolean>((done) => {
    const timer = setTimeout(() => done(false), firstRelayedMs);
    probe.addEventListener("loadeddata", () => {
      clearTimeout(timer);
      done(true);
    });
    void probe.play().catch(() => undefined);
  }).finally(() => {
    probe.srcObject = null;
  });
}
