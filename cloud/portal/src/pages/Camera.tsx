import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Pencil } from "lucide-react";
import { memo, startTransition, useCallback, useEffect, useMemo, useRef, useState } from "react";

import { useCan } from "../api/can";
import { client } from "../api/client";
import { words } from "../api/errors";
import { camera as cameraQuery, holds as holdsQuery, site as siteQuery } from "../api/queries";
import type { Camera, Hold, Site } from "../api/types";
import { usePageKeys, useStable } from "../lib/hooks";
import { nowUs } from "../lib/time";
import { text } from "../text";
import { rangeAt } from "../timeline/coverage";
import { overGap } from "../timeline/jump";
import { HoldDialog } from "../timeline/HoldDialog";
import { KeepDialog } from "../timeline/KeepDialog";
import { Timeline } from "../timeline/Timeline";
import { useEventJump } from "../timeline/useEventJump";
import { useTimeline } from "../timeline/useTimeline";
import { CameraBadge } from "../ui/badge";
import { Button } from "../ui/button";
import { Failure, Notice, Skeleton } from "../ui/notice";
import { Page } from "../ui/page";
import { say } from "../ui/toast";
import { nextRate, turned } from "../video/control";
import { prepare } from "../video/link";
import { Player } from "../video/Player";
import { TalkBar } from "../video/TalkBar";
import { toggleFullScreen, toggleMute } from "../video/stage";
import type { VideoSession } from "../video/session";
import type { Staged } from "../video/staged";
import { useStepOff } from "../video/useStepOff";
import { useSession, useSnapshot, useWarm } from "../video/useVideo";
import { CameraAside } from "./camera/CameraAside";
import { CameraDialog } from "./camera/CameraDialog";
import { CloudMark, NearClips } from "./camera/CloudMark";
import { Instead } from "./camera/Instead";
import { type Cloud, useCloud } from "./camera/useCloud";
import { why } from "./site/CameraGrid";

const Stage = memo(Player);
const Aside = memo(CameraAside);

/** One camera: live or from any moment, and its timeline. */
export default function CameraPage() {
  const { camera: id } = useParams({ from: "/inside/cameras/$camera" });
  const can = useCan();
  const mayWatch = can("live");
  useEffect(() => {
    if (mayWatch) prepare(); // while the camera is asked for
  }, [mayWatch]);
  const camera = useQuery(cameraQuery(id));
  const site = useQuery({ ...siteQuery(camera.data?.site ?? ""), enabled: camera.data !== undefined });
  if (camera.isError && !camera.data) {
    return <Page title={text.cameraPage.about} up={{ to: "/", label: text.site.up }}><Failure what={text.cameraPage.failed} error={camera.error} onRetry={() => void camera.refetch()} /></Page>;
  }
  if (site.isError && !site.data) {
    return <Page title={camera.data?.name ?? text.cameraPage.about} up={{ to: "/", label: text.site.up }}><Failure what={text.site.failed} error={site.error} onRetry={() => void site.refetch()} /></Page>;
  }
  if (!camera.data || !site.data) return <Page title="…" name={text.cameraPage.about} up={{ to: "/", label: text.site.up }} wide><Skeleton lines={1} height={480} /><Skeleton lines={1} height={150} /></Page>;
  return <Watch key={id} camera={camera.data} site={site.data} stale={camera.error} />;
}

