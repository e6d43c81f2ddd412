import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { ArrowUp, Clock, Download, Ellipsis, Film, Hourglass, ListEnd, Pencil, Play, Trash2 } from "lucide-react";
import { useState } from "react";

import { useCan } from "../api/can";
import { client, mediaUrl } from "../api/client";
import { words } from "../api/errors";
import { clip as clipQuery, clips as clipsQuery, rules as rulesQuery, sites as sitesQuery } from "../api/queries";
import type { Clip, Priority } from "../api/types";
import { ageSpan, bytes, duration, percent } from "../lib/format";
import { useNow } from "../lib/hooks";
import { DAY, dayDate, hereZone, moment } from "../lib/time";
import { text } from "../text";
import { ClipBadge } from "../ui/badge";
import { FileButton, IconButton } from "../ui/button";
import { Segments } from "../ui/choice";
import { Confirm, FormDialog } from "../ui/dialog";
import { TextField } from "../ui/field";
import { Menu } from "../ui/menu";
import { Empty, Failure, Notice, Skeleton } from "../ui/notice";
import { Page } from "../ui/page";
import { say } from "../ui/toast";
import { Button } from "../ui/button";
import { ClipPlayer } from "./ClipPlayer";
import { KeepFor } from "./KeepFor";

const groups = {
  stored: ["stored"], waiting: ["wanted", "cutting", "queued", "uploading"], failed: ["unavailable", "lost"],
} as const satisfies Record<string, readonly Clip["state"][]>;

/** Every clip: on its way, in the cloud, or why it can't be. */
export default function ClipsPage() {
  const search = useSearch({ from: "/inside/clips" });
  const navigate = useNavigate({ from: "/clips" });
  const query = useInfiniteQuery(clipsQuery());
  const sites = useQuery(sitesQuery());
  const listed = query.data?.pages.flatMap((page) => page.clips) ?? [];
  const chosen = listed.find((clip) => clip.id === search.clip);
  const single = useQuery({ ...clipQuery(search.clip ?? ""), enabled: search.clip !== undefined && !chosen && !query.isPending });
  const open = chosen ?? single.data;
  const shown = listed.filter((clip) => !search.state || (groups[search.state] as readonly string[]).includes(clip.state));
  const zoneOf = (clip: Clip) => sites.data?.find((site) => site.id === clip.site)?.timezone ?? hereZone;
  const siteName = (clip: Clip) => clip.site_name;
  const show = (clip: string | undefined) => void navigate({ search: (old) => ({ ...old, clip }) as typeof old });

  return (
    <Page title={text.clips.title} lead={text.clips.lead} stale={query.data ? query.error : undefined}>
      {(listed.length > 0 || search.state) && <div className="filters">
        <Segments label={text.clips.filter} value={search.state ?? "all"} onChange={(state) => void navigate({ search: (old) => ({ ...old, state: state === "all" ? undefined : state }) as typeof old, replace: true })}
          options={(["all", "stored", "waiting", "failed"] as const).map((value) => ({ value, label: text.clips.filters[value] }))} />
      </div>}
      {query.isPending ? <Skeleton lines={5} height={68} gap={8} />
        : !query.data ? <Failure what={text.clips.failed} error={query.error} onRetry={() => void query.refetch()} />
        : shown.length === 0 ? <Empty icon={Film} title={text.clips.emptyTitle}><p>{search.state ? text.clips.emptyFiltered : text.clips.empty}</p></Empty>
        : (
          <ul className="rows panel panel-flush">
            {shown.map((clip) => <li key={clip.id}><ClipRow clip={clip} site={siteName(clip)} zone={zoneOf(clip)} onOpen={() => show(clip.id)} /></li>)}
          </ul>
        )}
      {query.hasNextPage && <Button busy={query.isFetchingNextPage} onPress={() => void query.fetchNextPage()}>{text.actions.moreRows}</Button>}
      {open && <ClipPlayer clip={open} site={siteName(open)} zone={zoneOf(open)} onClose={() => show(undefined)} />}
    </Page>
  );
}

/** The title, or a name made of the camera's. */
export const clipTitle = (clip: Clip): string => clip.title || text.clips.untitled(clip.camera_name);

/** When a clip is deleted, in words; undefined: never. */
export function expiry(clip: Clip, zone: string, now: number): { words: string; soon: boolean } {
  if (!clip.expires_us) return { words: text.clips.keptEver, soon: false };
  const left = clip.expires_us - now;
  if (left < 7 * DAY) return { words: text.clips.goesSoon(ageSpan(left)), soon: true };
  return { words: text.clips.keptUntil(dayDate(clip.expires_us, zone)), soon: false };
}

