import { LoaderCircle, Pause, Play } from "lucide-react";
import { useEffect, useState, useSyncExternalStore } from "react";

import { useNow } from "../../lib/hooks";
import { clockSeconds, dayWord, fromMomentInput, momentInput, zoneName } from "../../lib/time";
import { text } from "../../text";
import { Button, IconButton } from "../../ui/button";
import { Menu } from "../../ui/menu";
import { rates, rateWord } from "../../video/control";
import type { Conductor } from "../../video/together";
import { PlayLine } from "./PlayLine";

interface PlayBarProps {
  conductor: Conductor;
  zone: { zone: string; why: string };
  onSeek: (us: number) => void;
  onLive: () => void;
}

/** How far a jump goes. */
export const skipUs = 10_000_000;

/** The controls of a wall that is played back: one moment for all of it. */
export function PlayBar({ conductor, zone: { zone, why }, onSeek, onLive }: PlayBarProps) {
  const { playing, rate, gathering } = useSyncExternalStore(conductor.subscribe, conductor.direction);
  useNow(250);
  const at = conductor.momentUs(performance.now());
  const toggle = () => (playing ? conductor.pause(performance.now()) : conductor.play(performance.now()));
  return (
    <section className="play-bar" aria-label={text.together.controls} data-testid="play-bar" data-moment={Math.round(at)} data-gathering={gathering || undefined}>
      <div className="play-bar-row">
        <div className="play-bar-buttons">
          <Button small look="stage" aria-label={text.together.back} onPress={() => onSeek(conductor.momentUs(performance.now()) - skipUs)} data-testid="play-back">−10 s</Button>
          <IconButton small look="stage" label={playing ? text.together.pause : text.together.play} keys="Space" onPress={toggle} data-testid="play-toggle">
            {playing ? <Pause size={18} aria-hidden /> : <Play size={18} aria-hidden />}
          </IconButton>
          <Button small look="stage" aria-label={text.together.on} onPress={() => onSeek(conductor.momentUs(performance.now()) + skipUs)} data-testid="play-on">+10 s</Button>
          <Menu label={text.together.rate(rateWord(rate))} groups={[rates.map((each) => ({ id: `rate-${each}`, label: rateWord(each), onAction: () => conductor.pace(each, performance.now()) }))]}>
            <Button small look="stage" aria-label={text.together.rate(rateWord(rate))} data-testid="play-rate">{rateWord(rate)}</Button>
          </Menu>
        </div>
        <span className="play-bar-moment num" data-testid="play-moment">
          <span className="play-bar-day">{dayWord(at, zone)}</span> {clockSeconds(at, zone)}
          {gathering && <LoaderCircle size={14} className="btn-spin" aria-label={text.together.gathering} />}
        </span>
        <MomentInput atUs={conductor.askedUs} zone={zone} why={why} onSeek={onSeek} />
        <Button small look="stage" aria-label={text.live.backToLive} onPress={onLive} data-testid="play-live">{text.live.live}</Button>
      </div>
      <PlayLine conductor={conductor} zone={zone} onSeek={onSeek} />
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
