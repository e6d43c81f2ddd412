// The map of pages, with the typed part of each address. Pages are loaded when they are first opened.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Outlet, redirect } from "@tanstack/react-router";

import { me, queryClient, setupNeeded, signedOut } from "./api/queries";
import type { StreamKind } from "./api/types";
import { PageFailure, PageMissing } from "./shell/faults";
import { Shell } from "./shell/Shell";
import { Skeleton } from "./ui/notice";

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : typeof value === "number" ? String(value) : undefined);
const us = (value: unknown): number | undefined => (typeof value === "number" && Number.isFinite(value) && value > 0 ? value : undefined);
const oneOf = <T extends string>(value: unknown, values: readonly T[]): T | undefined => values.find((known) => known === value);

/** An object without its undefined members, so that addresses stay short. */
function compact<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}

const root = createRootRoute({ component: Outlet, notFoundComponent: PageMissing, errorComponent: PageFailure });

const inside = createRoute({
  getParentRoute: () => root,
  id: "inside",
  component: Shell,
  // Nobody is signed in: first see whether this is a new cloud, then ask to sign in and come back here.
  beforeLoad: async ({ location }) => {
    try {
      await queryClient.ensureQueryData(me());
    } catch (error) {
      if (!signedOut(error)) throw error;
      if (await queryClient.fetchQuery(setupNeeded()).catch(() => false)) throw redirect({ to: "/setup" });
      throw redirect({ to: "/sign-in", search: location.href === "/" ? {} : { next: location.href } });
    }
  },
});

export interface SignInSearch { next?: string; email?: string }
const signIn = createRoute({
  getParentRoute: () => root, path: "/sign-in",
  validateSearch: (search): SignInSearch => compact({ next: text(search.next), email: text(search.email) }) as SignInSearch,
  component: lazyRouteComponent(() => import("./pages/SignIn")),
});
const setup = createRoute({
  getParentRoute: () => root, path: "/setup",
  validateSearch: (search): { token?: string } => compact({ token: text(search.token) }) as { token?: string },
  component: lazyRouteComponent(() => import("./pages/Setup")),
});
// The token of a one-time link stands behind the #, so that no log ever holds it; a path is understood as well.
const link = createRoute({ getParentRoute: () => root, path: "/password", component: lazyRouteComponent(() => import("./pages/OneTimeLink")) });
const linkPath = createRoute({ getParentRoute: () => root, path: "/link/$token", component: lazyRouteComponent(() => import("./pages/OneTimeLink")) });

export interface SitesSearch { q?: string; status?: "trouble" | "ok" | "dark" | "never" }
const sites = createRoute({
  getParentRoute: () => inside, path: "/",
  validateSearch: (search): SitesSearch => compact({ q: text(search.q), status: oneOf(search.status, ["trouble", "ok", "dark", "never"]) }) as SitesSearch,
  component: lazyRouteComponent(() => import("./pages/Sites")),
});

export const siteTabs = ["cameras", "wall", "story", "events", "holds", "settings"] as const;
export type SiteTab = (typeof siteTabs)[number];
const site = createRoute({
  getParentRoute: () => inside, path: "/sites/$site",
  validateSearch: (search): { tab?: SiteTab } => compact({ tab: oneOf(search.tab, siteTabs) }) as { tab?: SiteTab },
  component: lazyRouteComponent(() => import("./pages/Site")),
});

export interface CameraSearch { at?: number; stream?: StreamKind; in?: number; out?: number }
const camera = createRoute({
  getParentRoute: () => inside, path: "/cameras/$camera",
  validateSearch: (search): CameraSearch => compact({ at: us(search.at), stream: oneOf(search.stream, ["main", "sub"]), in: us(search.in), out: us(search.out) }) as CameraSearch,
  component: lazyRouteComponent(() => import("./pages/Camera")),
});

export interface EventsSearch { site?: string; camera?: string; kind?: string; from?: string; to?: string }
const events = createRoute({
  getParentRoute: () => inside, path: "/events",
  validateSearch: (search): EventsSearch => compact({ site: text(search.site), camera: text(search.camera), kind: text(search.kind), from: text(search.from), to: text(search.to) }) as EventsSearch,
  component: lazyRouteComponent(() => import("./pages/Events")),
});

export interface ClipsSearch { clip?: string; state?: "stored" | "waiting" | "failed"; site?: string }
const clips = createRoute({
  getParentRoute: () => inside, path: "/clips",
  validateSearch: (search): ClipsSearch => compact({ clip: text(search.clip), state: oneOf(search.state, ["stored", "waiting", "failed"]), site: text(search.site) }) as ClipsSearch,
  component: lazyRouteComponent(() => import("./pages/Clips")),
});

const walls = createRoute({ getParentRoute: () => inside, path: "/walls", component: lazyRouteComponent(() => import("./pages/Walls")) });
const newWall = createRoute({ getParentRoute: () => inside, path: "/walls/new", component: lazyRouteComponent(() => import("./pages/WallEdit"), "NewWall") });
const editWall = createRoute({ getParentRoute: () => inside, path: "/walls/$wall/edit", component: lazyRouteComponent(() => import("./pages/WallEdit"), "EditWall") });

/** `then` are walls that are shown after the first one, with commas; `every` is how many seconds each page stays; `at` is the
 *  moment from which all cameras are played back, without it they are live. */
export interface WallSearch { then?: string; every?: number; at?: number }
const wall = createRoute({
  getParentRoute: () => inside, path: "/walls/$wall",
  validateSearch: (search): WallSearch => compact({ then: text(search.then), every: us(search.every), at: us(search.at) }) as WallSearch,
  component: lazyRouteComponent(() => import("./pages/WallRun")),
});

const rules = createRoute({ getParentRoute: () => inside, path: "/rules", component: lazyRouteComponent(() => import("./pages/Rules")) });
const people = createRoute({ getParentRoute: () => inside, path: "/people", component: lazyRouteComponent(() => import("./pages/People")) });
const alerts = createRoute({ getParentRoute: () => inside, path: "/alerts", component: lazyRouteComponent(() => import("./pages/Alerts")) });
const audit = createRoute({
  getParentRoute: () => inside, path: "/audit",
  validateSearch: (search): { person?: string } => compact({ person: text(search.person) }) as { person?: string },
  component: lazyRouteComponent(() => import("./pages/Audit")),
});
const account = createRoute({ getParentRoute: () => inside, path: "/account", component: lazyRouteComponent(() => import("./pages/Account")) });

export const router = createRouter({
  routeTree: root.addChildren([signIn, setup, link, linkPath, inside.addChildren([sites, site, camera, walls, newWall, editWall, wall, events, clips, rules, people, alerts, audit, account])]),
  defaultPreload: "intent",
  defaultPreloadStaleTime: 0,
  defaultPendingComponent: () => <div className="page"><Skeleton lines={6} height={40} /></div>,
  defaultErrorComponent: PageFailure,
  defaultNotFoundComponent: PageMissing,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
  interface HistoryState {
    /** A site that was just made: its page opens with the enrolment. */
    enrol?: boolean;
  }
}
