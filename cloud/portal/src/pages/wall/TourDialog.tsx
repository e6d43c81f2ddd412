import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import type { Wall } from "../../api/types";
import { text } from "../../text";
import { Checkbox } from "../../ui/choice";
import { FormDialog } from "../../ui/dialog";
import { SelectField } from "../../ui/field";
import { intervals } from "../../wall/tour";

/** Chooses walls that are shown one after the other. */
export function TourDialog({ walls, onClose }: { walls: readonly Wall[]; onClose: () => void }) {
  const navigate = useNavigate();
  const able = walls.filter((wall) => wall.tiles.length > 0);
  const [chosen, setChosen] = useState<readonly string[]>(able.map((wall) => wall.id));
  const [every, setEvery] = useState(20);
  const start = async () => {
    const [wall = "", ...rest] = able.filter(({ id }) => chosen.includes(id)).map(({ id }) => id);
    await navigate({ to: "/walls/$wall", params: { wall }, search: { ...(rest.length > 0 ? { then: rest.join(",") } : {}), every } });
  };
  return (
    <FormDialog title={text.walls.tour} open onClose={onClose} submit={text.walls.tourStart} ready={chosen.length > 0} onSubmit={start} data-testid="tour-dialog">
      <p className="soft">{text.walls.tourLead}</p>
      <fieldset className="tour-walls">
        <legend className="field-label">{text.walls.tourWalls}</legend>
        {able.map(({ id, name }) => (
          <Checkbox key={id} checked={chosen.includes(id)} onChange={(on) => setChosen(on ? [...chosen, id] : chosen.filter((other) => other !== id))}>{name}</Checkbox>
        ))}
      </fieldset>
      <SelectField label={text.walls.tourEvery} value={String(every)} onChange={(value) => setEvery(Number(value))} data-testid="tour-every"
        options={intervals.map((seconds) => ({ value: String(seconds), label: text.walls.every(seconds) }))} />
    </FormDialog>
  );
}
