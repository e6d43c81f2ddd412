import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useRouterState } from "@tanstack/react-router";
import { useState } from "react";

import { client, data } from "../api/client";
import { words } from "../api/errors";
import { text } from "../text";
import { PasswordField } from "../ui/field";
import { Notice, Skeleton } from "../ui/notice";
import { Entry, EntryForm, passwordFault, passwordGood } from "./Entry";

/** Accepts an invitation or sets a new password with a one-time link. */
export default function OneTimeLinkPage() {
  const { token: inPath } = useParams({ strict: false });
  const inHash = useRouterState({ select: (state) => state.location.hash });
  const token = inHash.replace(/^#/, "") || inPath || "";
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [password, setPassword] = useState("");
  const link = useQuery({
    queryKey: ["link", token], enabled: token !== "", retry: false, staleTime: Infinity,
    queryFn: () => data(client.GET("/passwords/{token}", { params: { path: { token } } })),
  });

  if (token === "" || link.isError) {
    return <Entry title={text.entry.linkFailed}><Notice tone="bad" action={<Link className="link" to="/sign-in">{text.entry.toSignIn}</Link>}>{token === "" ? text.entry.linkMissing : words(link.error)}</Notice></Entry>;
  }
  if (!link.data) return <Entry title={text.entry.resetTitle}><Skeleton lines={2} height={42} /></Entry>;
  const { purpose, organisation, name, email } = link.data;
  const send = async () => {
    await client.POST("/passwords", { body: { token, password } });
    queries.clear();
    await navigate({ to: "/sign-in", search: { email } });
  };
  const invited = purpose === "invite";
  return (
    <Entry title={invited ? text.entry.inviteTitle(organisation) : text.entry.resetTitle} lead={invited ? text.entry.inviteLead(name) : text.entry.resetLead(email)}>
      <EntryForm testId="link" submit={text.entry.linkSubmit} ready={passwordGood(password)} onSubmit={send}>
        <input type="email" name="email" autoComplete="username" value={email} readOnly hidden />
        <PasswordField label={text.account.newPassword} value={password} onChange={setPassword} autoComplete="new-password" hint={text.entry.passwordHint} {...passwordFault(password)} autoFocus data-testid="link-password" />
      </EntryForm>
    </Entry>
  );
}
