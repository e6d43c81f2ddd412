import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { client, data } from "../api/client";
import type { Range } from "../api/types";
import { duration } from "../lib/format";
import { clockSeconds, DAY, dayWord, nowUs } from "../lib/time";
import { text } from "../text";
import { FormDialog } from "../ui/dialog";
import { SelectField, TextField } from "../ui/field";
import { Notice } from "../ui/notice";
import { missingIn } from "./coverage";
import type { Selection } from "./Track";

interface HoldProps {
  camera: { id: string; site: string };
  zone: string;
  selection: Selection;
  ranges: readonly Range[];
  onClose: () => void;
  onHeld: () => void;
}

const lengths = [30, 90, 365];

/** Asks the site to keep a range from deletion. */
export function HoldDialog({ camera, zone, selection, ranges, onClose, onHeld }: HoldProps) {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [days, setDays] = useState("");
  const length = selection.outUs - selection.inUs;
  const missing = missingIn(ranges, selection.inUs, selection.outUs);
  const nothing = missing >= length;
  const hold = async () => {
    const until = days ? { until_us: Math.round(nowUs() + Number(days) * DAY) } : {};
    await data(client.POST("/holds", { body: { camera: camera.id, start_us: Math.round(selection.inUs), end_us: Math.round(selection.outUs), name: name.trim(), ...until } }));
    await queries.invalidateQueries({ queryKey: ["holds", camera.site] });
    onHeld();
  };
  return (
    <FormDialog title={text.hold.title} open onClose={onClose} submit={text.hold.submit} ready={!nothing && name.trim() !== ""} onSubmit={hold} data-testid="hold-dialog">
      <p className="soft">{text.hold.lead}</p>
      <p className="num"><span className="strong">{dayWord(selection.inUs, zone)} {clockSeconds(selection.inUs, zone)} – {clockSeconds(selection.outUs, zone)}</span> <span className="soft">{duration(length)}</span></p>
      <TextField label={text.hold.name} placeholder={text.hold.namePlaceholder} value={name} onChange={setName} maxLength={128} autoFocus data-testid="hold-name" />
      <SelectField label={text.hold.until} value={days} onChange={setDays}
        options={[{ value: "", label: text.hold.untilReleased }, ...lengths.map((some) => ({ value: String(some), label: text.hold.untilDays(some) }))]} />
      {nothing ? <Notice tone="bad">{text.hold.allGap}</Notice> : missing > 0 && <Notice tone="warn">{text.hold.gaps(duration(missing))}</Notice>}
    </FormDialog>
  );
}
