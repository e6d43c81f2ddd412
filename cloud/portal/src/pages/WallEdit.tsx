import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useBlocker, useNavigate, useParams } from "@tanstack/react-router";
import { Play } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";

import { client, data as answer } from "../api/client";
import { ApiError, words } from "../api/errors";
import { wall as wallQuery } from "../api/queries";
import type { Wall } from "../api/types";
import { text } from "../text";
import { Button } from "../ui/button";
import { Switch } from "../ui/choice";
import { Confirm } from "../ui/dialog";
import { SelectField, TextField } from "../ui/field";
import { Failure, Notice, Skeleton } from "../ui/notice";
import { Page, Panel } from "../ui/page";
import { say } from "../ui/toast";
import { blank, type Draft, draftOf, fillIn, isEmpty, type Piece, placesOfDraft, put, same, swap, takeOff } from "../wall/draft";
import { firstFree, maxTiles } from "../wall/layout";
import { intervals } from "../wall/tour";
import { CameraTree } from "./wall/CameraTree";
import { LayoutChoice } from "./wall/LayoutChoice";
import { pieceWords, PlanGrid } from "./wall/PlanGrid";

const up = { to: "/walls", label: text.walls.title };

/** A wall that is put together for the first time. */
export function NewWall() {
  return <Planner wall={undefined} onReload={() => undefined} />;
}

/** A wall that is changed. */
export function EditWall() {
  const { wall: id } = useParams({ from: "/inside/walls/$wall/edit" });
  return <Opened key={id} id={id} />;
}

/** What is being edited must not change under the hand: it is loaded once, and again when somebody asks for that. */
function Opened({ id }: { id: string }) {
  const { data, error, isFetching, refetch } = useQuery({ ...wallQuery(id), staleTime: 0, refetchInterval: false, refetchOnWindowFocus: false });
  const [opened, setOpened] = useState<Wall>();
  useEffect(() => {
    if (data && !isFetching) setOpened((was) => was ?? data);
  }, [data, isFetching]);
  if (opened) return <Planner key={opened.version} wall={opened} onReload={() => void refetch().then((fresh) => { if (fresh.data) setOpened(fresh.data); })} />;
  if (isFetching || data) return <Page title="…" name={text.wallEdit.editTitle} up={up} wide><Skeleton lines={3} height={140} /></Page>;
  return <Page title={text.wallEdit.editTitle} up={up}><Failure what={text.walls.oneFailed} error={error} onRetry={() => void refetch()} /></Page>;
}

