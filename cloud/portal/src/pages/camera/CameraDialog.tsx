import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { client } from "../../api/client";
import { retentionPreview } from "../../api/queries";
import type { Camera } from "../../api/types";
import { bytes, duration } from "../../lib/format";
import { useSettled } from "../../lib/hooks";
import { moment } from "../../lib/time";
import { text } from "../../text";
import { Button } from "../../ui/button";
import { Switch } from "../../ui/choice";
import { Confirm, FormDialog } from "../../ui/dialog";
import { TextField } from "../../ui/field";
import { Notice } from "../../ui/notice";
import { say } from "../../ui/toast";

/** Changes a camera's name, recording and retention. */
export function CameraDialog({ camera, zone, onClose }: { camera: Camera; zone: string; onClose: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [name, setName] = useState(camera.name);
  const [days, setDays] = useState(camera.keep_days > 0 ? String(camera.keep_days) : "");
  const [share, setShare] = useState(camera.share_pct > 0 ? String(camera.share_pct) : "");
  const [record, setRecord] = useState(!camera.disabled);
  const [stepDown, setStepDown] = useState(camera.step_down);
  const [forgetting, setForgetting] = useState(false);
  const keep = days.trim() === "" ? 0 : Number(days);
  const percent = share.trim() === "" ? 0 : Number(share);
  const good = wholeOrNone(days, keep, 3650);
  const fair = wholeOrNone(share, percent, 100);
  const changed = good && fair && (keep !== camera.keep_days || percent !== camera.share_pct);

  const save = async () => {
    await client.PATCH("/cameras/{camera}", { params: { path: { camera: camera.id } }, body: { name: name.trim(), disabled: !record, keep_days: keep, share_pct: percent, step_down: stepDown } });
    await Promise.all([queries.invalidateQueries({ queryKey: ["camera", camera.id] }), queries.invalidateQueries({ queryKey: ["cameras", camera.site] })]);
    say(text.cameraPage.saved);
  };
  const forget = async () => {
    await client.DELETE("/cameras/{camera}", { params: { path: { camera: camera.id } } });
    await queries.invalidateQueries({ queryKey: ["cameras", camera.site] });
    await navigate({ to: "/sites/$site", params: { site: camera.site } });
    say(text.cameraPage.forgotten);
  };

  if (forgetting) {
    return <Confirm title={text.cameraPage.forgetTitle(camera.name)} open onClose={onClose} submit={text.cameraPage.forget} onSubmit={forget}><p>{text.cameraPage.forgetText}</p></Confirm>;
  }
  return (
    <FormDialog title={text.cameraPage.editTitle} open onClose={onClose} submit={text.actions.save} ready={good && fair} onSubmit={save} data-testid="camera-dialog">
      <TextField label={text.fields.name} value={name} onChange={setName} maxLength={128} hint={text.cameraPage.nameHint} autoFocus />
      <TextField label={text.cameraPage.keepDays} value={days} onChange={setDays} inputMode="numeric" hint={text.cameraPage.keepHint} {...(good ? {} : { fault: text.cameraPage.keepBad })} />
      <TextField label={text.cameraPage.share} value={share} onChange={setShare} inputMode="numeric" hint={text.cameraPage.shareHint} {...(fair ? {} : { fault: text.cameraPage.shareBad })} data-testid="camera-share" />
      {changed && <Preview camera={camera.id} days={keep} share={percent} zone={zone} />}
      <div className="field">
        <Switch checked={record} onChange={setRecord}>{text.cameraPage.disable}</Switch>
        <p className="field-hint">{text.cameraPage.disableHint}</p>
      </div>
      <div className="field">
        <Switch checked={stepDown} onChange={setStepDown} data-testid="camera-step-down">{text.cameraPage.stepDown}</Switch>
        <p className="field-hint">{text.cameraPage.stepDownHint} {stepDownCost(camera)}</p>
      </div>
      {!camera.reported && <div><Button small look="danger" onPress={() => setForgetting(true)}>{text.cameraPage.forget}</Button></div>}
    </FormDialog>
  );
}

/** What an hour of either stream takes, as far as both are known. */
function stepDownCost(camera: Camera): string {
  const hour = (kind: "main" | "sub") => {
    const stream = camera.streams.find((known) => known.kind === kind && known.record);
    return stream?.kbps ? bytes((stream.kbps * 1000 / 8) * 3600) : undefined;
  };
  if (camera.streams.length > 0 && !camera.streams.some((stream) => stream.kind === "sub" && stream.record)) return text.cameraPage.stepDownNone;
  const [main, sub] = [hour("main"), hour("sub")];
  return main && sub ? text.cameraPage.stepDownCost(sub, main) : "";
}

/** True for an empty field and for a whole number from 1 to the most. */
const wholeOrNone = (typed: string, value: number, most: number): boolean => typed.trim() === "" || (Number.isInteger(value) && value >= 1 && value <= most);

/** Says what other limits delete, before they are saved. */
function Preview({ camera, days, share, zone }: { camera: string; days: number; share: number; zone: string }) {
  const wish = useSettled(`${days} ${share}`, 300);
  const { data } = useQuery({ ...retentionPreview(camera, days, share), enabled: wish === `${days} ${share}` });
  if (!data) return null;
  if (!data.known) return <Notice tone="quiet">{text.cameraPage.previewUnknown}</Notice>;
  if (data.length_us === 0) return <Notice tone="quiet">{text.cameraPage.previewNone}</Notice>;
  return (
    <div data-testid="retention-preview">
      <Notice tone="warn" title={text.cameraPage.preview(duration(data.length_us), bytes(data.bytes))}>
        {data.due_us ? text.cameraPage.previewDue(moment(data.due_us, zone)) : text.cameraPage.previewAtOnce}
      </Notice>
    </div>
  );
}
