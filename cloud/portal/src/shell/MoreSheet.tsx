import { Link } from "@tanstack/react-router";
import { LogOut, UserRound } from "lucide-react";

import type { Me } from "../api/types";
import { text } from "../text";
import { Dialog } from "../ui/dialog";
import { PlaceList } from "./PlaceList";
import type { Place } from "./places";
import { ThemeChoice } from "./ThemeChoice";
import { useSignOut } from "./useSignOut";

/** What does not fit into the bar of a phone. */
export default function MoreSheet({ me, places, onClose }: { me: Me; places: Place[]; onClose: () => void }) {
  const signOut = useSignOut();
  return (
    <Dialog title={me.person.name} open onClose={onClose}>
      <div className="sheet">
        <p className="muted small sheet-org">{me.organisation.name}</p>
        <PlaceList places={places} onPick={onClose} />
        <ul>
          <li><Link to="/account" className="place" onClick={onClose}><UserRound size={18} aria-hidden /><span>{text.nav.account}</span></Link></li>
          <li><button type="button" className="place" onClick={() => void signOut()}><LogOut size={18} aria-hidden /><span>{text.nav.signOut}</span></button></li>
        </ul>
        <ThemeChoice />
      </div>
    </Dialog>
  );
}
