import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { client } from "../api/client";
import { cameras as camerasQuery, sites as sitesQuery } from "../api/queries";
import type { Priority, Rule, RuleRequest, StreamKind } from "../api/types";
import { eventName } from "../lib/events";
import { text } from "../text";
import { Segments } from "../ui/choice";
import { FormDialog } from "../ui/dialog";
import { SelectField, TextField } from "../ui/field";
import { everyHour, hourCount, HourGrid, type Hours } from "./HourGrid";
import { KeepFor } from "./KeepFor";
import { RulePreview } from "./RulePreview";

const other = "+";

/** Makes a rule, or changes one; beside it stands what it would have sent. */
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
  const [some, setSome] = useState((rule?.hours.length ?? 0) > 0);
  const [hours, setHours] = useState<Hours>(rule && rule.hours.length > 0 ? rule.hours : everyHour);
  const [priority, setPriority] = useState<Priority>(rule?.priority ?? "normal");
  const [keep, setKeep] = useState(rule?.keep_days ?? -1);
  const cameras = useQuery({ ...camerasQuery(site), enabled: site !== "" });

  const eventKind = kind === other ? ownKind.trim() : kind;
  const seconds = (value: string) => (/^\d{1,3}$/.test(value.trim()) && Number(value) <= 600 ? Number(value) : undefined);
  const [preS, postS] = [seconds(pre), seconds(post)];
  const noHour = some && hourCount(hours) === 0;
  const chooses = /^[a-z0-9_]{1,64}$/.test(eventKind) && preS !== undefined && postS !== undefined && preS + postS > 0 && !noHour;
  const body: RuleRequest = {
    name: name.trim() || "-", event_kind: eventKind, site, camera: site ? camera : "", pre_s: preS ?? 0, post_s: postS ?? 0, stream,
    hours: some && hourCount(hours) < 168 ? [...hours] : [], priority, keep_days: keep, enabled: rule?.enabled ?? true,
  };

  const save = async () => {
    if (rule) await client.PATCH("/rules/{id}", { params: { path: { id: rule.id } }, body });
    else await client.POST("/rules", { body });
    await queries.invalidateQueries({ queryKey: ["rules"] });
  };
  return (
    <FormDialog title={rule ? text.rules.editTitle : text.rules.addTitle} open onClose={onClose} submit={rule ? text.actions.save : text.rules.add} ready={chooses && name.trim() !== ""} onSubmit={save} size="broad" data-testid="rule-dialog">
      <div className="rule-form">
        <div className="rule-fields">
          <TextField label={text.rules.name} placeholder={text.rules.namePlaceholder} value={name} onChange={setName} maxLength={128} autoFocus data-testid="rule-name" />
          <SelectField label={text.rules.kind} value={kind} onChange={setKind} data-testid="rule-kind"
            options={[...known.map((value) => ({ value, label: eventName(value) })), { value: other, label: text.rules.kindOther }]} />
          {kind === other && <TextField label={text.rules.kindOtherLabel} hint={text.rules.kindHint} value={ownKind} onChange={setOwnKind} maxLength={64} autoCapitalize="none" spellCheck={false} data-testid="rule-own-kind" />}
          <div className="pair">
            <SelectField label={text.rules.site} value={site} onChange={(next) => { setSite(next); setCamera(""); }} data-testid="rule-site"
              options={[{ value: "", label: text.rules.anySite }, ...(sites.data ?? []).map((found) => ({ value: found.id, label: found.name }))]} />
            {site && (
              <SelectField label={text.rules.camera} value={camera} onChange={setCamera} data-testid="rule-camera"
                options={[{ value: "", label: text.rules.eventCamera }, ...(cameras.data ?? []).map((found) => ({ value: found.id, label: found.name }))]} />
            )}
          </div>
          {site && camera && <p className="field-hint">{text.rules.kindHintCamera}</p>}
          <div className="pair">
            <TextField label={text.rules.pre} value={pre} onChange={setPre} inputMode="numeric" data-testid="rule-pre" {...(preS === undefined ? { fault: text.rules.secondsBad } : {})} />
            <TextField label={text.rules.post} value={post} onChange={setPost} inputMode="numeric" data-testid="rule-post" {...(postS === undefined ? { fault: text.rules.secondsBad } : {})} />
          </div>
          <div className="field">
            <span className="field-label">{text.rules.hours}</span>
            <Segments label={text.rules.hours} value={some ? "some" : "every"} onChange={(next) => setSome(next === "some")}
              options={[{ value: "every", label: text.rules.hoursEvery }, { value: "some", label: text.rules.hoursChosen }]} />
            {some ? <HourGrid hours={hours} onChange={setHours} {...(noHour ? { fault: text.rules.hoursNone } : {})} /> : <p className="field-hint">{text.rules.hoursHint}</p>}
          </div>
          <div className="pair">
            <SelectField label={text.rules.stream} value={stream} onChange={(next) => setStream(next as StreamKind)}
              options={[{ value: "main", label: text.keep.main }, { value: "sub", label: text.keep.sub }]} />
            <SelectField label={text.rules.priority} value={priority} onChange={(next) => setPriority(next as Priority)}
              options={(["high", "normal", "low"] as const).map((value) => ({ value, label: text.rules.priorities[value] ?? value }))} />
          </div>
          <KeepFor value={keep} onChange={setKeep} hint={text.clips.keepHint} />
        </div>
        <RulePreview rule={chooses ? { ...body, name: "-" } : undefined} />
      </div>
    </FormDialog>
  );
}
