import type { Range } from "../../api/types";
import { duration } from "../../lib/format";
import { clockSeconds, dayWord, moment } from "../../lib/time";
import { text } from "../../text";
import { reasonWords } from "../../text/health";
import { type Band, kindOf } from "../../timeline/bands";
import { lookOf, rangeAt } from "../../timeline/coverage";
import { clamp } from "../../timeline/scale";

interface BandTipProps {
  us: number;
  x: number;
  width: number;
  zone: string;
  nowUs: number;
  bands: readonly Band[];
  /** The band that is pointed at; without one all that have no video are told. */
  band: Band | undefined;
}

/** Cameras without video that are told one by one. */
const most = 4;

/** What the moment under the pointer is: how many cameras have video, and why the others don't. */
export function BandTip({ us, x, width, zone, nowUs, bands, band }: BandTipProps) {
  const past = us <= nowUs;
  const without = past ? bands.filter((each) => !videoAt(each, us)) : [];
  const told = band ? [band] : without.slice(0, most);
  return (
    <div className="track-tip band-tip" style={{ left: clamp(x, Math.min(140, width / 2), Math.max(width - 140, width / 2)) }} data-testid="band-tip">
      <p className="num"><span className="strong">{dayWord(us, zone)} {clockSeconds(us, zone)}</span></p>
      {past && bands.length > 0 && <p className="soft num">{text.together.have(bands.length - without.length, bands.length)}</p>}
      {past && told.map((each) => <BandState key={each.camera} band={each} us={us} zone={zone} brief={!band} />)}
      {!band && without.length > most && <p className="soft small">{text.together.haveMore(without.length - most)}</p>}
    </div>
  );
}

function BandState({ band, us, zone, brief }: { band: Band; us: number; zone: string; brief: boolean }) {
  const range = rangeAt(band.ranges, us);
  const state = range?.state ?? "unknown";
  return (
    <>
      <p className="track-tip-state">
        <span className={`swatch swatch-${range ? lookOf(range) : state}`} aria-hidden />
        <span><span className="strong">{band.name}</span>, <span className="soft">{band.site}</span>{brief && `: ${stateWords(range)}`}</span>
      </p>
      {!brief && <p>{stateWords(range)}</p>}
      {!brief && range?.state === "gap" && (
        <p className="soft small num">
          {moment(range.start_us, zone)} – {moment(range.end_us, zone)} · {duration(range.end_us - range.start_us)}
          {range.text && <><br />{range.text}</>}
        </p>
      )}
      {!brief && band.dark && state !== "cloud" && <p className="soft small">{text.together.outOfReach}</p>}
    </>
  );
}

/** What is the case in a range, and of a gap the reason. */
export const stateWords = (range: Range | undefined): string => (range?.state === "gap" ? reasonWords(range.reason) : text.coverageHint[range?.state ?? "unknown"]);

/** Whether a camera has video of a moment. */
export function videoAt(band: Band, us: number): boolean {
  const range = rangeAt(band.ranges, us);
  return range !== undefined && kindOf(range) === "video";
}
