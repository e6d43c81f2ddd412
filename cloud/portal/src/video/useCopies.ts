import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { storedClips } from "../api/queries";
import { HOUR } from "../lib/time";
import { copiesOf } from "./copies";

/** Clips are asked for in steps of so much time, and so much around it. */
const stepUs = 6 * HOUR;

/** What the cloud has of a camera around a moment of its site's clock; not asked for where there is none. */
export function useCopies(camera: { id: string; site: string }, aroundUs: number | undefined) {
  const from = Math.floor((aroundUs ?? 0) / stepUs - 1) * stepUs;
  const { data, error, isPlaceholderData } = useQuery({ ...storedClips(camera.site, Math.max(0, from), from + 3 * stepUs), placeholderData: keepPreviousData, enabled: aroundUs !== undefined });
  const copies = useMemo(() => data && copiesOf(data, camera.id), [data, camera.id]);
  return { copies, error, settled: data !== undefined && !isPlaceholderData };
}
