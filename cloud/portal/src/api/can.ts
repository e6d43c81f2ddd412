// What the signed-in person may do. The cloud decides and says it in Me.can; the portal only leaves out what
// would be refused.
import { useQuery } from "@tanstack/react-query";

import { me } from "./queries";

/** The actions that the portal asks about, by the cloud's own names. */
export type Action =
  | "health" | "events" | "live" | "talk" | "playback" | "cameras.move" | "export" | "clips.edit" | "holds.edit" | "cameras.edit" | "sites.edit" | "sites.create"
  | "regions.edit" | "agents.edit" | "rules.edit" | "people.edit" | "alerts.edit" | "players.edit" | "audit.view";

/** Answers whether the signed-in person may do something; no while it is not known. */
export function useCan(): (action: Action) => boolean {
  const { data } = useQuery(me());
  return (action) => data?.can.includes(action) ?? false;
}
