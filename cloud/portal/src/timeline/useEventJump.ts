// From the moment on the screen to the next event, or to the one before.
import { useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";

import { words } from "../api/errors";
import { events as eventsQuery } from "../api/queries";
import type { Event } from "../api/types";
import { useNewest, useStable } from "../lib/hooks";
import { nowUs } from "../lib/time";
import { say } from "../ui/toast";
import { type AskEvents, eventAfter, eventBefore } from "./jump";

interface Jump {
  of: { camera: string } | { cameras: string[] };
  momentUs: () => number;
  go: (event: Event) => void;
  /** What is said where there is none. */
  none: { after: string; before: string };
}

/** jump goes there; rest forgets a jump that has not come to its answer, for the person has gone elsewhere. */
export function useEventJump({ of, momentUs, go, none }: Jump): { jump: (direction: 1 | -1) => void; rest: () => void } {
  const queries = useQueryClient();
  const turn = useNewest();
  const jump = useStable(async (direction: 1 | -1) => {
    const newest = turn();
    const ask: AskEvents = async (from_us, to_us) => {
      const { pages } = await queries.fetchInfiniteQuery({ ...eventsQuery({ ...of, from_us, to_us }, direction === 1 ? 100 : 1), staleTime: 5000 });
      return { events: pages[0]?.events ?? [], more: !!pages[0]?.next };
    };
    try {
      const us = Math.round(momentUs());
      const event = await (direction === 1 ? eventAfter(ask, us, nowUs()) : eventBefore(ask, us));
      if (!newest()) return;
      if (event) go(event);
      else say(direction === 1 ? none.after : none.before);
    } catch (error) {
      if (newest()) say(words(error), true);
    }
  });
  const rest = useCallback(() => void turn(), [turn]);
  return { jump, rest };
}
