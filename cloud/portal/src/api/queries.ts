// What the pages read, and how long it stays fresh. Changes pushed by the cloud (changes.ts) renew it earlier.
import { infiniteQueryOptions, QueryClient, queryOptions } from "@tanstack/react-query";

import { nowUs } from "../lib/time";
import { nearest } from "../video/copies";
import { client, data } from "./client";
import { ApiError, mayPass } from "./errors";
import type { Camera, RuleRequest, StreamKind, Turn } from "./types";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      retry: (count, error) => count < 2 && mayPass(error),
      retryDelay: (count) => Math.min(1000 * 2 ** count, 8000) * (0.5 + Math.random() / 2),
    },
    mutations: { retry: false },
  },
});

/** True when nobody is signed in. */
export const signedOut = (error: unknown): boolean => error instanceof ApiError && error.status === 401;

export const me = () => queryOptions({ queryKey: ["me"], queryFn: () => data(client.GET("/me")), staleTime: 60_000, retry: (count, error) => count < 2 && mayPass(error) });

export const setupNeeded = () => queryOptions({ queryKey: ["setup"], queryFn: async () => {
  try {
    return (await data(client.GET("/setup"))).needed;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 410)) return false;
    throw error;
  }
}, staleTime: 60_000 });

export const version = () => queryOptions({ queryKey: ["version"], queryFn: () => data(client.GET("/version")), staleTime: Infinity });

/** Follows `next` to the last page: for lists that are short by nature, such as sites and people. */
async function everyPage<T>(page: (after: string | undefined) => Promise<{ items: T[]; next?: string | undefined }>): Promise<T[]> {
  const all: T[] = [];
  let after: string | undefined;
  do {
    const got = await page(after);
    all.push(...got.items);
    after = got.next;
  } while (after);
  return all;
}

export const sites = () => queryOptions({
  queryKey: ["sites"],
  queryFn: () => everyPage(async (after) => {
    const got = await data(client.GET("/sites", { params: { query: after ? { after } : {} } }));
    return { items: got.sites, next: got.next };
  }),
  refetchInterval: 20_000,
});

export const site = (id: string) => queryOptions({
  queryKey: ["site", id],
  queryFn: () => data(client.GET("/sites/{site}", { params: { path: { site: id } } })),
  refetchInterval: 15_000,
});

export const cameras = (site: string) => queryOptions({
  queryKey: ["cameras", site],
  queryFn: async () => (await data(client.GET("/sites/{site}/cameras", { params: { path: { site } } }))).cameras,
  refetchInterval: 20_000,
});

/** One camera. What the list of its site has said lately will do at first: who clicks there waits for nothing. */
export const camera = (id: string) => queryOptions({
  queryKey: ["camera", id],
  initialData: () => listed(id)?.camera,
  initialDataUpdatedAt: () => listed(id)?.atMs,
  queryFn: () => data(client.GET("/cameras/{camera}", { params: { path: { camera: id } } })),
  refetchInterval: 20_000,
});

function listed(id: string): { camera: Camera; atMs: number } | undefined {
  for (const query of queryClient.getQueryCache().findAll({ queryKey: ["cameras"] })) {
    const found = (query.state.data as Camera[] | undefined)?.find((known) => known.id === id);
    if (found) return { camera: found, atMs: query.state.dataUpdatedAt };
  }
  return undefined;
}

/** Whether one can speak through a camera, and who does. */
export const talk = (camera: string) => queryOptions({
  queryKey: ["talk", camera],
  queryFn: () => data(client.GET("/cameras/{camera}/talk", { params: { path: { camera } } })),
  refetchInterval: (query) => (query.state.data?.by ? 5_000 : 60_000),
});

export const story = (site: string, fromUs: number) => queryOptions({
  queryKey: ["story", site, fromUs],
  queryFn: async () => (await data(client.GET("/sites/{site}/story", { params: { path: { site }, query: { from_us: fromUs } } }))).story,
});

