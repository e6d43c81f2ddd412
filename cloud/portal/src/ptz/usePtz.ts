// A camera that may be moved, as a page sees it: what it can do, whose turn it is, and the hands on it.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type RefObject, useCallback, useEffect, useRef, useState } from "react";

import { client, data, raw } from "../api/client";
import { ApiError, words } from "../api/errors";
import { type HeardTurn, heardTurn, ptz as ptzQuery, turn as turnQuery } from "../api/queries";
import type { PTZ, PTZRequest, Turn } from "../api/types";
import { text } from "../text";
import { say } from "../ui/toast";
import type { Zoom } from "../video/zoomGestures";
import { HeldKeys, Helm } from "./helm";

/** Sends an order. A stop leaves in this very moment, and gets through also when the page goes away. */
async function post(camera: string, body: PTZRequest): Promise<Turn> {
  if (body.act !== "stop") return data(client.POST("/cameras/{camera}/ptz", { params: { path: { camera } }, body }));
  const answer = await raw(`/cameras/${camera}/ptz`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), keepalive: true });
  return (await answer.json()) as Turn;
}

export interface Steering {
  able: PTZ | undefined;
  /** Why what it can do is not known. */
  unknown: unknown;
  ask: () => void;
  turn: HeardTurn | undefined;
  helm: Helm | undefined;
  /** Why it was not done. */
  fault: string | undefined;
  takeOver: () => void;
}

/** What a camera can be told, whose turn it is, and a helm as long as the component is there. */
export function useSteering(camera: string): Steering {
  const queries = useQueryClient();
  const able = useQuery(ptzQuery(camera));
  const moves = able.data?.move || able.data?.zoom;
  const turn = useQuery({ ...turnQuery(camera), enabled: !!moves });
  const [helm, setHelm] = useState<Helm>();
  const [fault, setFault] = useState<string>();

  const told = useCallback((next: Turn | undefined, error?: unknown) => {
    if (next) {
      queries.setQueryData(turnQuery(camera).queryKey, heardTurn(next));
      setFault(undefined);
      return;
    }
    if (error instanceof ApiError && error.status === 409) void queries.invalidateQueries({ queryKey: turnQuery(camera).queryKey }); // which says whose turn it is
    else setFault(words(error));
  }, [camera, queries]);

  useEffect(() => {
    const made = new Helm((order) => post(camera, order), told);
    setHelm(made);
    const leave = () => made.close();
    addEventListener("pagehide", leave);
    return () => {
      removeEventListener("pagehide", leave);
      made.close();
    };
  }, [camera, told]);

  // Whoever had the camera is told who has it now.
  const mineUntilMs = useRef(0);
  const heard = turn.data;
  useEffect(() => {
    if (!heard) return;
    if (!heard.mine && heard.name && Date.now() < mineUntilMs.current) {
      helm?.close();
      say(text.ptz.takenBy(heard.name), true);
    }
    mineUntilMs.current = heard.mine ? heard.heardMs + heard.left_ms : 0;
  }, [helm, heard]);

  const takeOver = useCallback(() => {
    data(client.POST("/cameras/{camera}/turn", { params: { path: { camera } } })).then((next) => told(next), (error: unknown) => told(undefined, error));
  }, [camera, told]);
  return { able: able.data, unknown: able.error, ask: () => void able.refetch(), turn: turn.data, helm, fault, takeOver };
}

/** Steers by the keyboard, while `on`, from the stage and while nothing else on the page has the focus. These keys are nobody else's
 *  meanwhile: digital zoom, playback and walls do not see them, also where the camera is not free and they do nothing. */
export function useSteeringKeys(helm: Helm | undefined, on: boolean, free: boolean): void {
  const may = useRef(free);
  useEffect(() => {
    may.current = free;
  }, [free]);
  useEffect(() => {
    if (!helm || !on) return;
    const held = new HeldKeys();
    const drop = () => {
      held.clear();
      helm.hold(held.way());
    };
    const press = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const ours = target.closest("[data-steered]") ?? target.querySelector("[data-steered]"); // or of what stands around it
      if (event.ctrlKey || event.metaKey || event.altKey || !ours) return;
      if (event.shiftKey && event.key.startsWith("Arrow")) return; // moves a picture that is looked at closely
      if (!held.press(event.key, event.code)) return;
      event.preventDefault();
      event.stopPropagation();
      if (!event.repeat && may.current) helm.hold(held.way());
    };
    const lift = (event: KeyboardEvent) => {
      if (held.lift(event.code) && may.current) helm.hold(held.way());
    };
    addEventListener("keydown", press, true);
    addEventListener("keyup", lift, true);
    addEventListener("blur", drop);
    return () => {
      removeEventListener("keydown", press, true);
      removeEventListener("keyup", lift, true);
      removeEventListener("blur", drop);
      drop();
    };
  }, [helm, on]);
}

/** A second click within this time makes a double click, which is the digital zoom's. */
const doubleMs = 300;

/** Brings what is clicked on the stage into the middle of the picture, while `on`. */
export function useAim(stage: RefObject<HTMLElement | null>, zoom: Zoom | undefined, helm: Helm | undefined, on: boolean): void {
  useEffect(() => {
    const element = stage.current;
    if (!element || !zoom || !helm || !on) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const click = (event: MouseEvent) => {
      clearTimeout(timer);
      const at = event.detail === 1 && !(event.target as Element).closest("a, button:not([data-surface]), [role=toolbar]") ? zoom.at(event) : undefined;
      if (at) timer = setTimeout(() => helm.once({ act: "centre", pan: at.x, tilt: at.y }), doubleMs);
    };
    element.addEventListener("click", click);
    element.dataset.aims = "";
    return () => {
      clearTimeout(timer);
      element.removeEventListener("click", click);
      delete element.dataset.aims;
    };
  }, [stage, zoom, helm, on]);
}
