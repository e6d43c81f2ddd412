import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { Ellipsis, WifiOff } from "lucide-react";
import { lazy, Suspense, useEffect, useMemo, useState, useSyncExternalStore } from "react";

import { useCan } from "../api/can";
import { Changes } from "../api/changes";
import { me as meQuery } from "../api/queries";
import type { Me } from "../api/types";
import { text } from "../text";
import { Mark } from "../ui/Mark";
import { ToastRegion } from "../ui/toast";
import { AccountWords } from "./AccountWords";
import { managing, type Place, watching } from "./places";
import { PlaceList } from "./PlaceList";

const loadMenu = () => import("./AccountMenu");
const AccountMenu = lazy(loadMenu);
const MoreSheet = lazy(() => import("./MoreSheet"));

/** Everything around the pages of somebody who is signed in. */
export function Shell() {
  const can = useCan();
  const { data: me } = useQuery(meQuery());
  const line = useLine();
  const allowed = (place: Place) => !place.needs || can(place.needs);
  const first = watching.filter(allowed);
  const second = managing.filter(allowed);
  return (
    <div className="shell">
      <a className="skip" href="#content">{text.nav.skip}</a>
      <nav className="rail" aria-label={text.nav.main}>
        <Link to="/" className="brand"><Mark /><span>{text.product}</span></Link>
        <PlaceList places={first} />
        {second.length > 0 && (
          <>
            <p className="rail-head" id="rail-manage">{text.nav.manage}</p>
            <PlaceList places={second} labelledBy="rail-manage" />
          </>
        )}
        <div className="rail-foot">
          {me && <Account me={me} />}
        </div>
      </nav>
      <div className="deck">
        {line === "lost" && <p className="line-lost" role="alert" data-testid="line-lost"><WifiOff size={16} aria-hidden />{text.states.lineLost}</p>}
        <main id="content" tabIndex={-1}><Outlet /></main>
      </div>
      <BottomBar first={first} second={second} />
      <ToastRegion />
    </div>
  );
}

/** The account's button. Menus are a good deal of code: it is fetched when the pointer comes near. */
function Account({ me }: { me: Me }) {
  const [wanted, setWanted] = useState(false);
  const button = (
    <button type="button" className="account" aria-haspopup="menu" data-testid="account-menu" onPointerEnter={() => void loadMenu()} onFocus={() => void loadMenu()} onClick={() => setWanted(true)}>
      <AccountWords me={me} />
    </button>
  );
  return wanted ? <Suspense fallback={button}><AccountMenu me={me} /></Suspense> : button;
}

function useLine() {
  const queries = useQueryClient();
  const changes = useMemo(() => new Changes(queries), [queries]);
  useEffect(() => changes.run(), [changes]);
  return useSyncExternalStore(changes.subscribe, changes.state);
}

function BottomBar({ first, second }: { first: Place[]; second: Place[] }) {
  const { data: me } = useQuery(meQuery());
  const [open, setOpen] = useState(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const here = path === "/account" || second.some((place) => path === place.to);
  return (
    <nav className="bottom" aria-label={text.nav.main}>
      <PlaceList places={first} />
      <button type="button" className="place" aria-haspopup="dialog" data-under={here || undefined} data-testid="nav-more" onClick={() => setOpen(true)}>
        <Ellipsis size={18} aria-hidden /><span>{text.nav.more}</span>
      </button>
      {open && me && <Suspense><MoreSheet me={me} places={second} onClose={() => setOpen(false)} /></Suspense>}
    </nav>
  );
}
