// What the cloud keeps of a camera in clips, as a recording to be played from. Moments are by the site's clock.
import type { Clip } from "../api/types";
import { HOUR, MINUTE } from "../lib/time";

/** A stretch of video in a clip, without a gap inside. */
export interface Copy {
  startUs: number;
  endUs: number;
  /** The moment of the clip's first picture. */
  zeroUs: number;
  clip: Clip;
}

/** The stretches that clips hold of a camera, by their beginning. */
export function copiesOf(clips: readonly Clip[], camera: string): Copy[] {
  return clips.filter((clip) => clip.camera === camera && clip.playable).flatMap(stretches).sort((a, b) => a.startUs - b.startUs || b.endUs - a.endUs);
}

function stretches(clip: Clip): Copy[] {
  const zeroUs = clip.cut_start_us ?? clip.start_us;
  const endUs = clip.cut_end_us ?? clip.end_us;
  const found: Copy[] = [];
  let atUs = zeroUs;
  for (const gap of [...clip.gaps].sort((a, b) => a.start_us - b.start_us)) {
    if (gap.start_us > atUs) found.push({ startUs: atUs, endUs: Math.min(gap.start_us, endUs), zeroUs, clip });
    atUs = Math.max(atUs, gap.end_us);
  }
  if (endUs > atUs) found.push({ startUs: atUs, endUs, zeroUs, clip });
  return found;
}

/** The stretch that holds a moment: of several one of the full picture, and then that which goes on longest. */
export function copyAt(copies: readonly Copy[], us: number): Copy | undefined {
  const rank = (copy: Copy) => (copy.clip.stream === "main" ? 1 : 0);
  return copies.filter(({ startUs, endUs }) => startUs <= us && us < endUs)
    .reduce<Copy | undefined>((best, copy) => (!best || rank(copy) > rank(best) || (rank(copy) === rank(best) && copy.endUs > best.endUs) ? copy : best), undefined);
}

/** The first stretch that begins after a moment. */
export const copyAfter = (copies: readonly Copy[], us: number): Copy | undefined => copies.find(({ startUs }) => startUs > us);

/** The last stretch that has ended by a moment. */
export const copyBefore = (copies: readonly Copy[], us: number): Copy | undefined =>
  copies.reduce<Copy | undefined>((best, copy) => (copy.endUs <= us && (!best || copy.endUs > best.endUs) ? copy : best), undefined);

/** Asks for the clips of a camera that have something of a range, newest first, and whether there are more than those. */
export type AskClips = (fromUs: number, toUs: number) => Promise<{ clips: readonly Clip[]; more: boolean }>;

/** The stretches on both sides of a moment that there is none of. */
export interface Nearest {
  before: Copy | undefined;
  after: Copy | undefined;
}

/** Looks for them: the list is newest first, so what comes after is looked for nearby, then further and further away. */
export async function nearest(ask: AskClips, camera: string, us: number, nowUs: number): Promise<Nearest> {
  const before = copyBefore(copiesOf((await ask(0, us)).clips, camera), us);
  let [fromUs, reach] = [us, 6 * HOUR];
  while (fromUs < nowUs) {
    const { clips, more } = await ask(fromUs, Math.min(fromUs + reach, nowUs));
    const after = copyAfter(copiesOf(clips, camera), us);
    // Where there are more, one of those may be nearer.
    if (after && (!more || reach <= MINUTE)) return { before, after };
    if (after) reach /= 4;
    else {
      fromUs += reach;
      reach *= 4;
    }
  }
  return { before, after: undefined };
}