/** Why a clip is not here yet: what it waits for, and how long that may take. */
export function waitWords(clip: Clip, now: number): string {
  const waits = clip.waits;
  if (!waits) return "";
  if (waits.for === "site" && waits.since_us) return `${waits.text.split(". ")[0] ?? waits.text}: ${text.clips.darkSince(ageSpan(now - waits.since_us))}.`;
  return waits.left_us && waits.for !== "end" ? `${waits.text} ${capital(text.clips.left(duration(waits.left_us)))}.` : waits.text;
}

const capital = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);

/** The video nearest to a clip that has none, in words. */
export const nearestWords = (clip: Clip): string =>
  clip.nearest.map((near) => (near.side === "before" ? text.clips.nearestBefore : text.clips.nearestAfter)(duration(near.distance_us))).join(", ");

function ClipRow({ clip, site, zone, onOpen }: { clip: Clip; site: string; zone: string; onOpen: () => void }) {
  const can = useCan();
  const navigate = useNavigate();
  const [asking, setAsking] = useState<"rename" | "keep" | "delete">();
  const now = useNow(30_000);
  const rules = useQuery({ ...rulesQuery(), enabled: !!clip.rule && can("rules.edit"), staleTime: 300_000 });
  const rule = clip.rule ? (rules.data?.find((known) => known.id === clip.rule)?.name ?? "") : "";
  const queries = useQueryClient();
  const open = clip.waits !== undefined;
  const failed = clip.state === "unavailable" || clip.state === "lost";
  const kept = expiry(clip, zone, now);
  const send = async (priority: Priority) => {
    try {
      await client.PATCH("/clips/{clip}", { params: { path: { clip: clip.id } }, body: { priority } });
      say(priority === "high" ? text.clips.sentFirst : text.clips.sentInTurn);
    } catch (error) {
      say(words(error), true);
    }
    await queries.invalidateQueries({ queryKey: ["clips"] });
  };
  const origin = clip.rule ? text.clips.byRule(rule) : clip.by ? text.clips.byPerson(clip.by) : "";
  return (
    <div className="row clip-row" data-testid="clip-row" data-clip={clip.id} data-state={clip.state}>
      <button type="button" className="clip-thumb" data-state={clip.state} onClick={onOpen} aria-label={clip.playable ? text.clips.playOf(clipTitle(clip)) : clipTitle(clip)}>
        {clip.playable ? <Play size={18} fill="currentColor" aria-hidden /> : <Film size={18} strokeWidth={1.7} aria-hidden />}
        <span className="num">{duration(clip.end_us - clip.start_us)}</span>
      </button>
      <div className="row-main">
        <p className="clip-head"><span className="row-title clip-text">{clipTitle(clip)}</span><ClipBadge state={clip.state} />{clip.wanted_stream && <span className="small muted nowrap">{text.clips.small}</span>}{open && clip.priority !== "normal" && <span className="small muted nowrap">{clip.priority === "high" ? text.clips.urgent : text.clips.low}</span>}</p>
        <p className="soft small num clip-where">{[clip.camera_name, site, moment(clip.start_us, zone), clip.events.length > 1 && text.clips.shows(clip.events.length), origin].filter(Boolean).join(" · ")}</p>
        {open && <Progress clip={clip} now={now} />}
        {open && clip.reason && <p className="small soft">{clip.reason}</p>}
        {clip.wanted_stream && !failed && (!open || !clip.reason) && <p className="small soft" data-testid="clip-small">{clip.reason || text.clips.smallWhy}</p>}
        {failed && <p className="small soft" data-testid="clip-reason">{clip.reason || text.clipSentence[clip.state]} {clip.nearest.length > 0 && `${text.clips.nearest}: ${nearestWords(clip)}.`}</p>}
        {!open && (clip.site_deleted && clip.expires_us
          ? <p className="small clip-soon">{text.clips.siteGone(dayDate(clip.expires_us, zone))}</p>
          : clip.expires_us ? <p className={kept.soon ? "small clip-soon" : "small muted"} data-testid="clip-expiry">{kept.words}</p> : null)}
      </div>
      <div className="row-side">
        {clip.playable && <span className="muted small num nowrap clip-size">{bytes(clip.bytes ?? 0)}</span>}
        {clip.playable && <FileButton small look="quiet" href={mediaUrl(clip, true)} download icon={<Download size={15} aria-hidden />} data-testid="clip-download">{text.clips.download}</FileButton>}
        <Menu label={text.actions.more} groups={[
          [
            clip.playable && { id: "play", label: text.clips.play, icon: <Play size={15} />, onAction: onOpen },
            can("playback") && { id: "timeline", label: text.clips.onTimeline, icon: <Clock size={15} />, onAction: () => void navigate({ to: "/cameras/$camera", params: { camera: clip.camera }, search: { at: clip.start_us } }) },
            can("clips.edit") && open && clip.priority !== "high" && { id: "first", label: text.clips.first, icon: <ArrowUp size={15} />, onAction: () => void send("high") },
            can("clips.edit") && open && clip.priority === "high" && { id: "turn", label: text.clips.notFirst, icon: <ListEnd size={15} />, onAction: () => void send("normal") },
            can("clips.edit") && !clip.site_deleted && { id: "keep", label: text.clips.keep, icon: <Hourglass size={15} />, onAction: () => setAsking("keep") },
            can("clips.edit") && { id: "rename", label: text.clips.rename, icon: <Pencil size={15} />, onAction: () => setAsking("rename") },
          ],
          [can("clips.edit") && { id: "delete", label: text.clips.remove, icon: <Trash2 size={15} />, danger: true, onAction: () => setAsking("delete") }],
        ]}>
          <IconButton small label={text.actions.more}><Ellipsis size={18} aria-hidden /></IconButton>
        </Menu>
      </div>
      {asking === "rename" && <Rename clip={clip} onClose={() => setAsking(undefined)} />}
      {asking === "keep" && <Keep clip={clip} zone={zone} onClose={() => setAsking(undefined)} />}
      {asking === "delete" && <Remove clip={clip} onClose={() => setAsking(undefined)} />}
    </div>
  );
}