export const coverage = (camera: string, stream: StreamKind, fromUs: number, toUs: number) => queryOptions({
  queryKey: ["coverage", camera, stream, fromUs, toUs],
  queryFn: ({ signal }) => data(client.GET("/cameras/{camera}/coverage", {
    params: { path: { camera }, query: { from_us: fromUs, to_us: toUs, stream } }, signal,
  })),
  staleTime: 20_000,
  refetchInterval: 30_000,
  gcTime: 120_000,
});

/** The same of several cameras, as a wall has them. It is renewed by the clock alone: something of so many changes all the time. */
export const coverages = (cameras: string[], fromUs: number, toUs: number) => queryOptions({
  queryKey: ["coverages", cameras, fromUs, toUs],
  queryFn: ({ signal }) => data(client.GET("/coverage", { params: { query: { cameras, from_us: fromUs, to_us: toUs } }, signal })),
  staleTime: 20_000,
  refetchInterval: 30_000,
  gcTime: 120_000,
});

export interface EventFilter {
  site?: string;
  camera?: string;
  cameras?: string[];
  kind?: string;
  from_us?: number;
  to_us?: number;
}

export const events = (filter: EventFilter, limit = 50) => infiniteQueryOptions({
  queryKey: ["events", filter, limit],
  queryFn: async ({ pageParam, signal }) => await data(client.GET("/events", {
    params: { query: { ...filter, limit, ...(pageParam ? { before: pageParam } : {}) } }, signal,
  })),
  initialPageParam: "",
  getNextPageParam: (last) => last.next || undefined,
});

export const clips = () => infiniteQueryOptions({
  queryKey: ["clips"],
  queryFn: async ({ pageParam }) => await data(client.GET("/clips", { params: { query: { limit: 50, ...(pageParam ? { before: pageParam } : {}) } } })),
  initialPageParam: "",
  getNextPageParam: (last) => last.next || undefined,
  refetchInterval: 15_000,
});

/** What the cloud has of a site's video in a range of time. */
export const storedClips = (site: string, from_us: number, to_us: number) => queryOptions({
  queryKey: ["clips", "stored", site, from_us, to_us],
  queryFn: ({ signal }) => everyPage(async (before) => {
    const got = await data(client.GET("/clips", { params: { query: { site, state: "stored", from_us, to_us, limit: 500, ...(before ? { before } : {}) } }, signal }));
    return { items: got.clips, next: got.next };
  }),
  staleTime: 60_000,
  refetchInterval: ({ state }) => (state.error ? 15_000 : false),
});

/** The stretches of a camera that the cloud has on both sides of a moment. */
export const nearestCopies = (camera: string, atUs: number) => queryOptions({
  queryKey: ["clips", "nearest", camera, atUs],
  queryFn: ({ signal }) => nearest(async (from_us, to_us) => {
    const got = await data(client.GET("/clips", { params: { query: { camera, state: "stored", from_us, to_us, limit: 100 } }, signal }));
    return { clips: got.clips, more: got.next !== undefined };
  }, camera, atUs, nowUs()),
  staleTime: 60_000,
});

export const clip = (id: string) => queryOptions({
  queryKey: ["clip", id],
  queryFn: () => data(client.GET("/clips/{clip}", { params: { path: { clip: id } } })),
  refetchInterval: 4_000,
});

export const holds = (site: string) => queryOptions({
  queryKey: ["holds", site],
  queryFn: async () => (await data(client.GET("/sites/{site}/holds", { params: { path: { site } } }))).holds,
  refetchInterval: 15_000,
});

/** The programs that may show a site live by a token. */
export const players = (site: string) => queryOptions({
  queryKey: ["players", site],
  queryFn: async () => (await data(client.GET("/sites/{site}/players", { params: { path: { site } } }))).players,
  refetchInterval: 30_000,
});

