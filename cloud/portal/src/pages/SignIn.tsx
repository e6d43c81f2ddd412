import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useRouter, useSearch } from "@tanstack/react-router";
import { useState } from "react";

import { client } from "../api/client";
import { ApiError } from "../api/errors";
import { me, setupNeeded } from "../api/queries";
import { text } from "../text";
import { PasswordField, TextField } from "../ui/field";
import { Notice } from "../ui/notice";
import { Entry, EntryForm } from "./Entry";

/** Signs in and goes to where the person wanted to be. */
export default function SignInPage() {
  const { next, email: known } = useSearch({ from: "/sign-in" });
  const router = useRouter();
  const queries = useQueryClient();
  const needed = useQuery(setupNeeded());
  const [email, setEmail] = useState(known ?? "");
  const [password, setPassword] = useState("");
  const send = async () => {
    try {
      const answer = await client.POST("/session", { body: { email: email.trim(), password } });
      queries.clear();
      if (answer.data) queries.setQueryData(me().queryKey, answer.data);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) throw new ApiError(401, error.message || text.entry.signInFailed);
      throw error;
    }
    // Only an address of this portal is gone to: "//elsewhere" would leave it.
    router.history.push(next && /^\/(?![/\\])/.test(next) ? next : "/");
  };
  return (
    <Entry title={text.entry.signIn} lead={known ? text.entry.passwordSet : text.entry.signInLead}>
      {needed.data === true && <Notice tone="accent" action={<Link className="link" to="/setup">{text.entry.setupTitle}</Link>}>{text.entry.setupLead}</Notice>}
      <EntryForm testId="sign-in" submit={text.entry.signIn} ready={email.trim() !== "" && password !== ""} onSubmit={send}>
        <TextField label={text.fields.email} type="email" name="email" autoComplete="username" value={email} onChange={setEmail} autoFocus={!known} required data-testid="sign-in-email" />
        <PasswordField label={text.fields.password} name="password" autoComplete="current-password" value={password} onChange={setPassword} autoFocus={!!known} required data-testid="sign-in-password" />
      </EntryForm>
      <p className="muted small">{text.entry.forgot}</p>
    </Entry>
  );
}
