import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Minus, Plus } from "lucide-react";
import { useState } from "react";

import { client, data } from "../api/client";
import type { Clip, Range, StreamKind } from "../api/types";
import { duration } from "../lib/format";
import { clockSeconds, dayWord, SECOND } from "../lib/time";
import { text } from "../text";
import { KeepFor } from "../pages/KeepFor";
import { IconButton } from "../ui/button";
import { FormDialog } from "../ui/dialog";
import { SelectField, TextField } from "../ui/field";
import { Notice } from "../ui/notice";
import { missingIn } from "./coverage";
import type { Selection } from "./Track";

interface KeepProps {
  camera: { id: string; name: string };
  zone: string;
  selection: Selection;
  stream: StreamKind;
  hasSub: boolean;
  ranges: readonly Range[];
  suggested?: string;
  open: boolean;
  onClose: () => void;
  onKept: (clip: Clip) => void;
}

/** Asks the site to cut a range and send it to the cloud. */
export function KeepDialog({ camera, zone, selection, stream, hasSub, ranges, suggested, open, onClose, onKept }: KeepProps) {
  const queries = useQueryClient();
  const [title, setTitle] = useState(suggested ?? "");
  const [range, setRange] = useState(selection);
  const [kind, setKind] = useState<StreamKind>(stream);
  const [keepDays, setKeepDays] = useState(-1);
  const keep = useMutation({
    mutationFn: () => data(client.POST("/clips", {
      body: { camera: camera.id, start_us: Math.round(range.inUs), end_us: Math.round(range.outUs), stream: kind, title: title.trim(), priority: "normal", keep_days: keepDays },
    })),
    onSuccess: (clip) => {
      void queries.invalidateQueries({ queryKey: ["clips"] });
      onKept(clip);
    },
  });
  const length = range.outUs - range.inUs;
  const missing = missingIn(ranges, range.inUs, range.outUs);
  const nothing = missing >= length;
  const nudge = (side: keyof Selection, byUs: number) => setRange((now) => {
    const next = { ...now, [side]: now[side] + byUs };
    return next.outUs - next.inUs < SECOND ? now : next;
  });
  return (
    <FormDialog title={text.keep.title} open={open} onClose={onClose} submit={text.keep.submit} ready={!nothing} onSubmit={() => keep.mutateAsync()} data-testid="keep-dialog">
      <p className="soft">{text.keep.lead}</p>
      <TextField label={text.keep.name} placeholder={text.keep.namePlaceholder} value={title} onChange={setTitle} maxLength={128} autoFocus data-testid="keep-title" />
      <div className="keep-range">
        <Moment label={text.keep.from} us={range.inUs} zone={zone} onNudge={(by) => nudge("inUs", by)} />
        <Moment label={text.keep.to} us={range.outUs} zone={zone} onNudge={(by) => nudge("outUs", by)} />
        <div className="keep-length">
          <span className="field-label">{text.keep.length}</span>
          <span className="num strong">{duration(length)}</span>
        </div>
      </div>
      {hasSub && (
        <SelectField label={text.keep.stream} value={kind} onChange={(value) => setKind(value as StreamKind)}
          options={[{ value: "main", label: text.keep.main }, { value: "sub", label: text.keep.sub }]} />
      )}
      <KeepFor value={keepDays} onChange={setKeepDays} />
      {nothing ? <Notice tone="bad">{text.keep.allGap}</Notice> : missing > 0 && <Notice tone="warn">{text.keep.gaps(duration(missing))}</Notice>}
    </FormDialog>
  );
}

function Moment({ label, us, zone, onNudge }: { label: string; us: number; zone: string; onNudge: (byUs: number) => void }) {
  return (
    <div className="keep-moment">
      <span className="field-label">{label}</span>
      <div className="keep-clock">
        <IconButton small label={text.keep.earlier} onPress={() => onNudge(-SECOND)}><Minus size={15} aria-hidden /></IconButton>
        <span className="num"><span className="muted small">{dayWord(us, zone)}</span><br /><span className="strong">{clockSeconds(us, zone)}</span></span>
        <IconButton small label={text.keep.later} onPress={() => onNudge(SECOND)}><Plus size={15} aria-hidden /></IconButton>
      </div>
    </div>
  );
}
