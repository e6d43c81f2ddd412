import { Bell, Building2, CalendarClock, Film, LayoutGrid, type LucideIcon, ScrollText, Sparkles, Users } from "lucide-react";

import type { Action } from "../api/can";
import { text } from "../text";

export interface Place {
  to: "/" | "/walls" | "/events" | "/clips" | "/rules" | "/people" | "/alerts" | "/audit";
  label: string;
  icon: LucideIcon;
  /** Absent: for everyone. */
  needs?: Action;
}

/** Places for watching. */
export const watching: readonly Place[] = [
  { to: "/", label: text.nav.sites, icon: Building2 },
  { to: "/walls", label: text.nav.walls, icon: LayoutGrid, needs: "live" },
  { to: "/events", label: text.nav.events, icon: CalendarClock, needs: "events" },
  { to: "/clips", label: text.nav.clips, icon: Film, needs: "export" },
];

/** Places for managing. */
export const managing: readonly Place[] = [
  { to: "/rules", label: text.nav.rules, icon: Sparkles, needs: "rules.edit" },
  { to: "/people", label: text.nav.people, icon: Users, needs: "people.edit" },
  { to: "/alerts", label: text.nav.alerts, icon: Bell, needs: "alerts.edit" },
  { to: "/audit", label: text.nav.audit, icon: ScrollText, needs: "audit.view" },
];
