import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { client } from "../../api/client";
import type { Camera } from "../../api/types";
import { text } from "../../text";
import { Button } from "../../ui/button";
import { Switch } from "../../ui/choice";
import { Confirm, FormDialog } from "../../ui/dialog";
import { TextField } from "../../ui/field";
import { say } from "../../ui/toast";

/** Changes a camera's name, recording and retention. */
export function CameraDialog({ camera, onClose }: { camera: Camera; onClose: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [name, setName] = useState(camera.name);
  const [days, setDays] = useState(camera.keep_days > 0 ? String(camera.keep_days) : "");
  const [record, setRecord] = useState(!camera.disabled);
  const [forgetting, setForgetting] = useState(false);
  const keep = days.trim() === "" ? 0 : Number(days);
  const good = Number.isInteger(keep) && keep >= 0 && keep <= 3650 && !(days.trim() !== "" && keep === 0);

  const save = async () => {
    await client.PATCH("/cameras/{camera}", { params: { path: { camera: camera.id } }, body: { name: name.trim(), disabled: !record, keep_days: keep } });
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
    <FormDialog title={text.cameraPage.editTitle} open onClose={onClose} submit={text.actions.save} ready={good} onSubmit={save} data-testid="camera-dialog">
      <TextField label={text.fields.name} value={name} onChange={setName} maxLength={128} hint={text.cameraPage.nameHint} autoFocus />
      <TextField label={text.cameraPage.keepDays} value={days} onChange={setDays} inputMode="numeric" hint={text.cameraPage.keepHint} {...(good ? {} : { fault: text.cameraPage.keepBad })} />
      <div className="field">
        <Switch checked={record} onChange={setRecord}>{text.cameraPage.disable}</Switch>
        <p className="field-hint">{text.cameraPage.disableHint}</p>
      </div>
      {!camera.reported && <div><Button small look="danger" onPress={() => setForgetting(true)}>{text.cameraPage.forget}</Button></div>}
    </FormDialog>
  );
}
