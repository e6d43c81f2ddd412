import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useCallback, useMemo, useState } from "react";

import { coverage, events } from "../api/queries";
import type { Event, Range, StreamKind } from "../api/types";
import { useNow } from "../lib/hooks";
import { HOUR } from "../lib/time";
import { goingOn } from "./coverage";
import { around, askedRange, bounded, clamp, following, longestSpan, shortestSpan, spanOf, type View } from "./scale";

const noRanges: Range[] = [];
const noEvents: Event[] = [];

/** What a timeline shows: its view, whether that follows now, and the coverage and events inside it. */
export function useTimeline(camera: string, stream: StreamKind, startUs: number | undefined, allowed: boolean, withEvents: boolean) {
  const nowUs = useNow(1000);
  const [span, setSpan] = useState(startUs === undefined ? 6 * HOUR : HOUR);
  // Undefined: follows now.
  const [fixed, setFixed] = useState<View | undefined>(() => (startUs === undefined ? undefined : around(startUs, HOUR, nowUs)));
  const view = fixed ?? following(nowUs, span);

  const setView = useCallback((next: View) => {
    setSpan(spanOf(next));
    setFixed(next);
  }, []);
  const follow = useCallback(() => setFixed(undefined), []);
  const show = useCallback((wanted: number, atUs: number | undefined, now: number) => {
    const next = clamp(wanted, shortestSpan, longestSpan);
    setSpan(next);
    setFixed((current) => (current === undefined ? undefined : bounded(around(atUs ?? (current.fromUs + current.toUs) / 2, next, now), now)));
  }, []);

  const asked = askedRange(view, nowUs);
  const covered = useQuery({ ...coverage(camera, stream, asked.fromUs, asked.toUs), placeholderData: keepPreviousData, enabled: allowed });
  const happened = useInfiniteQuery({
    ...events({ camera, from_us: asked.fromUs, to_us: asked.toUs }, 200), placeholderData: keepPreviousData, enabled: withEvents,
  });
  const ranges = useMemo(() => (covered.data ? goingOn(covered.data.ranges) : noRanges), [covered.data]);
  const list = useMemo(() => happened.data?.pages.flatMap((page) => page.events) ?? noEvents, [happened.data]);

  return {
    view, span, nowUs, following: fixed === undefined, setView, follow, show,
    ranges, firstUs: covered.data?.first_us, durableUs: covered.data?.durable_us,
    loading: covered.isPending, failed: covered.isError ? covered.error : undefined, retry: () => void covered.refetch(),
    events: list,
  };
}

export type TimelineState = ReturnType<typeof useTimeline>;
