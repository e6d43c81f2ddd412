import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { client, data } from "../api/client";
import { me as meQuery, sites as sitesQuery } from "../api/queries";
import type { Invited, Person, Role } from "../api/types";
import { text } from "../text";
import { Checkbox, Segments } from "../ui/choice";
import { FormDialog } from "../ui/dialog";
import { SelectField, TextField } from "../ui/field";
import { say } from "../ui/toast";

/** Invites a person, or changes what one may do. */
export function PersonDialog({ person, onClose, onInvited }: { person?: Person; onClose: () => void; onInvited: (made: Invited) => void }) {
  const queries = useQueryClient();
  const me = useQuery(meQuery());
  const sites = useQuery(sitesQuery());
  const owner = me.data?.person.role === "owner";
  // Who is limited to sites can only give what they have.
  const limited = me.data?.sites !== null;
  const [name, setName] = useState(person?.name ?? "");
  const [email, setEmail] = useState(person?.email ?? "");
  const [role, setRole] = useState<Role>(person?.role ?? "viewer");
  const [chosen, setChosen] = useState<string[] | null>(person ? person.sites : limited ? [] : null);
  const everySite = role === "owner" || chosen === null;
  const ready = name.trim() !== "" && /.+@.+/.test(email) && (everySite || (chosen?.length ?? 0) > 0);

  const save = async () => {
    if (person) {
      const reach = everySite ? { all_sites: true } : { sites: chosen ?? [] };
      await client.PATCH("/people/{id}", { params: { path: { id: person.id } }, body: { name: name.trim(), role, ...reach } });
      say(text.people.saved);
    } else {
      onInvited(await data(client.POST("/people", { body: { name: name.trim(), email: email.trim(), role, sites: everySite ? null : chosen } })));
    }
    await queries.invalidateQueries({ queryKey: ["people"] });
  };
  const roles: Role[] = owner ? ["viewer", "manager", "owner", "support"] : ["viewer"];
  return (
    <FormDialog title={person ? text.people.editTitle : text.people.inviteTitle} open onClose={onClose} submit={person ? text.actions.save : text.people.inviteSubmit} ready={ready} onSubmit={save} data-testid="person-dialog">
      {!person && <p className="soft">{text.people.inviteLead}</p>}
      <TextField label={text.fields.name} value={name} onChange={setName} maxLength={128} autoFocus autoComplete="off" data-testid="person-name" />
      {!person && <TextField label={text.fields.email} type="email" value={email} onChange={setEmail} maxLength={254} autoComplete="off" data-testid="person-email" />}
      <SelectField label={text.people.role} value={role} onChange={(next) => setRole(next as Role)} hint={text.roleHints[role]} data-testid="person-role"
        options={roles.map((value) => ({ value, label: text.roles[value] }))} />
      {role !== "owner" && (
        <fieldset className="field">
          <legend className="field-label">{text.people.sites}</legend>
          {!limited && (
            <Segments label={text.people.sites} value={chosen === null ? "all" : "some"} onChange={(next) => setChosen(next === "all" ? null : (person?.sites ?? []))}
              options={[{ value: "all", label: text.people.allSites }, { value: "some", label: text.people.chosenSites }]} />
          )}
          {chosen !== null && (
            <div className="choice-list">
              {(sites.data ?? []).map((site) => (
                <Checkbox key={site.id} checked={chosen.includes(site.id)} onChange={(on) => setChosen(on ? [...chosen, site.id] : chosen.filter((id) => id !== site.id))}>{site.name}</Checkbox>
              ))}
            </div>
          )}
          {chosen?.length === 0 && <p className="field-hint">{text.people.noneChosen}</p>}
        </fieldset>
      )}
      {role === "owner" && <p className="field-hint">{text.people.ownerSites}</p>}
    </FormDialog>
  );
}
