import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { client } from "../api/client";
import { cameras as camerasQuery, sites as sitesQuery } from "../api/queries";
import type { Rule, StreamKind } from "../api/types";
import { eventName } from "../lib/events";
import { text } from "../text";
import { FormDialog } from "../ui/dialog";
import { SelectField, TextField } from "../ui/field";

const other = "+";

/** Makes a rule, or changes one. */
export function RuleDialog({ rule, onClose }: { rule?: Rule; onClose: () => void }) {
  const queries = useQueryClient();
  const sites = useQuery(sitesQuery());
  const known = Object.keys(text.eventKinds);
  const [name, setName] = useState(rule?.name ?? "");
  const [kind, setKind] = useState(rule ? (known.includes(rule.event_kind) ? rule.event_kind : other) : (known[0] ?? other));
  const [ownKind, setOwnKind] = useState(rule && !known.includes(rule.event_kind) ? rule.event_kind : "");
  const [site, setSite] = useState(rule?.site ?? "");
  const [camera, setCamera] = useState(rule?.camera ?? "");
  const [pre, setPre] = useState(String(rule?.pre_s ?? 10));
  const [post, setPost] = useState(String(rule?.post_s ?? 30));
  const [stream, setStream] = useState<StreamKind>(rule?.stream ?? "main");
  const cameras = useQuery({ ...camerasQuery(site), enabled: site !== "" });

  const eventKind = kind === other ? ownKind.trim() : kind;
  const seconds = (value: string) => (/^\d{1,3}$/.test(value.trim()) && Number(value) <= 600 ? Number(value) : undefined);
  const [preS, postS] = [seconds(pre), seconds(post)];
  const ready = name.trim() !== "" && /^[a-z0-9_]{1,64}$/.test(eventKind) && preS !== undefined && postS !== undefined && preS + postS > 0;

  const save = async () => {
    const body = { name: name.trim(), event_kind: eventKind, site, camera: site ? camera : "", pre_s: preS ?? 0, post_s: postS ?? 0, stream, enabled: rule?.enabled ?? true };
    if (rule) await client.PATCH("/rules/{id}", { params: { path: { id: rule.id } }, body });
    else await client.POST("/rules", { body });
    await queries.invalidateQueries({ queryKey: ["rules"] });
  };
  return (
    <FormDialog title={rule ? text.rules.editTitle : text.rules.addTitle} open onClose={onClose} submit={rule ? text.actions.save : text.rules.add} ready={ready} onSubmit={save} data-testid="rule-dialog">
      <TextField label={text.rules.name} placeholder={text.rules.namePlaceholder} value={name} onChange={setName} maxLength={128} autoFocus data-testid="rule-name" />
      <SelectField label={text.rules.kind} value={kind} onChange={setKind} data-testid="rule-kind"
        options={[...known.map((value) => ({ value, label: eventName(value) })), { value: other, label: text.rules.kindOther }]} />
      {kind === other && <TextField label={text.rules.kindOtherLabel} hint={text.rules.kindHint} value={ownKind} onChange={setOwnKind} maxLength={64} autoCapitalize="none" spellCheck={false} data-testid="rule-own-kind" />}
      <SelectField label={text.rules.site} value={site} onChange={(next) => { setSite(next); setCamera(""); }}
        options={[{ value: "", label: text.rules.anySite }, ...(sites.data ?? []).map((found) => ({ value: found.id, label: found.name }))]} />
      {site && (
        <SelectField label={text.rules.camera} value={camera} onChange={setCamera}
          options={[{ value: "", label: text.rules.eventCamera }, ...(cameras.data ?? []).map((found) => ({ value: found.id, label: found.name }))]} />
      )}
      <div className="pair">
        <TextField label={text.rules.pre} value={pre} onChange={setPre} inputMode="numeric" {...(preS === undefined ? { fault: text.rules.secondsBad } : {})} />
        <TextField label={text.rules.post} value={post} onChange={setPost} inputMode="numeric" {...(postS === undefined ? { fault: text.rules.secondsBad } : {})} />
      </div>
      <SelectField label={text.rules.stream} value={stream} onChange={(next) => setStream(next as StreamKind)}
        options={[{ value: "main", label: text.keep.main }, { value: "sub", label: text.keep.sub }]} />
    </FormDialog>
  );
}
