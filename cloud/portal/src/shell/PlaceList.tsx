import { useQuery } from "@tanstack/react-query";
import { Link, useRouterState } from "@tanstack/react-router";

import { sites } from "../api/queries";
import { text } from "../text";
import type { Place } from "./places";

/** Links to places; the sites carry how many of them need somebody. */
export function PlaceList({ places, labelledBy, onPick }: { places: readonly Place[]; labelledBy?: string; onPick?: () => void }) {
  const { data } = useQuery(sites());
  const path = useRouterState({ select: (state) => state.location.pathname });
  const troubled = data?.filter((site) => site.status === "dark" || site.status === "attention").length ?? 0;
  // A site and a camera lie under the sites.
  const under = path.startsWith("/sites/") || path.startsWith("/cameras/");
  return (
    <ul aria-labelledby={labelledBy}>
      {places.map(({ to, label, icon: Icon }) => (
        <li key={to}>
          <Link to={to} className="place" activeOptions={{ exact: to === "/", includeSearch: false }} data-under={(to === "/" && under) || undefined} onClick={onPick}>
            <Icon size={18} strokeWidth={1.9} aria-hidden />
            <span>{label}</span>
            {to === "/" && troubled > 0 && <span className="count"><span aria-hidden>{troubled}</span><span className="unseen">{text.nav.troubled(troubled)}</span></span>}
          </Link>
        </li>
      ))}
    </ul>
  );
}