/** What a camera can be told to do. The site asks its device, which may take a while. */
export const ptz = (camera: string) => queryOptions({
  queryKey: ["ptz", camera],
  queryFn: () => data(client.GET("/cameras/{camera}/ptz", { params: { path: { camera } } })),
  staleTime: 300_000,
  retry: false,
});

/** Whose turn it is with a camera, and when that was heard. */
export type HeardTurn = Turn & { heardMs: number };
export const heardTurn = (turn: Turn): HeardTurn => ({ ...turn, heardMs: Date.now() });

/** Who moves a camera. Its end is not announced, and it becomes longer without a word: while it is somebody else's it is asked
 *  for again and again. */
export const turn = (camera: string) => queryOptions({
  queryKey: ["turn", camera],
  queryFn: async () => heardTurn(await data(client.GET("/cameras/{camera}/turn", { params: { path: { camera } } }))),
  refetchInterval: ({ state }) => (state.data?.name && !state.data.mine ? 4000 : false),
});

/** What other limits of a camera would delete. */
export const retentionPreview = (camera: string, keep_days: number, share_pct: number) => queryOptions({
  queryKey: ["retention", camera, keep_days, share_pct],
  queryFn: () => data(client.GET("/cameras/{camera}/retention", { params: { path: { camera }, query: { keep_days, share_pct } } })),
});

export const rules = () => queryOptions({ queryKey: ["rules"], queryFn: async () => (await data(client.GET("/rules"))).rules });

export const clipSettings = () => queryOptions({ queryKey: ["clip-settings"], queryFn: () => data(client.GET("/clip-settings")), staleTime: 60_000 });

/** What another default would delete at once. */
export const clipExpiry = (days: number) => queryOptions({
  queryKey: ["clip-expiry", days],
  queryFn: () => data(client.GET("/clip-settings/expiry", { params: { query: { keep_days: days } } })),
});

/** What a rule would have sent; lineKbps 0 uses the line as it was measured. */
export const rulePreview = (rule: RuleRequest, lineKbps: number) => queryOptions({
  queryKey: ["rule-preview", rule, lineKbps],
  queryFn: ({ signal }) => data(client.POST("/rules/preview", { params: { query: { line_kbps: lineKbps } }, body: rule, signal })),
  staleTime: 60_000,
  gcTime: 60_000,
});

export const walls = () => queryOptions({ queryKey: ["walls"], queryFn: async () => (await data(client.GET("/walls"))).walls });

/** One wall, as the list of them has it until it is asked for. */
export const wall = (id: string) => queryOptions({
  queryKey: ["wall", id],
  initialData: () => queryClient.getQueryData(walls().queryKey)?.find((known) => known.id === id),
  initialDataUpdatedAt: () => queryClient.getQueryState(walls().queryKey)?.dataUpdatedAt,
  queryFn: () => data(client.GET("/walls/{wall}", { params: { path: { wall: id } } })),
  refetchInterval: 60_000,
});

export const people = () => queryOptions({
  queryKey: ["people"],
  queryFn: () => everyPage(async (after) => {
    const got = await data(client.GET("/people", { params: { query: after ? { after } : {} } }));
    return { items: got.people, next: got.next };
  }),
});

export const regions = () => queryOptions({ queryKey: ["regions"], queryFn: async () => (await data(client.GET("/regions"))).regions });
export const alerts = () => queryOptions({ queryKey: ["alerts"], queryFn: () => data(client.GET("/alerts")) });

export const incidents = (site: string) => queryOptions({
  queryKey: ["incidents", site],
  queryFn: async () => (await data(client.GET("/incidents", { params: { query: { site } } }))).incidents,
});

export const audit = (person: string | undefined) => infiniteQueryOptions({
  queryKey: ["audit", person ?? ""],
  queryFn: async ({ pageParam }) => await data(client.GET("/audit", {
    params: { query: { limit: 50, ...(pageParam ? { before: Number(pageParam) } : {}), ...(person ? { person } : {}) } },
  })),
  initialPageParam: "",
  getNextPageParam: (last) => last.next || undefined,
});
