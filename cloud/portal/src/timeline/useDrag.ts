import { type RefObject, useEffect, useRef } from "react";

import { clamp, panned, spanOf, usAt, type View, wheeled, zoomed } from "./scale";

interface Drag {
  view: View;
  width: number;
  nowUs: number;
  selecting: boolean;
  setView: (view: View) => void;
  onSelection: (next: { inUs: number; outUs: number }) => void;
  onHover: (us: number | undefined) => void;
  onClick: (us: number, y: number) => void;
  /** Whether a drag that begins there shows what lies under the pointer; elsewhere it moves the view. */
  scrubs: (y: number) => boolean;
  onScrub: (us: number) => void;
  /** The pointer is let go of after scrubbing. */
  onLand: (us: number) => void;
}

/** Movements smaller than this are a click, pixels. */
const slack = 4;

/** Scrub or pan by dragging, zoom by wheel or pinch, select by dragging while selecting or with Shift, click. */
export function useDrag(box: RefObject<HTMLElement | null>, drag: Drag): void {
  const latest = useRef(drag);
  useEffect(() => {
    latest.current = drag;
  });

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const pointers = new Map<number, { startX: number; x: number; y: number }>();
    let startView: View | undefined;
    let moved = false;
    let anchorUs: number | undefined;
    let scrubbing = false;
    let scrubUs: number | undefined; // the moment last shown
    const local = (event: MouseEvent) => {
      const rect = element.getBoundingClientRect();
      return { x: event.clientX - rect.left, y: event.clientY - rect.top };
    };
    const at = (x: number, view = latest.current.view) => usAt(x, view, latest.current.width);

    const restart = () => {
      startView = latest.current.view;
      for (const pointer of pointers.values()) pointer.startX = pointer.x;
    };
    const down = (event: PointerEvent) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      const { x, y } = local(event);
      pointers.set(event.pointerId, { startX: x, x, y });
      if (pointers.size === 1) {
        moved = false;
        anchorUs = latest.current.selecting || event.shiftKey ? at(x) : undefined;
        scrubbing = anchorUs === undefined && latest.current.scrubs(y);
      } else {
        moved = true;
        land();
      }
      restart();
    };
    const move = (event: PointerEvent) => {
      const { x } = local(event);
      const pointer = pointers.get(event.pointerId);
      if (!pointer) {
        latest.current.onHover(event.pointerType === "touch" ? undefined : at(x));
        return;
      }
      pointer.x = x;
      if (!moved && Math.abs(x - pointer.startX) < slack) return;
      moved = true;
      latest.current.onHover(undefined);
      if (pointers.size === 2) pinch();
      else if (anchorUs !== undefined) select(x);
      else if (scrubbing) scrub(x);
      else if (startView) latest.current.setView(panned(startView, -((x - pointer.startX) / latest.current.width) * spanOf(startView), latest.current.nowUs));
    };
    const scrub = (x: number) => {
      const { width, nowUs, onScrub, onHover } = latest.current;
      scrubUs = clamp(at(clamp(x, 0, width)), 0, nowUs);
      onHover(scrubUs);
      onScrub(scrubUs);
    };
    const land = () => {
      const us = scrubUs;
      scrubbing = false;
      scrubUs = undefined;
      if (us !== undefined) latest.current.onLand(us);
    };
    const select = (x: number) => {
      const { width, nowUs, onSelection } = latest.current;
      const us = clamp(at(clamp(x, 0, width)), 0, nowUs);
      const anchor = Math.min(anchorUs ?? us, nowUs);
      onSelection({ inUs: Math.min(us, anchor), outUs: Math.max(us, anchor) });
    };
    const pinch = () => {
      const [one, two] = [...pointers.values()];
      if (!one || !two || !startView) return;
      const before = Math.max(20, Math.abs(one.startX - two.startX));
      const after = Math.max(20, Math.abs(one.x - two.x));
      const middleUs = at((one.startX + two.startX) / 2, startView);
      const closer = zoomed(startView, before / after, middleUs, latest.current.nowUs);
      const shift = ((one.x + two.x - one.startX - two.startX) / 2 / latest.current.width) * spanOf(closer);
      latest.current.setView(panned(closer, -shift, latest.current.nowUs));
    };
    const up = (event: PointerEvent) => {
      const pointer = pointers.get(event.pointerId);
      if (!pointers.delete(event.pointerId)) return;
      if (pointers.size === 0) land();
      if (pointers.size > 0) restart();
      else if (!moved && pointer && event.type === "pointerup") latest.current.onClick(at(pointer.x), pointer.y);
    };
    const leave = () => {
      if (pointers.size === 0) latest.current.onHover(undefined);
    };
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const { view, nowUs, width, setView } = latest.current;
      setView(wheeled(view, event, at(local(event).x), width, nowUs));
    };

    element.addEventListener("pointerdown", down);
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerup", up);
    element.addEventListener("pointercancel", up);
    element.addEventListener("pointerleave", leave);
    element.addEventListener("wheel", wheel, { passive: false });
    return () => {
      element.removeEventListener("pointerdown", down);
      element.removeEventListener("pointermove", move);
      element.removeEventListener("pointerup", up);
      element.removeEventListener("pointercancel", up);
      element.removeEventListener("pointerleave", leave);
      element.removeEventListener("wheel", wheel);
    };
  }, [box]);
}
