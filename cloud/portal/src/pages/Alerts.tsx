import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Plus, Send, X } from "lucide-react";
import { useState } from "react";

import { client, data } from "../api/client";
import { words } from "../api/errors";
import { alerts as alertsQuery } from "../api/queries";
import type { Alerts } from "../api/types";
import { text } from "../text";
import { Badge } from "../ui/badge";
import { Button, IconButton } from "../ui/button";
import { TextField } from "../ui/field";
import { Failure, Notice, Skeleton } from "../ui/notice";
import { Page, Panel } from "../ui/page";
import { say } from "../ui/toast";

/** Who is told of incidents. */
export default function AlertsPage() {
  const { data: alerts, error, isPending, refetch } = useQuery(alertsQuery());
  return (
    <Page title={text.alerts.title} lead={text.alerts.lead}>
      {isPending ? <Skeleton lines={2} height={140} /> : !alerts ? <Failure what={text.alerts.failed} error={error} onRetry={() => void refetch()} /> : <Form alerts={alerts} />}
    </Page>
  );
}

function Form({ alerts }: { alerts: Alerts }) {
  const queries = useQueryClient();
  const save = useMutation({
    mutationFn: (next: Alerts) => data(client.PUT("/alerts", { body: { emails: next.emails, webhooks: next.webhooks.map(({ url, secret }) => ({ url, ...(secret ? { secret } : {}) })) } })),
    onSuccess: () => {
      say(text.alerts.saved);
      return queries.invalidateQueries({ queryKey: ["alerts"] });
    },
  });
  const test = useMutation({ mutationFn: () => data(client.POST("/alerts/test")) });
  const nobody = alerts.emails.length === 0 && alerts.webhooks.length === 0;
  return (
    <>
      {save.isError && <Notice tone="bad">{words(save.error)}</Notice>}
      <Emails alerts={alerts} busy={save.isPending} onSave={(emails) => save.mutateAsync({ ...alerts, emails })} />
      <Webhooks alerts={alerts} busy={save.isPending} onSave={(webhooks) => save.mutateAsync({ ...alerts, webhooks })} />
      <Panel>
        <div className="alert-foot">
          <Button icon={<Send size={15} aria-hidden />} busy={test.isPending} isDisabled={nobody} onPress={() => test.mutate()} data-testid="alert-test">{text.alerts.test}</Button>
          {nobody && <span className="muted">{text.alerts.testNone}</span>}
        </div>
        {test.isError && <Notice tone="bad">{words(test.error)}</Notice>}
        {test.data && (
          <ul className="alert-list" aria-label={text.alerts.testDone} role="status">
            {test.data.results.map((result) => (
              <li key={result.to} className="alert-item"><span>{result.to}{result.text && <span className="soft small"> {result.text}</span>}</span><Badge tone={result.ok ? "ok" : "bad"}>{result.ok ? text.alerts.delivered : text.alerts.failedDelivery}</Badge></li>
            ))}
          </ul>
        )}
      </Panel>
    </>
  );
}

function Emails({ alerts, busy, onSave }: { alerts: Alerts; busy: boolean; onSave: (emails: string[]) => Promise<unknown> }) {
  const [email, setEmail] = useState("");
  const [fault, setFault] = useState<string>();
  const add = () => {
    if (!/^\S+@\S+$/.test(email.trim())) return setFault(text.alerts.badEmail);
    setFault(undefined);
    void onSave([...new Set([...alerts.emails, email.trim()])]).then(() => setEmail(""), () => undefined);
  };
  return (
    <Panel title={text.alerts.emails} data-testid="alert-emails">
      <p className="soft alert-hint">{text.alerts.emailsHint}</p>
      <ul className="alert-list">
        {alerts.emails.length === 0 && <li className="muted">{text.alerts.emailsNone}</li>}
        {alerts.emails.map((known) => (
          <li key={known} className="alert-item"><span>{known}</span><IconButton small label={text.alerts.removeOf(known)} isDisabled={busy} onPress={() => void onSave(alerts.emails.filter((other) => other !== known)).catch(() => undefined)}><X size={16} aria-hidden /></IconButton></li>
        ))}
      </ul>
      <form className="alert-add" onSubmit={(event) => { event.preventDefault(); add(); }} noValidate>
        <TextField label={text.alerts.emailAdd} type="email" placeholder={text.alerts.emailPlaceholder} value={email} onChange={setEmail} {...(fault ? { fault } : {})} data-testid="alert-email" />
        <Button type="submit" icon={<Plus size={16} aria-hidden />} busy={busy} isDisabled={email.trim() === ""}>{text.actions.add}</Button>
      </form>
    </Panel>
  );
}

function Webhooks({ alerts, busy, onSave }: { alerts: Alerts; busy: boolean; onSave: (webhooks: Alerts["webhooks"]) => Promise<unknown> }) {
  const [url, setUrl] = useState("");
  const [secret, setSecret] = useState("");
  const [fault, setFault] = useState<string>();
  const add = () => {
    if (!/^https?:\/\/.+/.test(url.trim())) return setFault(text.alerts.badUrl);
    setFault(undefined);
    const fresh = { url: url.trim(), ...(secret ? { secret } : {}) };
    void onSave([...alerts.webhooks.filter((hook) => hook.url !== fresh.url), fresh]).then(() => { setUrl(""); setSecret(""); }, () => undefined);
  };
  return (
    <Panel title={text.alerts.webhooks} data-testid="alert-webhooks">
      <p className="soft alert-hint">{text.alerts.webhooksHint}</p>
      <ul className="alert-list">
        {alerts.webhooks.length === 0 && <li className="muted">{text.alerts.webhooksNone}</li>}
        {alerts.webhooks.map((hook) => (
          <li key={hook.url} className="alert-item">
            <span>{hook.url}</span>
            {hook.has_secret && <Badge tone="accent">{text.alerts.signed}</Badge>}
            <IconButton small label={text.alerts.removeOf(hook.url)} isDisabled={busy} onPress={() => void onSave(alerts.webhooks.filter((other) => other.url !== hook.url)).catch(() => undefined)}><X size={16} aria-hidden /></IconButton>
          </li>
        ))}
      </ul>
      <form className="alert-add alert-add-hook" onSubmit={(event) => { event.preventDefault(); add(); }} noValidate>
        <TextField label={text.alerts.webhookUrl} type="url" placeholder="https://" value={url} onChange={setUrl} {...(fault ? { fault } : {})} />
        <TextField label={text.alerts.webhookSecret} placeholder={text.alerts.webhookSecretNone} value={secret} onChange={setSecret} autoComplete="off" />
        <Button type="submit" icon={<Plus size={16} aria-hidden />} busy={busy} isDisabled={url.trim() === ""}>{text.actions.add}</Button>
      </form>
    </Panel>
  );
}
