import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { KeyRound, Pencil } from "lucide-react";
import { useState } from "react";

import { useCan } from "../../api/can";
import { client } from "../../api/client";
import type { Site } from "../../api/types";
import { text } from "../../text";
import { Button } from "../../ui/button";
import { Confirm } from "../../ui/dialog";
import { Facts, Panel } from "../../ui/page";
import { say } from "../../ui/toast";
import SiteDialog from "../SiteDialog";
import { PlayersPanel } from "./PlayersPanel";

/** What people know the site by, its agent, other players, and what can't be undone. */
export function SettingsTab({ site, onEnrol }: { site: Site; onEnrol: () => void }) {
  const can = useCan();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [open, setOpen] = useState<"edit" | "revoke" | "delete">();
  const close = () => setOpen(undefined);

  const revoke = async () => {
    await client.DELETE("/sites/{site}/agent", { params: { path: { site: site.id } } });
    await queries.invalidateQueries({ queryKey: ["site", site.id] });
    say(text.site.revoked);
  };
  const remove = async () => {
    await client.DELETE("/sites/{site}", { params: { path: { site: site.id } } });
    await queries.invalidateQueries({ queryKey: ["sites"] });
    await navigate({ to: "/" });
    say(text.site.removed);
  };

  return (
    <>
      {can("sites.edit") && (
        <Panel title={text.site.settingsGeneral} aside={<Button small icon={<Pencil size={15} aria-hidden />} onPress={() => setOpen("edit")} data-testid="edit-site">{text.actions.edit}</Button>}>
          <Facts facts={[
            { label: text.fields.name, value: site.name },
            { label: text.sites.address, value: site.address || "–" },
            { label: text.sites.timezone, value: site.timezone },
          ]} />
        </Panel>
      )}
      {can("agents.edit") && (
        <Panel title={text.site.settingsAgent} aside={<Button small icon={<KeyRound size={15} aria-hidden />} onPress={onEnrol} data-testid="enrol">{site.agent ? text.site.replace : text.site.enrol}</Button>}>
          <p className="soft">{site.agent ? text.site.settingsAgentText(site.agent.host, site.agent.version) : text.site.settingsAgentNone}</p>
        </Panel>
      )}
      {can("players.edit") && <PlayersPanel site={site} />}
      {((can("agents.edit") && site.agent) || can("sites.create")) && (
        <Panel title={text.site.danger}>
          <div className="danger-zone">
            {can("agents.edit") && site.agent && (
              <div className="danger-row"><p>{text.site.revokeText}</p><Button look="danger" onPress={() => setOpen("revoke")} data-testid="revoke">{text.site.revoke}</Button></div>
            )}
            {can("sites.create") && (
              <div className="danger-row"><p>{text.site.removeText}</p><Button look="danger" onPress={() => setOpen("delete")} data-testid="delete-site">{text.site.remove}</Button></div>
            )}
          </div>
        </Panel>
      )}
      {open === "edit" && <SiteDialog open site={site} onClose={close} />}
      {open === "revoke" && <Confirm title={text.site.revokeTitle} open onClose={close} submit={text.site.revoke} onSubmit={revoke}><p>{text.site.revokeText}</p></Confirm>}
      {open === "delete" && <Confirm title={text.site.removeTitle(site.name)} open onClose={close} submit={text.site.remove} onSubmit={remove} type={site.name}><p>{text.site.removeText}</p></Confirm>}
    </>
  );
}