function Watch({ camera, site, stale }: { camera: Camera; site: Site; stale: unknown }) {
  const search = useSearch({ from: "/inside/cameras/$camera" });
  const navigate = useNavigate({ from: "/cameras/$camera" });
  const can = useCan();
  const [editing, setEditing] = useState(false);
  const [keeping, setKeeping] = useState<"clip" | "hold">();
  const zone = site.timezone;
  const stream = search.stream ?? "main";
  const timeline = useTimeline(camera.id, stream, search.at ?? search.in, can("playback"), can("playback") && can("events"));

  const asked = search.at;
  const range = asked === undefined ? undefined : rangeAt(timeline.ranges, asked);
  const hole = range?.state === "gap" ? range : undefined;
  const watchable = can(asked === undefined ? "live" : "playback") && site.status !== "dark" && site.status !== "never" && !hole;
  const [cloud, setCloud] = useState<Cloud>();
  const { video, session } = useSession(cloud ? undefined : `${camera.id}/${search.stream ?? ""}`, watchable ? { site: camera.site, camera: camera.id, stream: search.stream, fromUs: asked } : undefined, camera.status);
  // Where there is nothing to see at a moment, live is next.
  useWarm(hole && can("live") && site.agent?.connected ? site.id : undefined);

  const fps = camera.streams.find(({ kind }) => kind === stream)?.fps;
  const pictureUs = fps ? 1_000_000 / fps : undefined;
  // Where the site's recording was last, whatever becomes of its session.
  const shownUs = useRef<number>(undefined);
  useEffect(() => {
    shownUs.current = undefined;
  }, [asked]);
  const dark = site.status === "dark";
  const mayCopy = can("export");
  const { clip, outside, take, failure, looking } = useCloud({ camera, cloud, setCloud, session, video, asked, dark, allowed: mayCopy, atUs: useStable(() => shownUs.current), pictureUs });
  const shown = cloud ? !outside : watchable;
  const stands: Staged | undefined = cloud ? clip : session;

  const playheadUs = useStable(() => {
    if (cloud) return outside ? (asked ?? nowUs()) : (clip?.positionUs() ?? cloud.fromUs);
    if (!session || !watchable) return asked === undefined ? nowUs() : (shownUs.current ?? asked);
    const us = session.positionUs();
    shownUs.current = session.snapshot().fromUs === undefined ? undefined : us;
    return us;
  });
  const selection = search.in !== undefined && search.out !== undefined ? { inUs: search.in, outUs: search.out } : undefined;
  const set = useCallback((change: Partial<typeof search>, replace = true) => void navigate({ search: (old) => ({ ...old, ...change }) as typeof old, replace }), [navigate]);

  const mayLive = can("live") && site.status !== "dark" && site.status !== "never";
  const { jump, rest } = useEventJump({ of: { camera: camera.id }, momentUs: playheadUs, go: (event) => play(event.at_us), none: { after: text.live.noEventAfter, before: text.live.noEventBefore } });
  const goLive = useStable(async (follow: boolean) => {
    rest();
    if (asked === undefined) {
      if (follow) timeline.follow();
      if (session?.snapshot().fromUs !== undefined) session.backToLive(); // scrubbing has led away from there
      else if (session?.snapshot().paused) session.resume();
      return;
    }
    if (session?.isAhead) return; // pressed twice
    if (mayLive && session && !(await session.ahead({ site: camera.site, camera: camera.id, stream: search.stream }))) return;
    if (follow) timeline.follow(); // with the rest of the page, behind the picture
    set({ at: undefined });
  });
  const live = useStable(() => void goLive(false));
  const play = useStable((us: number) => {
    rest();
    if (session?.isAhead) session.rest();
    // The newest seconds are not on the disk yet: that near to now is live.
    if (us > nowUs() - 3_000_000) {
      if (asked === undefined) live();
      else set({ at: undefined });
    } else if (asked === undefined || Math.round(us) !== asked) set({ at: Math.round(us) });
    else if (!take(us)) stands?.seek(us);
  });
  const keep = can("export") ? () => setKeeping("clip") : undefined;
  const hold = can("holds.edit") ? () => setKeeping("hold") : undefined;
  const held = useHeld(site.id, camera.id, can("playback"));
  const bookmark = can("export") ? async () => {
    try {
      await client.POST("/bookmarks", { body: { camera: camera.id, at_us: Math.round(Math.min(playheadUs(), nowUs())) } });
      say(text.clips.bookmarked);
    } catch (error) {
      say(words(error), true);
    }
  } : undefined;
  const onEvent = can("playback") && can("events") ? jump : undefined;
  const skip = (direction: 1 | -1) => {
    const us = overGap(timeline.ranges, playheadUs(), direction);
    if (us === undefined) say(direction === 1 ? text.live.noGapAfter : text.live.noGapBefore);
    else play(us);
  };
  const shows = () => stands?.snapshot();
  const recorded = () => shows()?.fromUs !== undefined;
  const clockOffsetUs = site.agent?.clock_offset_us ?? 0;
  const off = useStepOff(session, { allowed: can("playback"), pictureUs, clockOffsetUs }, (at) => set({ at }));
  const step = useStable((count: number) => (clip ? clip.step(count) : off.step(count, video.current)));
  const backToSite = useStable(() => {
    const at = Math.round(playheadUs());
    setCloud(undefined);
    set({ at });
  });
  usePageKeys({
    " ": () => { if (shown) (shows()?.paused ? stands?.resume() : stands?.pause()); },
    l: () => void goLive(true),
    m: () => {
      if (shows()?.soundElsewhere && !shows()?.hasAudio) stands?.aloud();
      else if (video.current) toggleMute(video.current);
    },
    f: () => { if (video.current) toggleFullScreen(video.current); },
    k: () => { if (selection) keep?.(); },
    b: () => void bookmark?.(),
    ",": () => { if (recorded()) stands?.pace(nextRate(shows()?.rate ?? 1, -1)); },
    ".": () => { if (recorded()) stands?.pace(nextRate(shows()?.rate ?? 1, 1)); },
    r: () => { if (shows()?.steps) stands?.turn(turned(shows()?.rate ?? 1)); },
    "<": () => step(-1),
    ">": () => step(1),
    arrowleft: () => { if (shows()?.paused) step(-1); },
    arrowright: () => { if (shows()?.paused) step(1); },
    p: () => onEvent?.(-1),
    n: () => onEvent?.(1),
    g: (press) => { if (can("playback")) skip(press.shiftKey ? -1 : 1); },
    i: () => set({ in: Math.round(playheadUs()), out: Math.max(search.out ?? 0, Math.round(playheadUs()) + 1_000_000) }),
    o: () => set({ in: Math.min(search.in ?? Infinity, Math.round(playheadUs()) - 1_000_000), out: Math.round(playheadUs()) }),
  });

  const origin = useMemo(() => ({ site: site.name, camera: camera.name, zone, clockOffsetUs }), [site.name, camera.name, zone, clockOffsetUs]);
  const around = useAfterPicture(session, watchable);
  const chooseStream = useCallback((next: typeof search.stream) => set({ stream: next }), [set]);
  const { fromUs, toUs } = timeline.view;
  const events = useMemo(() => timeline.events.filter((event) => event.at_us >= fromUs && event.at_us <= toUs), [timeline.events, fromUs, toUs]);
  const sub = camera.streams.some((known) => known.kind === "sub");
  const lost = asked !== undefined && mayCopy && (dark || failure !== undefined);
  const near = lost && (!cloud || outside) && (looking ? <p role="status">{text.cloud.looking}</p> : <NearClips camera={camera.id} atUs={shownUs.current ?? asked} zone={zone} onPlay={play} />);
  return (
    <Page title={camera.name} badge={<CameraBadge camera={camera} />} up={{ to: "/sites/$site", params: { site: site.id }, label: site.name }} wide stale={stale}
      actions={can("cameras.edit") && <Button small icon={<Pencil size={15} aria-hidden />} onPress={() => setEditing(true)} data-testid="edit-camera">{text.actions.edit}</Button>}>
      <div className="camera-page">
        <div className="camera-stage">
          <Stage key={cloud ? "cloud" : "site"} camera={camera} origin={origin} video={video} session={shown ? stands : session} controls={around} ptz={camera.ptz && can("cameras.move")} bare={!can("live")} onLive={live} onEvent={onEvent} onStep={can("playback") ? step : undefined} held={off.held}
            source={cloud && <CloudMark site={site} zone={zone} camera={camera.id} clip={clip} reason={cloud.reason} onSite={backToSite} onPlay={play} />}
            beside={near}
            instead={shown ? undefined : <Instead site={site} allowed={can("live")} asked={asked} hole={hole} ranges={timeline.ranges} zone={zone} onPlay={play} onLive={live} near={near} />} />
          {camera.talk && can("talk") && around && watchable && asked === undefined && <TalkBar camera={camera.id} zone={zone} video={video} />}
        </div>
        {!around ? <aside className="camera-aside" /> : <Aside camera={camera} zone={zone} stream={search.stream} onStream={chooseStream} events={events} mayPlay={can("playback")} onPlay={play} hasSub={sub} />}
        <div className="camera-timeline">
          {camera.status === "failing" && <Failing camera={camera} session={session} />}
          {can("playback") && (!around ? <Skeleton lines={1} height={150} /> : (
            <Timeline name={camera.name} zone={zone} timeline={timeline} dark={dark} playheadUs={playheadUs} live={asked === undefined} selection={selection}
                onSelection={(next) => set({ in: next && Math.round(next.inUs), out: next && Math.round(next.outUs) })} onPlay={play} onScrub={(us) => stands?.scrub(us)} onLive={() => void goLive(true)} onKeep={keep} onHold={hold} held={held} onBookmark={bookmark && (() => void bookmark())} />
          ))}
        </div>
      </div>
      {keeping === "hold" && selection && (
        <HoldDialog camera={camera} zone={zone} selection={selection} ranges={timeline.ranges} onClose={() => setKeeping(undefined)}
          onHeld={() => {
            say(text.hold.done);
            set({ in: undefined, out: undefined });
            void navigate({ to: "/sites/$site", params: { site: site.id }, search: { tab: "holds" } });
          }} />
      )}
      {keeping === "clip" && selection && (
        <KeepDialog open camera={camera} zone={zone} selection={selection} stream={stream} hasSub={sub} ranges={timeline.ranges} onClose={() => setKeeping(undefined)}
          onKept={(clip) => {
            say(text.keep.done);
            set({ in: undefined, out: undefined });
            void navigate({ to: "/clips", search: { clip: clip.id } });
          }} />
      )}
      {editing && <CameraDialog camera={camera} zone={zone} onClose={() => setEditing(false)} />}
    </Page>
  );
}

