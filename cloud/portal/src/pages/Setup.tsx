import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";

import { client } from "../api/client";
import { me, setupNeeded } from "../api/queries";
import { text } from "../text";
import { PasswordField, TextField } from "../ui/field";
import { Failure, Notice, Skeleton } from "../ui/notice";
import { Entry, EntryForm, passwordFault, passwordGood } from "./Entry";

/** The first start: makes the organisation and its owner, who then is signed in. */
export default function SetupPage() {
  const search = useSearch({ from: "/setup" });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const needed = useQuery(setupNeeded());
  const [token, setToken] = useState(search.token ?? "");
  const [organisation, setOrganisation] = useState("");
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const filled = [token, organisation, name, email].every((field) => field.trim() !== "");

  if (needed.isPending) return <Entry title={text.entry.setupTitle}><Skeleton lines={4} height={42} /></Entry>;
  if (needed.isError) return <Entry title={text.entry.setupTitle}><Failure what={text.entry.setupTitle} error={needed.error} onRetry={() => void needed.refetch()} /></Entry>;
  if (!needed.data) {
    return <Entry title={text.entry.setupTitle}><Notice tone="accent" action={<Link className="link" to="/sign-in">{text.entry.toSignIn}</Link>}>{text.entry.setupDone}</Notice></Entry>;
  }
  const send = async () => {
    const answer = await client.POST("/setup", { body: { token: token.trim(), organisation: organisation.trim(), name: name.trim(), email: email.trim(), password } });
    queries.clear();
    if (answer.data) queries.setQueryData(me().queryKey, answer.data);
    await navigate({ to: "/" });
  };
  return (
    <Entry title={text.entry.setupTitle} lead={text.entry.setupLead}>
      <EntryForm testId="setup" submit={text.entry.setupSubmit} ready={filled && passwordGood(password)} onSubmit={send}>
        {!search.token && <TextField label={text.entry.setupToken} hint={text.entry.setupTokenHint} value={token} onChange={setToken} autoComplete="off" spellCheck={false} data-testid="setup-token" />}
        <TextField label={text.entry.organisation} placeholder={text.entry.organisationPlaceholder} value={organisation} onChange={setOrganisation} maxLength={128} autoComplete="organization" autoFocus data-testid="setup-organisation" />
        <TextField label={text.entry.yourName} value={name} onChange={setName} maxLength={128} autoComplete="name" data-testid="setup-name" />
        <TextField label={text.fields.email} type="email" value={email} onChange={setEmail} autoComplete="username" data-testid="setup-email" />
        <PasswordField label={text.fields.password} value={password} onChange={setPassword} autoComplete="new-password" hint={text.entry.passwordHint} {...passwordFault(password)} data-testid="setup-password" />
      </EntryForm>
    </Entry>
  );
}
