import { type UseQueryResult, useQueries } from "@tanstack/react-query";
import { useParams, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";

import { ApiError } from "../api/errors";
import { wall as wallQuery } from "../api/queries";
import type { Wall } from "../api/types";
import { text } from "../text";
import { Failure, Skeleton } from "../ui/notice";
import { Page } from "../ui/page";
import { Board } from "./wall/Board";

/** A wall that runs, or several in turn. A wall of the round that is gone is left out. */
export default function WallRunPage() {
  const { wall: first } = useParams({ from: "/inside/walls/$wall" });
  const { then, every } = useSearch({ from: "/inside/walls/$wall" });
  const ids = useMemo(() => [...new Set([first, ...(then?.split(",").filter(Boolean) ?? [])])], [first, then]);
  const { found, walls } = useQueries({ queries: ids.map((id) => wallQuery(id)), combine: joined });
  const ready = found.every((query) => !query.isPending);
  if (walls.length > 0 && ready) return <Board key={ids.join()} walls={walls} every={every} />;
  const up = { to: "/walls", label: text.walls.title };
  if (!ready) return <Page title="…" name={text.walls.title} up={up} wide><Skeleton lines={1} height={480} /></Page>;
  return <Page title={text.walls.title} up={up}><Failure what={text.walls.oneFailed} error={found[0]?.error} onRetry={() => found.forEach((query) => void query.refetch())} /></Page>;
}

/** Stays the same object until a wall changes, which the board counts on. */
function joined(found: UseQueryResult<Wall>[]) {
  return { found, walls: found.flatMap((query) => (query.data && !gone(query.error) ? [query.data] : [])) };
}

const gone = (error: unknown): boolean => error instanceof ApiError && error.status === 404;