/** How long a picture may take before what stands around it is rendered all the same. */
const aroundMs = 400;

/** False until there is a picture: what stands around the stage leaves the browser to it. */
function useAfterPicture(session: VideoSession | undefined, waits: boolean): boolean {
  const [after, setAfter] = useState(!waits);
  useEffect(() => {
    if (after) return;
    const done = () => startTransition(() => setAfter(true));
    const timer = setTimeout(done, aroundMs);
    const stop = session?.subscribe(() => { if (session.snapshot().phase === "playing") done(); });
    return () => {
      clearTimeout(timer);
      stop?.();
    };
  }, [after, session]);
  return after;
}

/** What is wrong with a camera, unless the stage says it. */
function Failing({ camera, session }: { camera: Camera; session: VideoSession | undefined }) {
  if (useSnapshot(session).phase === "failed") return null;
  return <Notice tone="warn" title={text.cameraStatus.failing}>{why(camera)}</Notice>;
}

const noHolds: Hold[] = [];

/** The ranges of a camera that are held now. */
function useHeld(site: string, camera: string, allowed: boolean): readonly Hold[] {
  const { data } = useQuery({ ...holdsQuery(site), enabled: allowed });
  return useMemo(() => data?.filter((hold) => hold.camera === camera && (hold.state === "kept" || hold.state === "partly")) ?? noHolds, [data, camera]);
}
