import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";

import { client } from "../api/client";
import { words } from "../api/errors";
import { me as meQuery, sites as sitesQuery, version as versionQuery } from "../api/queries";
import { ThemeChoice } from "../shell/ThemeChoice";
import { text } from "../text";
import { Button } from "../ui/button";
import { PasswordField } from "../ui/field";
import { Notice, Skeleton } from "../ui/notice";
import { Facts, Page, Panel } from "../ui/page";
import { say } from "../ui/toast";
import { passwordFault, passwordGood } from "./Entry";

/** Who is signed in, and their own password. */
export default function AccountPage() {
  const me = useQuery(meQuery());
  const sites = useQuery(sitesQuery());
  const version = useQuery(versionQuery());
  if (!me.data) return <Page title={text.account.title}><Skeleton lines={3} height={40} /></Page>;
  const { person, organisation, sites: limited } = me.data;
  const names = limited?.map((id) => sites.data?.find((site) => site.id === id)?.name ?? id).join(", ");
  return (
    <Page title={text.account.title}>
      <Panel title={person.name}>
        <Facts facts={[
          { label: text.fields.email, value: person.email },
          { label: text.entry.organisation, value: organisation.name },
          { label: text.account.role, value: text.roles[person.role], note: text.roleHints[person.role] },
          { label: text.account.sites, value: names ?? text.account.allSites },
          { label: text.account.version, value: version.data ? `${text.product} ${version.data.version}` : "–" },
        ]} />
      </Panel>
      <Panel title={text.account.appearance}><ThemeChoice /></Panel>
      <PasswordPanel email={person.email} />
    </Page>
  );
}

function PasswordPanel({ email }: { email: string }) {
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const send = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFault(undefined);
    try {
      await client.POST("/me/password", { body: { old, new: fresh } });
      setOld("");
      setFresh("");
      say(text.account.changed);
    } catch (error) {
      setFault(words(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Panel title={text.account.passwordTitle}>
      <form className="narrow-form" data-testid="own-password" onSubmit={(event) => void send(event)}>
        <input type="email" name="email" autoComplete="username" value={email} readOnly hidden />
        <PasswordField label={text.account.oldPassword} value={old} onChange={setOld} autoComplete="current-password" />
        <PasswordField label={text.account.newPassword} value={fresh} onChange={setFresh} autoComplete="new-password" hint={text.entry.passwordHint} {...passwordFault(fresh)} />
        {fault && <Notice tone="bad">{fault}</Notice>}
        <div><Button type="submit" look="primary" busy={busy} isDisabled={old === "" || !passwordGood(fresh)}>{text.account.change}</Button></div>
      </form>
    </Panel>
  );
}
