import { LoaderCircle, Minus, Pause, Play, Plus, Rewind, SkipBack, SkipForward, StepBack, StepForward } from "lucide-react";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";

import { useCan } from "../../api/can";
import { duration } from "../../lib/format";
import { useNow, usePageKeys, useStable } from "../../lib/hooks";
import { clockSeconds, dayWord, fromMomentInput, momentInput, zoneName } from "../../lib/time";
import { text } from "../../text";
import { playable, shareAt, shares, together } from "../../timeline/bands";
import { overGap } from "../../timeline/jump";
import { useEventJump } from "../../timeline/useEventJump";
import { type View, zoomed } from "../../timeline/scale";
import { Button, IconButton } from "../../ui/button";
import { Menu } from "../../ui/menu";
import { say } from "../../ui/toast";
import { nextRate, rates, rateWord, turned } from "../../video/control";
import type { Conductor } from "../../video/together";
import { firstView, PlayLine } from "./PlayLine";
import { useNarrow } from "./screen";
import { type Led, useBands } from "./useBands";

interface PlayBarProps {
  conductor: Conductor;
  zone: { zone: string; why: string };
  cameras: readonly Led[];
  /** The camera whose tile is chosen. */
  chosen: string | undefined;
  onSeek: (us: number) => void;
  onLive: () => void;
}

/** How far a jump goes. */
const skipUs = 10_000_000;

