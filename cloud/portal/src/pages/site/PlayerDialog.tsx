import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { client, data } from "../../api/client";
import { cameras as camerasQuery } from "../../api/queries";
import type { PlayerMade, Site } from "../../api/types";
import { text } from "../../text";
import { Button } from "../../ui/button";
import { Dialog, FormDialog } from "../../ui/dialog";
import { CopyField, SelectField, TextField } from "../../ui/field";
import { Notice } from "../../ui/notice";

const days = ["1", "7", "30", "90", "365"] as const;

/** Asks what a program may show and for how long, and makes its token. */
export function PlayerDialog({ site, onClose, onMade }: { site: Site; onClose: () => void; onMade: (made: PlayerMade) => void }) {
  const queries = useQueryClient();
  const cameras = useQuery(camerasQuery(site.id));
  const [name, setName] = useState("");
  const [camera, setCamera] = useState("");
  const [lasts, setLasts] = useState("30");
  const make = async () => {
    const body = { name: name.trim(), days: Number(lasts), ...(camera ? { camera } : {}) };
    onMade(await data(client.POST("/sites/{site}/players", { params: { path: { site: site.id } }, body })));
    await queries.invalidateQueries({ queryKey: ["players", site.id] });
  };
  return (
    <FormDialog title={text.players.addTitle} open onClose={onClose} submit={text.players.make} ready={name.trim() !== ""} onSubmit={make} data-testid="player-dialog">
      <p className="soft">{text.players.addLead}</p>
      <TextField label={text.fields.name} value={name} onChange={setName} maxLength={80} placeholder={text.players.namePlaceholder} autoComplete="off" autoFocus data-testid="player-name" />
      <SelectField label={text.players.shows} value={camera} onChange={setCamera} data-testid="player-camera"
        options={[{ value: "", label: text.players.everyCamera }, ...(cameras.data ?? []).map((known) => ({ value: known.id, label: known.name }))]} />
      <SelectField label={text.players.lasts} value={lasts} onChange={setLasts} hint={text.players.lastsHint}
        options={days.map((value) => ({ value, label: text.players.days(Number(value)) }))} />
    </FormDialog>
  );
}

/** Shows a new token, once, with the address to use it at. */
export function TokenDialog({ made, onClose }: { made: PlayerMade; onClose: () => void }) {
  const [camera, setCamera] = useState(made.addresses[0]?.camera ?? "");
  const address = made.addresses.find((known) => known.camera === camera);
  return (
    <Dialog title={text.players.madeTitle(made.player.name)} open firm wide onClose={onClose} data-testid="token-dialog">
      <div className="dialog-body">
        <Notice tone="warn">{text.players.madeOnce}</Notice>
        <CopyField label={text.players.token} value={made.token} multiline data-testid="player-token" />
        {made.addresses.length > 1 && (
          <SelectField label={text.players.addressOf} value={camera} onChange={setCamera} options={made.addresses.map((known) => ({ value: known.camera, label: known.name }))} />
        )}
        {address ? (
          <>
            <CopyField label={text.players.address} value={address.url} multiline data-testid="player-address" />
            <CopyField label={text.players.example} value={example(address.url, made.token)} multiline />
          </>
        ) : <p className="soft">{text.players.noCamera}</p>}
      </div>
      <footer className="dialog-foot"><Button look="primary" onPress={onClose} data-testid="token-done">{text.actions.done}</Button></footer>
    </Dialog>
  );
}

/** A line that shows the camera in a window. */
function example(url: string, token: string): string {
  return [
    `gst-launch-1.0 whepsrc whep-endpoint="${url}" auth-token="${token}" use-link-headers=true`,
    `  video-caps="application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000"`,
    `  ! rtph264depay ! decodebin ! autovideosink`,
  ].join(" \\\n");
}
