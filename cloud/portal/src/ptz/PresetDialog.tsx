import { useQueryClient } from "@tanstack/react-query";
import { Trash2 } from "lucide-react";
import { useState } from "react";

import { client, data } from "../api/client";
import { words } from "../api/errors";
import { ptz as ptzQuery } from "../api/queries";
import type { Preset, PTZ } from "../api/types";
import { text } from "../text";
import { Button, IconButton } from "../ui/button";
import { FormDialog } from "../ui/dialog";
import { TextField } from "../ui/field";
import { say } from "../ui/toast";

/** Keeps where the camera points now, and forgets what it kept. */
export function PresetDialog({ camera, presets, onClose }: { camera: { id: string; name: string }; presets: readonly Preset[]; onClose: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [asked, setAsked] = useState<string>();
  const taken = (next: PTZ) => queries.setQueryData(ptzQuery(camera.id).queryKey, next);
  const keep = async () => {
    taken(await data(client.POST("/cameras/{camera}/presets", { params: { path: { camera: camera.id } }, body: { name: name.trim() } })));
    say(text.ptz.kept(name.trim()));
  };
  const forget = async (preset: Preset) => {
    try {
      taken(await data(client.DELETE("/cameras/{camera}/presets/{preset}", { params: { path: { camera: camera.id, preset: preset.token } } })));
      setAsked(undefined);
    } catch (error) {
      say(words(error), true);
    }
  };
  return (
    <FormDialog title={text.ptz.keepTitle(camera.name)} open onClose={onClose} submit={text.actions.save} ready={name.trim() !== ""} onSubmit={keep} data-testid="preset-dialog">
      <TextField label={text.ptz.keepName} hint={text.ptz.keepHint} value={name} onChange={setName} maxLength={128} autoComplete="off" autoFocus data-testid="preset-name" />
      {presets.length > 0 && (
        <ul className="ptz-list" aria-label={text.ptz.presets}>
          {presets.map((preset) => (
            <li key={preset.token} data-testid="preset-row">
              <span className="clip-text">{preset.name}</span>
              {asked === preset.token
                ? <Button small look="danger" onPress={() => void forget(preset)} data-testid="preset-forget">{text.ptz.forget(preset.name)}</Button>
                : <IconButton small label={text.ptz.forget(preset.name)} onPress={() => setAsked(preset.token)}><Trash2 size={16} aria-hidden /></IconButton>}
            </li>
          ))}
        </ul>
      )}
    </FormDialog>
  );
}