/** The controls of a wall that is played back: one moment for all of it. */
export function PlayBar({ conductor, zone: { zone, why }, cameras, chosen, onSeek, onLive }: PlayBarProps) {
  const { playing, rate, gathering, news } = useSyncExternalStore(conductor.subscribe, conductor.direction);
  const now = useNow(1000);
  useNow(250);
  const narrow = useNarrow();
  const [fixed, setView] = useState<View>();
  const { askedUs } = conductor;
  const view = useMemo(() => fixed ?? firstView(askedUs, now), [fixed, askedUs, now]);
  const { bands, loading, failed } = useBands(cameras, view, now);
  const all = useMemo(() => shares(bands), [bands]);
  const momentUs = useStable(() => conductor.momentUs(performance.now()));
  const ids = useMemo(() => cameras.map(({ id }) => id), [cameras]);
  const { jump, rest } = useEventJump({
    of: { cameras: ids }, momentUs, go: (event) => onSeek(event.at_us + (cameras.find(({ id }) => id === event.camera)?.offUs ?? 0)),
    none: { after: text.together.noEventAfter, before: text.together.noEventBefore },
  });
  const seek = useStable((us: number) => {
    rest();
    onSeek(us);
  });
  const onEvent = useCan()("events") ? jump : undefined;
  const at = momentUs();

  useEffect(() => {
    if (news) say(news.what === "skipped" ? text.together.skipped(duration(news.us)) : text.together.beginning);
  }, [news]);

  const act = (what: (now: number) => void) => () => what(performance.now());
  const toggle = act((now) => (playing ? conductor.pause(now) : conductor.play(now)));
  const turn = act((now) => {
    conductor.pace(turned(rate), now);
    conductor.play(now);
  });
  const step = (count: number) => act((now) => conductor.step(count, now));
  const move = (us: number) => () => seek(momentUs() + us);
  const skip = (direction: 1 | -1) => {
    const us = overGap(together(shares(bands, playable)), momentUs(), direction);
    if (us === undefined) say(direction === 1 ? text.together.noGapAfter : text.together.noGapBefore);
    else seek(us);
  };
  usePageKeys({
    l: onLive, j: move(-skipUs), k: move(skipUs), r: turn, "<": step(-1), ">": step(1),
    ",": act((now) => conductor.pace(nextRate(rate, -1), now)), ".": act((now) => conductor.pace(nextRate(rate, 1), now)),
    p: () => void onEvent?.(-1), n: () => void onEvent?.(1), g: (press) => skip(press.shiftKey ? -1 : 1),
  });

  const share = shareAt(all, at);
  const ratesNow = rate < 0 ? rates.filter((each) => each >= 1).map((each) => -each) : rates;
  return (
    <section className="play-bar" aria-label={text.together.controls} data-testid="play-bar" data-moment={Math.round(at)} data-gathering={gathering || undefined} data-rate={rate}>
      <div className="play-bar-row">
        <div className="play-bar-buttons">
          {onEvent && <IconButton small look="stage" label={text.live.eventBefore} keys="P" onPress={() => void onEvent(-1)} data-testid="play-event-before"><SkipBack size={17} aria-hidden /></IconButton>}
          <Button small look="stage" aria-label={text.together.back} onPress={move(-skipUs)} data-testid="play-back">−10 s</Button>
          <IconButton small look={rate < 0 ? "primary" : "stage"} label={rate < 0 ? text.together.forwards : text.together.backwards} keys="R" onPress={turn} data-testid="play-backwards"><Rewind size={17} aria-hidden /></IconButton>
          <IconButton small look="stage" label={text.together.stepBack} keys="<" onPress={step(-1)} data-testid="play-step-back"><StepBack size={17} aria-hidden /></IconButton>
          <IconButton small look="stage" label={playing ? text.together.pause : text.together.play} keys="Space" onPress={toggle} data-testid="play-toggle">
            {playing ? <Pause size={18} aria-hidden /> : <Play size={18} aria-hidden />}
          </IconButton>
          <IconButton small look="stage" label={text.together.stepForward} keys=">" onPress={step(1)} data-testid="play-step-forward"><StepForward size={17} aria-hidden /></IconButton>
          <Button small look="stage" aria-label={text.together.on} onPress={move(skipUs)} data-testid="play-on">+10 s</Button>
          {onEvent && <IconButton small look="stage" label={text.live.eventAfter} keys="N" onPress={() => void onEvent(1)} data-testid="play-event-after"><SkipForward size={17} aria-hidden /></IconButton>}
          <Menu label={text.together.rate(rateWord(rate))} groups={[ratesNow.map((each) => ({ id: `rate-${each}`, label: rateWord(each), onAction: () => conductor.pace(each, performance.now()) }))]}>
            <Button small look="stage" aria-label={text.together.rate(rateWord(rate))} data-testid="play-rate">{rateWord(rate)}</Button>
          </Menu>
        </div>
        <span className="play-bar-moment num" data-testid="play-moment">
          <span className="play-bar-day">{dayWord(at, zone)}</span> {clockSeconds(at, zone)}
          {gathering && <LoaderCircle size={14} className="btn-spin" aria-label={text.together.gathering} />}
        </span>
        <span className="play-bar-share num" data-testid="play-share">
          {failed !== undefined ? text.timeline.failed : loading ? text.timeline.loading : share && text.together.have(share.video, bands.length)}
        </span>
        <MomentInput atUs={askedUs} zone={zone} why={why} onSeek={seek} />
        <span className="play-bar-zoom">
          <IconButton small look="stage" label={text.timeline.zoomOut} keys="−" onPress={() => setView(zoomed(view, 2, at, now))} data-testid="play-zoom-out"><Minus size={16} aria-hidden /></IconButton>
          <IconButton small look="stage" label={text.timeline.zoomIn} keys="+" onPress={() => setView(zoomed(view, 0.5, at, now))} data-testid="play-zoom-in"><Plus size={16} aria-hidden /></IconButton>
        </span>
        <Button small look="stage" aria-label={text.live.backToLive} onPress={onLive} data-testid="play-live">{text.live.live}</Button>
      </div>
      <PlayLine conductor={conductor} zone={zone} view={view} onView={setView} nowUs={now} bands={bands} shares={all} merged={narrow} chosen={chosen} onSeek={seek} />
    </section>
  );
}

/** A date and a time to go to. It goes there when the time is whole and the field is left, or Enter is pressed. */
function MomentInput({ atUs, zone, why, onSeek }: { atUs: number; zone: string; why: string; onSeek: (us: number) => void }) {
  const shown = momentInput(atUs, zone);
  const [value, setValue] = useState(shown);
  useEffect(() => setValue(shown), [shown]);
  const go = () => {
    const us = fromMomentInput(value, zone);
    if (us !== undefined && value !== shown) onSeek(us);
  };
  return (
    <form className="play-bar-go" onSubmit={(event) => { event.preventDefault(); go(); }}>
      <span className="play-bar-label" aria-hidden>{text.together.goTo}</span>
      <input type="datetime-local" step={1} className="play-bar-input num" value={value} aria-label={text.together.moments(zone)} data-testid="play-input"
        onChange={(event) => setValue(event.target.value)} onBlur={go} />
      <abbr className="play-bar-zone" title={why}>{zoneName(atUs, zone)}</abbr>
    </form>
  );
}
