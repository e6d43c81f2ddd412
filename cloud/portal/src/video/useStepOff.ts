// From a live picture that stands on the screen into its recording, picture by picture.
import { useEffect, useRef, useState } from "react";

import { useStable } from "../lib/hooks";
import { nowUs } from "../lib/time";
import type { VideoSession } from "./session";
import { guessedPictureUs } from "./togetherTile";

/** So old a moment is surely on the site's disk (shared/rtc, Recorded, and what two clocks may differ by). */
const recordedUs = 5_500_000;
/** What does not come in so long is not waited for: the stage says why. */
const patienceMs = 12_000;

interface StepOff {
  /** Recordings may be seen. */
  allowed: boolean;
  /** How long a picture lasts; undefined while that is not known. */
  pictureUs: number | undefined;
  /** How much the site's clock is ahead. */
  clockOffsetUs: number;
}

/** Steps in what is on the stage: where that is a live picture which stands, its recording is sought, and the picture stays
 *  on the stage until the one that the steps lead to is there. `go` is told of the moment that the stage shows from then on. */
export function useStepOff(session: VideoSession | undefined, { allowed, pictureUs, clockOffsetUs }: StepOff, go: (atUs: number) => void) {
  const [held, setHeld] = useState<HTMLCanvasElement>();
  const owed = useRef(0);
  const leave = useRef<() => void>(undefined);
  useEffect(() => () => leave.current?.(), [session]);

  const step = useStable((count: number, video: HTMLVideoElement | null) => {
    const shows = session?.snapshot();
    if (!session || !shows) return;
    if (leave.current) owed.current += count;
    else if (shows.fromUs !== undefined) session.step(count);
    else if (shows.paused && allowed && video && shows.firstFrameMs !== undefined) begin(session, video, count);
  });

  const begin = (session: VideoSession, video: HTMLVideoElement, count: number) => {
    const moment = session.moment();
    const siteUs = moment.atUs + (moment.clock === "site" ? 0 : clockOffsetUs);
    const atUs = Math.round(siteUs - (pictureUs ?? guessedPictureUs) / 2); // the picture at or after it is that one
    owed.current = count;
    setHeld(pictureOf(video));
    let stage: "waits" | "begins" | "lands" | "steps" = "waits";
    const taken = () => {
      const count = owed.current;
      owed.current = 0;
      return count;
    };
    const look = () => {
      const { phase, paused, fromUs, steps } = session.snapshot();
      if (stage === "waits") {
        if (fromUs !== undefined || !paused) end(); // somebody has gone elsewhere, or live on
        return;
      }
      if (phase === "failed" || phase === "closed" || fromUs === undefined) return end();
      if (stage === "begins" && paused) {
        stage = "lands";
        session.prepare(atUs); // what it began with has gone on for a moment
        session.step(taken());
        stage = "steps";
        if (!steps) end();
      } else if (stage === "steps") {
        if (owed.current !== 0) session.step(taken());
        else if (session.landed() !== undefined) end();
      }
    };
    const waitMs = Math.min(recordedUs, Math.max(0, atUs + recordedUs - nowUs())) / 1000; // whatever the viewer's clock says
    const start = setTimeout(() => {
      stage = "begins";
      session.prepare(atUs);
      go(atUs);
    }, waitMs);
    const stop = session.subscribe(look);
    const timer = setInterval(look, 50); // a picture that comes to the screen tells nobody
    const limit = setTimeout(() => end(), waitMs + patienceMs);
    const end = () => {
      clearTimeout(start);
      clearTimeout(limit);
      clearInterval(timer);
      stop();
      leave.current = undefined;
      setHeld(undefined);
    };
    leave.current = end;
  };
  return { step, held };
}

/** The picture that is on a video element. */
function pictureOf(video: HTMLVideoElement): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return canvas;
}