function Planner({ wall, onReload }: { wall: Wall | undefined; onReload: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const begun = useMemo(() => (wall ? draftOf(wall) : blank), [wall]);
  const [draft, setDraft] = useState(begun);
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<unknown>();
  const saved = useRef(false);
  const changed = !same(draft, begun);
  const leaving = useBlocker({ shouldBlockFn: () => changed && !saved.current, enableBeforeUnload: () => changed && !saved.current, withResolver: true });

  const save = async () => {
    setBusy(true);
    setFault(undefined);
    const body = { name: draft.name.trim(), layout: draft.layout, cycle_s: draft.cycleS, shared: draft.shared, tiles: placesOfDraft(draft) };
    try {
      const made = wall
        ? await answer(client.PATCH("/walls/{wall}", { params: { path: { wall: wall.id } }, body: { ...body, version: wall.version } }))
        : await answer(client.POST("/walls", { body }));
      saved.current = true;
      queries.setQueryData(wallQuery(made.id).queryKey, made);
      void queries.invalidateQueries({ queryKey: ["walls"] });
      say(text.wallEdit.saved);
      await navigate({ to: "/walls/$wall", params: { wall: made.id } });
    } catch (error) {
      setFault(error);
      setBusy(false);
    }
  };
  const stale = fault instanceof ApiError && fault.status === 409 && wall !== undefined;
  const long = [...draft.name.trim()].length > 80;
  return (
    <Page title={wall ? text.wallEdit.editTitle : text.wallEdit.newTitle} up={up} wide
      actions={<Button look="primary" busy={busy} isDisabled={draft.name.trim() === "" || long} icon={<Play size={16} aria-hidden />} onPress={() => void save()} data-testid="save-wall">{text.wallEdit.saveAndShow}</Button>}>
      {stale && <Notice tone="bad" title={text.wallEdit.staleTitle} action={<Button small onPress={onReload}>{text.wallEdit.reload}</Button>}>{text.wallEdit.stale}</Notice>}
      {fault !== undefined && !stale && <Notice tone="bad">{words(fault)}</Notice>}
      <Desk wall={wall} draft={draft} long={long} onChange={setDraft} />
      {leaving.status === "blocked" && (
        <Confirm title={text.wallEdit.leaveTitle} open onClose={leaving.reset} submit={text.wallEdit.leave} onSubmit={async () => leaving.proceed()}><p>{text.wallEdit.leaveText}</p></Confirm>
      )}
    </Page>
  );
}

/** The tree on one side, the wall on the other. */
function Desk({ wall, draft, long, onChange }: { wall: Wall | undefined; draft: Draft; long: boolean; onChange: (draft: Draft) => void }) {
  const [selected, setSelected] = useState(() => firstFree(draft.pieces, isEmpty) ?? 0);
  const [dragged, setDragged] = useState<Piece | number>();
  const [told, setTold] = useState("");
  const [full, setFull] = useState(false);
  const on = useMemo(() => new Set(draft.pieces.flatMap((piece) => (piece.state === "camera" ? [piece.camera] : []))), [draft.pieces]);

  const add = (pieces: readonly Piece[]) => {
    const { draft: next, last, left } = fillIn(draft, selected, pieces);
    setFull(left > 0);
    if (last === undefined) return;
    onChange(next);
    setTold(text.wallEdit.added(pieceWords(pieces.at(-1)), last + 1));
    setSelected(firstFree(next.pieces, isEmpty, last) ?? last);
  };
  const exchange = (from: number, to: number) => {
    onChange(swap(draft, from, to));
    setSelected(to);
    setTold(text.wallEdit.moved(pieceWords(draft.pieces[from]), to + 1));
  };
  const remove = (place: number) => {
    onChange(takeOff(draft, place));
    setSelected(place);
    setFull(false);
    setTold(text.wallEdit.takenOff(pieceWords(draft.pieces[place])));
  };
  const drop = (place: number) => {
    if (typeof dragged === "number") exchange(dragged, place);
    else if (dragged) {
      onChange(put(draft, place, dragged));
      setSelected(place);
      setTold(text.wallEdit.added(pieceWords(dragged), place + 1));
    }
    setDragged(undefined);
  };
  const cycles = [...new Set([...intervals, draft.cycleS])].filter((seconds) => seconds > 0).sort((a, b) => a - b);
  const others = wall !== undefined && !wall.mine;
  return (
    <div className="planner">
      <CameraTree on={on} onAdd={add} onDrag={setDragged} />
      <div className="planner-main">
        <Panel>
          <div className="planner-form">
            <TextField label={text.fields.name} value={draft.name} onChange={(name) => onChange({ ...draft, name })} placeholder={text.wallEdit.namePlaceholder} autoFocus={!wall} autoComplete="off"
              data-testid="wall-name" {...(long ? { fault: text.wallEdit.nameLong } : {})} />
            <SelectField label={text.wallEdit.cycle} value={String(draft.cycleS)} onChange={(value) => onChange({ ...draft, cycleS: Number(value) })} data-testid="wall-cycle"
              options={[{ value: "0", label: text.wallEdit.cycleOff }, ...cycles.map((seconds) => ({ value: String(seconds), label: text.wallEdit.cycleEvery(seconds) }))]} />
            <div className="planner-share">
              <Switch checked={draft.shared} disabled={others} onChange={(shared) => onChange({ ...draft, shared })} data-testid="wall-shared">{text.wallEdit.share}</Switch>
              <p className="field-hint">{others ? text.wallEdit.shareOthers : text.wallEdit.shareHint}</p>
            </div>
          </div>
        </Panel>
        <LayoutChoice value={draft.layout} onChange={(layout) => onChange({ ...draft, layout })} />
        {full && <Notice tone="warn">{text.wallEdit.full(maxTiles)}</Notice>}
        <PlanGrid draft={draft} selected={selected} dragged={dragged} onSelect={setSelected} onDrag={setDragged} onDrop={drop} onSwap={exchange} onTakeOff={remove} />
        <div className="plan-foot">
          <p>{text.wallEdit.hint} <span className="plan-keys">{text.wallEdit.hintKeys}</span></p>
          <p className="num">{text.wallEdit.count(draft.pieces.filter((piece) => !isEmpty(piece)).length, maxTiles)}</p>
        </div>
        <p className="unseen" role="status">{told}</p>
      </div>
    </div>
  );
}
