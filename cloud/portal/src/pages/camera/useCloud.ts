// Whether the cloud's clips stand in for a site that can't be reached, and who plays them.
import { type RefObject, useEffect, useMemo, useRef, useState } from "react";

import type { Camera } from "../../api/types";
import { useStable } from "../../lib/hooks";
import { ClipSession } from "../../video/clipSession";
import { type Copy, copyAt } from "../../video/copies";
import type { VideoSession } from "../../video/session";
import type { Told } from "../../video/togetherTile";
import { useCopies } from "../../video/useCopies";

/** Since when the cloud plays, and why. */
export interface Cloud {
  fromUs: number;
  /** The moment of the address as it began. */
  asked: number;
  /** Why the site could not show the moment, in words; undefined: it was dark. */
  reason: string | undefined;
}

const none: readonly Copy[] = [];

/** A recording that does not come for so long is taken for out of reach, though its session tries again. */
const patienceMs = 8_000;

/** Why a session can't show a recording; undefined while it can, or is live. */
function useFailure(session: VideoSession | undefined): string | undefined {
  const [failure, setFailure] = useState<string>();
  useEffect(() => {
    if (!session) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const rest = () => {
      clearTimeout(timer);
      timer = undefined;
    };
    const look = () => {
      const { phase, fromUs, reason } = session.snapshot();
      if (fromUs !== undefined && phase === "failed") setFailure(reason);
      else if (fromUs !== undefined && phase === "reconnecting") timer ??= setTimeout(() => setFailure(session.snapshot().reason), patienceMs);
      else if (fromUs === undefined || phase === "playing" || phase === "connecting") {
        rest();
        setFailure(undefined);
      }
    };
    const stop = session.subscribe(look);
    return () => {
      stop();
      rest();
      setFailure(undefined);
    };
  }, [session]);
  return failure;
}

interface Asks {
  camera: Camera;
  cloud: Cloud | undefined;
  setCloud: (next: Cloud | undefined) => void;
  session: VideoSession | undefined;
  video: RefObject<HTMLVideoElement | null>;
  asked: number | undefined;
  dark: boolean;
  /** Clips may be seen. */
  allowed: boolean;
  /** The moment on the stage; undefined: that of the address. */
  atUs: () => number | undefined;
  pictureUs: number | undefined;
}

/** Has the cloud take over where the site can't show a moment that there is a clip of. It goes on when the site is back, until
 *  somebody wishes otherwise. */
export function useCloud({ camera, cloud, setCloud, session, video, asked, dark, allowed, atUs, pictureUs }: Asks) {
  const failure = useFailure(session);
  const wanted = allowed && asked !== undefined && (dark || failure !== undefined || cloud !== undefined);
  const [clip, setClip] = useState<ClipSession>();
  const here = useCopies(camera, wanted ? asked : undefined);
  const there = useCopies(camera, wanted ? (clip?.positionUs() ?? atUs() ?? asked) : undefined);
  const copies = useMemo(() => (here.copies && there.copies ? merged(here.copies, there.copies) : undefined), [here.copies, there.copies]);
  const known = here.settled && there.settled;
  /** There is no clip of the moment that was asked for last. */
  const outside = asked !== undefined && known && asked !== cloud?.asked && copyAt(here.copies ?? none, asked) === undefined;

  /** Begins at a moment that there is a clip of; says whether it does. */
  const take = useStable((fromUs: number): boolean => {
    if (cloud || !wanted || !copies || !copyAt(copies, fromUs)) return false;
    setCloud({ fromUs, asked, reason: dark ? undefined : failure });
    return true;
  });
  useEffect(() => {
    if (known && asked !== undefined) take(atUs() ?? asked);
  }, [wanted, known, copies, atUs, asked, dark, failure, take]);
  useEffect(() => {
    if (cloud && (asked === undefined || (outside && !dark))) setCloud(undefined);
  }, [cloud, asked, outside, dark, setCloud]);

  const told = useRef<Told["current"]>({ offUs: 0 });
  useEffect(() => {
    told.current = { offUs: 0, pictureUs };
  });
  const sought = useRef<number>(undefined);
  useEffect(() => {
    if (!cloud || !video.current) return;
    sought.current = cloud.asked;
    const made = new ClipSession(video.current, told, cloud.fromUs);
    setClip(made);
    return () => {
      setClip(undefined);
      made.close();
    };
  }, [cloud, video]);
  useEffect(() => clip?.have(copies ?? none), [clip, copies]);
  useEffect(() => {
    if (!clip || asked === undefined || !known || asked === sought.current) return;
    sought.current = asked;
    if (outside) clip.pause();
    else clip.seek(asked);
  }, [clip, asked, known, outside]);
  return { clip, outside, take, failure, looking: wanted && !known && !here.error, error: here.error };
}

const merged = (here: readonly Copy[], there: readonly Copy[]): readonly Copy[] =>
  here === there ? here : [...here, ...there.filter(({ clip, startUs }) => !here.some((known) => known.clip.id === clip.id && known.startUs === startUs))].sort((a, b) => a.startUs - b.startUs);