function Progress({ clip, now }: { clip: Clip; now: number }) {
  return (
    <div className="clip-progress" data-testid="clip-waits" data-for={clip.waits?.for}>
      {clip.state === "uploading"
        ? <><progress max={1} value={clip.progress} aria-label={text.clipState[clip.state]} data-testid="clip-progress" /><span className="small num">{text.clips.progress(percent(clip.progress))}</span></>
        : null}
      <span className="small muted num">{waitWords(clip, now)}</span>
    </div>
  );
}

function Keep({ clip, zone, onClose }: { clip: Clip; zone: string; onClose: () => void }) {
  const queries = useQueryClient();
  const [days, setDays] = useState(clip.keep_days);
  const now = useNow(60_000);
  const goes = days > 0 ? Math.max(clip.end_us, clip.created_us) + days * DAY : 0;
  return (
    <FormDialog title={text.clips.keepTitle} open onClose={onClose} submit={text.actions.save} danger={goes > 0 && goes <= now} onSubmit={async () => {
      await client.PATCH("/clips/{clip}", { params: { path: { clip: clip.id } }, body: { keep_days: days } });
      await queries.invalidateQueries({ queryKey: ["clips"] });
    }} data-testid="keep-clip-dialog">
      <p className="strong">{clipTitle(clip)}</p>
      <KeepFor value={days} onChange={setDays} hint={text.clips.keepHint} />
      {goes > 0 && <Notice tone={goes <= now ? "warn" : "quiet"}>{goes <= now ? text.clips.keepPast : text.clips.keepGone(dayDate(goes, zone))}</Notice>}
    </FormDialog>
  );
}

function Rename({ clip, onClose }: { clip: Clip; onClose: () => void }) {
  const queries = useQueryClient();
  const [title, setTitle] = useState(clip.title);
  return (
    <FormDialog title={text.clips.renameTitle} open onClose={onClose} submit={text.actions.save} onSubmit={async () => {
      await client.PATCH("/clips/{clip}", { params: { path: { clip: clip.id } }, body: { title: title.trim() } });
      await queries.invalidateQueries({ queryKey: ["clips"] });
    }}>
      <TextField label={text.keep.name} value={title} onChange={setTitle} maxLength={128} autoFocus />
    </FormDialog>
  );
}

function Remove({ clip, onClose }: { clip: Clip; onClose: () => void }) {
  const queries = useQueryClient();
  return (
    <Confirm title={text.clips.removeTitle} open onClose={onClose} submit={text.clips.remove} onSubmit={async () => {
      await client.DELETE("/clips/{clip}", { params: { path: { clip: clip.id } } });
      await queries.invalidateQueries({ queryKey: ["clips"] });
      say(text.clips.removed);
    }}>
      <p className="strong">{clipTitle(clip)}</p>
      <p>{text.clips.removeText}</p>
    </Confirm>
  );
}
