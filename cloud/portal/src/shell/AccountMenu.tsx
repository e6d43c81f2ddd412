import { useNavigate } from "@tanstack/react-router";
import { LogOut, UserRound } from "lucide-react";
import { Button as AriaButton } from "react-aria-components/Button";

import type { Me } from "../api/types";
import { text } from "../text";
import { Menu } from "../ui/menu";
import { AccountWords } from "./AccountWords";
import { ThemeChoice } from "./ThemeChoice";
import { useSignOut } from "./useSignOut";

/** Who is signed in, and what concerns only them; open from the first moment, because somebody asked for it. */
export default function AccountMenu({ me }: { me: Me }) {
  const navigate = useNavigate();
  const signOut = useSignOut();
  return (
    <Menu open label={text.nav.account} head={<ThemeChoice />} groups={[
      [{ id: "account", label: text.nav.account, icon: <UserRound size={16} aria-hidden />, onAction: () => void navigate({ to: "/account" }) }],
      [{ id: "sign-out", label: text.nav.signOut, icon: <LogOut size={16} aria-hidden />, onAction: () => void signOut() }],
    ]}>
      <AriaButton className="account" data-testid="account-menu"><AccountWords me={me} /></AriaButton>
    </Menu>
  );
}
