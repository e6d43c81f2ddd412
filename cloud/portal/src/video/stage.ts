// What can be done to the video element on a stage, by its buttons and by keys alike.
import { clockSeconds, dateInput } from "../lib/time";

export function toggleMute(video: HTMLVideoElement): void {
  video.muted = !video.muted;
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

/** Saves what is on the stage as a picture, named after the camera and the moment. */
export async function saveSnapshot(video: HTMLVideoElement, name: string, atUs: number, zone: string): Promise<void> {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  if (!blob) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name} ${dateInput(atUs, zone)} ${clockSeconds(atUs, zone).replaceAll(":", ".")}.jpg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
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
