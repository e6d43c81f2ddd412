import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Ellipsis, Pencil, Plus, Sparkles, Trash2 } from "lucide-react";
import { useState } from "react";

import { client } from "../api/client";
import { words } from "../api/errors";
import { cameras as camerasQuery, rules as rulesQuery, sites as sitesQuery } from "../api/queries";
import type { Rule } from "../api/types";
import { eventName } from "../lib/events";
import { text } from "../text";
import { Button, IconButton } from "../ui/button";
import { Switch } from "../ui/choice";
import { Confirm } from "../ui/dialog";
import { Menu } from "../ui/menu";
import { Empty, Failure, Skeleton } from "../ui/notice";
import { Page } from "../ui/page";
import { say } from "../ui/toast";
import { hourCount } from "./HourGrid";
import { keepWords } from "./KeepFor";
import { KeepSettings } from "./KeepSettings";
import { RuleDialog } from "./RuleDialog";

/** The rules that keep clips by themselves. */
export default function RulesPage() {
  const { data, error, isPending, refetch } = useQuery(rulesQuery());
  const [editing, setEditing] = useState<Rule | "new">();
  const add = <Button look="primary" icon={<Plus size={16} aria-hidden />} onPress={() => setEditing("new")} data-testid="add-rule">{text.rules.add}</Button>;
  return (
    <Page title={text.rules.title} lead={text.rules.lead} actions={data && data.length > 0 && add}>
      {isPending ? <Skeleton lines={3} height={64} />
        : !data ? <Failure what={text.rules.failed} error={error} onRetry={() => void refetch()} />
        : data.length === 0 ? <Empty icon={Sparkles} title={text.rules.emptyTitle} action={add}><p>{text.rules.empty}</p></Empty>
        : <ul className="rows panel panel-flush">{data.map((rule) => <li key={rule.id}><RuleRow rule={rule} onEdit={() => setEditing(rule)} /></li>)}</ul>}
      <KeepSettings />
      {editing && <RuleDialog {...(editing === "new" ? {} : { rule: editing })} onClose={() => setEditing(undefined)} />}
    </Page>
  );
}

function RuleRow({ rule, onEdit }: { rule: Rule; onEdit: () => void }) {
  const queries = useQueryClient();
  const sites = useQuery(sitesQuery());
  const cameras = useQuery({ ...camerasQuery(rule.site ?? ""), enabled: !!rule.site && !!rule.camera });
  const [removing, setRemoving] = useState(false);
  const site = rule.site ? (sites.data?.find((known) => known.id === rule.site)?.name ?? rule.site) : text.rules.everySite;
  const camera = rule.camera ? cameras.data?.find((known) => known.id === rule.camera)?.name : undefined;
  const more = [
    rule.hours.length > 0 && text.rules.someHours(hourCount(rule.hours)),
    rule.priority !== "normal" && text.rules.priorities[rule.priority],
    rule.keep_days >= 0 && `${text.clips.kept} ${keepWords(rule.keep_days)}`,
    rule.stream === "sub" && text.keep.sub,
  ].filter((words): words is string => !!words);
  const toggle = async (enabled: boolean) => {
    try {
      await client.PATCH("/rules/{id}", { params: { path: { id: rule.id } }, body: { enabled } });
    } catch (error) {
      say(words(error), true);
    }
    await queries.invalidateQueries({ queryKey: ["rules"] });
  };
  return (
    <div className="row" data-testid="rule-row">
      <div className="row-main">
        <p className="row-title">{rule.name}</p>
        <p className="soft">{text.rules.sentence(eventName(rule.event_kind), [site, camera].filter(Boolean).join(", "), rule.pre_s, rule.post_s)}</p>
        {more.length > 0 && <p className="small muted">{more.join(" · ")}</p>}
      </div>
      <div className="row-side">
        <Switch checked={rule.enabled} onChange={(next) => void toggle(next)}><span className="unseen">{text.rules.enabledOf(rule.name)}</span></Switch>
        <Menu label={text.actions.more} groups={[
          [{ id: "edit", label: text.actions.edit, icon: <Pencil size={15} />, onAction: onEdit }],
          [{ id: "delete", label: text.actions.delete, icon: <Trash2 size={15} />, danger: true, onAction: () => setRemoving(true) }],
        ]}>
          <IconButton small label={text.actions.more}><Ellipsis size={18} aria-hidden /></IconButton>
        </Menu>
      </div>
      {removing && (
        <Confirm title={text.rules.removeTitle(rule.name)} open onClose={() => setRemoving(false)} submit={text.actions.delete} onSubmit={async () => {
          await client.DELETE("/rules/{id}", { params: { path: { id: rule.id } } });
          await queries.invalidateQueries({ queryKey: ["rules"] });
          say(text.rules.removed);
        }}><p>{text.rules.removeText}</p></Confirm>
      )}
    </div>
  );
}
