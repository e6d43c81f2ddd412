import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Ellipsis, KeyRound, Pencil, Plus, UserRoundMinus, Users } from "lucide-react";
import { useState } from "react";

import { client, data } from "../api/client";
import { me as meQuery, people as peopleQuery, sites as sitesQuery } from "../api/queries";
import type { Invited, Person } from "../api/types";
import { age } from "../lib/format";
import { nowUs } from "../lib/time";
import { text } from "../text";
import { Badge } from "../ui/badge";
import { Button, IconButton } from "../ui/button";
import { Confirm, Dialog } from "../ui/dialog";
import { CopyField } from "../ui/field";
import { Menu } from "../ui/menu";
import { Empty, Failure, Skeleton } from "../ui/notice";
import { Page } from "../ui/page";
import { say } from "../ui/toast";
import { PersonDialog } from "./PersonDialog";

/** Who may sign in. */
export default function PeoplePage() {
  const { data: people, error, isPending, refetch } = useQuery(peopleQuery());
  const [editing, setEditing] = useState<Person | "new">();
  const [link, setLink] = useState<{ link: string; words: string }>();
  return (
    <Page title={text.people.title} lead={text.people.lead}
      actions={<Button look="primary" icon={<Plus size={16} aria-hidden />} onPress={() => setEditing("new")} data-testid="invite">{text.people.invite}</Button>}>
      {isPending ? <Skeleton lines={4} height={60} />
        : !people ? <Failure what={text.people.failed} error={error} onRetry={() => void refetch()} />
        : people.length === 0 ? <Empty icon={Users} title={text.people.title} />
        : (
          <ul className="rows panel panel-flush">
            {people.map((person) => <li key={person.id}><PersonRow person={person} onEdit={() => setEditing(person)} onLink={setLink} /></li>)}
          </ul>
        )}
      {editing && (
        <PersonDialog {...(editing === "new" ? {} : { person: editing })} onClose={() => setEditing(undefined)}
          onInvited={(made: Invited) => setLink({ link: made.link, words: text.people.linkInvite(made.person.name) })} />
      )}
      {link && (
        <Dialog title={text.people.linkTitle} open firm onClose={() => setLink(undefined)} data-testid="link-dialog">
          <div className="dialog-body">
            <p className="soft">{link.words}</p>
            <CopyField label={text.people.link} value={link.link} multiline />
          </div>
          <footer className="dialog-foot"><Button look="primary" onPress={() => setLink(undefined)}>{text.actions.done}</Button></footer>
        </Dialog>
      )}
    </Page>
  );
}

function PersonRow({ person, onEdit, onLink }: { person: Person; onEdit: () => void; onLink: (link: { link: string; words: string }) => void }) {
  const queries = useQueryClient();
  const me = useQuery(meQuery());
  const sites = useQuery(sitesQuery());
  const [asking, setAsking] = useState<"reset" | "remove">();
  const self = me.data?.person.id === person.id;
  // A manager looks after viewers only; the cloud would refuse the rest.
  const mine = me.data?.person.role === "owner" || person.role === "viewer";
  const named = person.sites?.map((id) => sites.data?.find((site) => site.id === id)?.name).filter(Boolean).join(", ");
  const path = { path: { id: person.id } };
  return (
    <div className="row" data-testid="person-row" data-person={person.id}>
      <span className="avatar person-avatar" data-invited={person.state === "invited" || undefined} aria-hidden>{person.name.charAt(0).toUpperCase()}</span>
      <div className="row-main">
        <p className="person-name"><span className="row-title clip-text">{person.name}</span>{self && <Badge tone="accent">{text.people.you}</Badge>}{person.state === "invited" && <Badge tone="warn">{text.people.invited}</Badge>}</p>
        <p className="soft small clip-text">{person.email}</p>
      </div>
      <div className="person-role">
        <span>{text.roles[person.role]}</span>
        <span className="muted small clip-text" title={named}>{person.sites === null ? text.people.everySite : person.sites.length === 1 ? named : text.people.siteCount(person.sites.length)}</span>
      </div>
      <span className="muted small person-seen">{person.last_seen_us ? text.people.seen(age(nowUs() - person.last_seen_us)) : text.people.neverSeen}</span>
      <div className="row-side">
        {!self && mine ? (
          <Menu label={text.actions.more} groups={[
            [
              { id: "edit", label: text.actions.edit, icon: <Pencil size={15} />, onAction: onEdit },
              { id: "reset", label: text.people.reset, icon: <KeyRound size={15} />, onAction: () => setAsking("reset") },
            ],
            [{ id: "remove", label: text.actions.remove, icon: <UserRoundMinus size={15} />, danger: true, onAction: () => setAsking("remove") }],
          ]}>
            <IconButton small label={text.actions.more}><Ellipsis size={18} aria-hidden /></IconButton>
          </Menu>
        ) : <span className="person-none" />}
      </div>
      {asking === "reset" && (
        <Confirm title={text.people.resetTitle(person.name)} open onClose={() => setAsking(undefined)} submit={text.people.resetSubmit} onSubmit={async () => {
          const made = await data(client.POST("/people/{id}/reset", { params: path }));
          onLink({ link: made.link, words: text.people.linkReset(person.name) });
        }}><p>{text.people.resetText}</p></Confirm>
      )}
      {asking === "remove" && (
        <Confirm title={text.people.removeTitle(person.name)} open onClose={() => setAsking(undefined)} submit={text.actions.remove} onSubmit={async () => {
          await client.DELETE("/people/{id}", { params: path });
          await queries.invalidateQueries({ queryKey: ["people"] });
          say(text.people.removed);
        }}><p>{text.people.removeText}</p></Confirm>
      )}
    </div>
  );
}
