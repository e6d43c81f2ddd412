import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { LucideIcon } from "lucide-react";
import { useMemo } from "react";

import { words } from "../../api/errors";
import { storedClips } from "../../api/queries";
import { useNow } from "../../lib/hooks";
import { HOUR } from "../../lib/time";
import { ClipTile } from "../../video/ClipTile";
import { copiesOf } from "../../video/copies";
import type { Together } from "../../video/togetherTile";

/** Clips are asked for in steps of so much of the wall's time, and so much around it. */
const stepUs = 6 * HOUR;

interface DarkTileProps {
  camera: { id: string; name: string; site: string };
  withheld: { icon: LucideIcon; words: string };
  together: Together & { zone: string };
}

/** A camera of a dark site on a wall that is played back: what the cloud has of it. */
export function DarkTile({ camera, withheld, together }: DarkTileProps) {
  useNow(2000);
  const from = Math.floor((together.conductor.momentUs(performance.now()) - together.offUs) / stepUs - 1) * stepUs;
  const { data, error } = useQuery({ ...storedClips(camera.site, Math.max(0, from), from + 3 * stepUs), placeholderData: keepPreviousData });
  const copies = useMemo(() => data && copiesOf(data, camera.id), [data, camera.id]);
  return <ClipTile camera={camera} copies={copies} failed={copies || !error ? undefined : words(error)} withheld={withheld} together={together} />;
}
