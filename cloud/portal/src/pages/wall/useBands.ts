// Where the video of a wall's cameras is.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { coverages } from "../../api/queries";
import type { Range, Site, WallTile } from "../../api/types";
import type { Band } from "../../timeline/bands";
import { goingOn } from "../../timeline/coverage";
import { askedRange, type View } from "../../timeline/scale";

/** A camera of a wall, and what is to be added to its site's clock. */
export interface Led {
  id: string;
  name: string;
  siteName: string;
  dark: boolean;
  offUs: number;
}

/** The cameras of a wall, each once, in the order of their tiles. */
export function camerasOf(tiles: readonly WallTile[], sites: readonly Site[] | undefined): Led[] {
  const found = new Map<string, Led>();
  for (const tile of tiles) {
    if (!tile.camera || found.has(tile.camera)) continue;
    const site = sites?.find((known) => known.id === tile.site);
    found.set(tile.camera, {
      id: tile.camera, name: tile.camera_name ?? "", siteName: tile.site_name ?? "", dark: site?.status === "dark", offUs: -(site?.agent?.clock_offset_us ?? 0),
    });
  }
  return [...found.values()];
}

const noRanges: Range[] = [];

/** The bands of cameras in a view; moments are by the cloud's clock. */
export function useBands(cameras: readonly Led[], view: View, now: number) {
  const asked = askedRange(view, now);
  const ids = useMemo(() => cameras.map(({ id }) => id), [cameras]);
  const found = useQuery({ ...coverages(ids, asked.fromUs, asked.toUs), placeholderData: keepPreviousData, enabled: ids.length > 0 });
  const bands = useMemo(() => {
    const of = new Map(found.data?.cameras.map(({ camera, coverage }) => [camera, goingOn(coverage.ranges)]));
    return cameras.map(({ id, name, siteName, dark, offUs }): Band => ({ camera: id, name, site: siteName, dark, ranges: shifted(of.get(id) ?? noRanges, offUs) }));
  }, [cameras, found.data]);
  return { bands, loading: found.isPending, failed: found.isError ? found.error : undefined };
}

/** Ranges of a site's clock by the cloud's; small errors are not worth the copy. */
function shifted(ranges: readonly Range[], offUs: number): readonly Range[] {
  if (Math.abs(offUs) < 100_000) return ranges;
  return ranges.map((range) => ({ ...range, start_us: range.start_us + offUs, end_us: range.end_us + offUs }));
}
