import { CirclePause, FileX2, type LucideIcon, Unplug, VideoOff } from "lucide-react";

import type { Camera, Site } from "../../api/types";
import { ageSpan } from "../../lib/format";
import { nowUs } from "../../lib/time";
import { text } from "../../text";

/** Why nothing is asked of a site for a tile, in words; undefined when it is asked. */
export function tileWithheld(site: Site | undefined, camera: Camera | undefined): { icon: LucideIcon; words: string } | undefined {
  if (site?.status === "dark") return { icon: Unplug, words: site.since_us ? text.live.siteDark(ageSpan(nowUs() - site.since_us)) : text.still.dark };
  if (site?.status === "never") return { icon: VideoOff, words: text.live.siteNever };
  if (camera && !camera.reported) return { icon: FileX2, words: text.cameraSentence.unreported };
  if (camera?.disabled) return { icon: CirclePause, words: text.live.disabled };
  return undefined;
}
