import { Bookmark, ChevronsUp, Home, Joystick, Minus, Plus, RotateCw, X } from "lucide-react";
import { type PointerEvent, type RefObject, useRef, useState } from "react";

import { useCan } from "../api/can";
import { words } from "../api/errors";
import type { HeardTurn } from "../api/queries";
import type { PTZ } from "../api/types";
import { useNow } from "../lib/hooks";
import { text } from "../text";
import { Button, IconButton } from "../ui/button";
import { Menu } from "../ui/menu";
import type { Zoom } from "../video/zoomGestures";
import { type Helm, padWay, rest, type Way } from "./helm";
import { PresetDialog } from "./PresetDialog";
import { useAim, useSteering, useSteeringKeys } from "./usePtz";

interface PtzProps {
  camera: { id: string; name: string };
  stage: RefObject<HTMLElement | null>;
  zoom: Zoom | undefined;
  open: boolean;
  onOpen: (open: boolean) => void;
}

/** Controls for a camera that turns and zooms; nothing for one that is fixed. */
export function Ptz({ camera, stage, zoom, open, onOpen }: PtzProps) {
  const { able, unknown, ask, turn, helm, fault, takeOver } = useSteering(camera.id);
  const [keeping, setKeeping] = useState(false);
  const moves = !!(able?.move || able?.zoom);
  const owner = useOwner(turn);
  const free = moves && !owner;
  useSteeringKeys(helm, open && moves, free);
  useAim(stage, zoom, helm, open && free && !!able?.centre);
  if (!moves && !unknown) return null;
  return (
    <div className="ptz" role="toolbar" aria-label={text.ptz.controls(camera.name)} data-testid="ptz" data-open={open || undefined}>
      {owner && <Owner turn={owner} onTake={takeOver} />}
      {open && !moves && (
        <p className="ptz-fault" role="alert" data-testid="ptz-unknown">
          {words(unknown)} <Button small look="stage" icon={<RotateCw size={14} aria-hidden />} onPress={ask}>{text.live.tryAgain}</Button>
        </p>
      )}
      {open && moves && fault && !owner && <p className="ptz-fault" role="alert" data-testid="ptz-fault">{fault}</p>}
      <div className="ptz-row">
        {open && moves && <Hands able={able} helm={helm} disabled={!free} onKeep={() => setKeeping(true)} />}
        <IconButton look={open ? "primary" : "stage"} label={open ? text.ptz.close : text.ptz.open} onPress={() => onOpen(!open)} aria-expanded={open} data-testid="ptz-toggle">
          {open ? <X size={18} aria-hidden /> : <Joystick size={18} aria-hidden />}
        </IconButton>
      </div>
      {keeping && able && <PresetDialog camera={camera} presets={able.presets} onClose={() => setKeeping(false)} />}
    </div>
  );
}

interface Held {
  name: string;
  seconds: number;
  may: boolean;
}

/** Who else moves the camera; undefined while nobody does. */
function useOwner(turn: HeardTurn | undefined): Held | undefined {
  const now = useNow(1000) / 1000;
  if (!turn?.name || turn.mine) return undefined;
  const left = turn.left_ms - Math.max(0, now - turn.heardMs);
  return left <= 0 ? undefined : { name: turn.name, seconds: Math.ceil(left / 1000), may: turn.may_take };
}

function Owner({ turn, onTake }: { turn: Held; onTake: () => void }) {
  return (
    <p className="ptz-owner" role="status" data-testid="ptz-owner">
      <span>{text.ptz.owner(turn.name)} · <span className="num">{text.ptz.freeIn(turn.seconds)}</span></span>
      {turn.may && <Button small look="stage" onPress={onTake} data-testid="ptz-take">{text.ptz.take}</Button>}
    </p>
  );
}

interface HandsProps {
  able: PTZ;
  helm: Helm | undefined;
  disabled: boolean;
  onKeep: () => void;
}

function Hands({ able, helm, disabled, onKeep }: HandsProps) {
  const can = useCan();
  const keeps = able.save && can("cameras.edit");
  const held = (way: Partial<Way>) => ({ isDisabled: disabled, onPressStart: () => helm?.hold({ ...rest, ...way }), onPressEnd: () => helm?.hold(rest) });
  return (
    <>
      <span className="ptz-column">
        {able.home && <IconButton small look="stage" label={text.ptz.home} isDisabled={disabled} onPress={() => helm?.once({ act: "home" })} data-testid="ptz-home"><Home size={17} aria-hidden /></IconButton>}
        {(able.presets.length > 0 || keeps) && (
          <Menu label={text.ptz.presets} groups={[
            able.presets.map(({ token, name }) => ({ id: `preset-${token}`, label: name, disabled, onAction: () => helm?.once({ act: "goto", preset: token }) })),
            [keeps && { id: "keep-preset", label: text.ptz.keep, icon: <Bookmark size={15} />, onAction: onKeep }],
          ]}>
            <IconButton small look="stage" label={text.ptz.presets} data-testid="ptz-presets"><Bookmark size={17} aria-hidden /></IconButton>
          </Menu>
        )}
      </span>
      {able.move && <Pad disabled={disabled} onWay={(way) => helm?.hold(way)} />}
      {able.zoom && (
        <span className="ptz-column">
          <IconButton look="stage" label={text.ptz.closer} keys="+" {...held({ zoom: 0.6 })} data-testid="ptz-closer"><Plus size={18} aria-hidden /></IconButton>
          <IconButton look="stage" label={text.ptz.away} keys="−" {...held({ zoom: -0.6 })} data-testid="ptz-away"><Minus size={18} aria-hidden /></IconButton>
        </span>
      )}
    </>
  );
}

const eight = Array.from({ length: 8 }, (_, at) => at * 45);

/** Turns the camera while it is held, the faster the further from its middle. The arrow keys do the same. */
function Pad({ disabled, onWay }: { disabled: boolean; onWay: (way: Way) => void }) {
  const [way, setWay] = useState(rest);
  const pressed = useRef(false);
  const lead = (next: Way) => {
    setWay(next);
    onWay(next);
  };
  const follow = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const radius = box.width / 2;
    lead(padWay((event.clientX - box.left - radius) / radius, (box.top + radius - event.clientY) / radius));
  };
  const lift = () => {
    if (!pressed.current) return;
    pressed.current = false;
    lead(rest);
  };
  return (
    <div className="ptz-pad" role="img" aria-label={text.ptz.pad} data-testid="ptz-pad" data-disabled={disabled || undefined}
      onPointerDown={(event) => {
        if (disabled || event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        pressed.current = true;
        follow(event);
      }}
      onPointerMove={(event) => {
        if (!pressed.current) return;
        if (disabled) lift(); // somebody else has the camera now
        else follow(event);
      }}
      onPointerUp={lift} onPointerCancel={lift} onLostPointerCapture={lift} onContextMenu={(event) => event.preventDefault()}>
      {eight.map((angle) => <ChevronsUp key={angle} size={15} aria-hidden style={{ rotate: `${angle}deg` }} className="ptz-arrow" />)}
      <span className="ptz-knob" style={{ translate: `${way.pan * 34}px ${-way.tilt * 34}px` }} />
    </div>
  );
}
