import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";

import { nowUs } from "./time";

/** The wall time in microseconds, renewed every `everyMs`, for ages and countdowns. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(nowUs);
  useEffect(() => {
    const timer = setInterval(() => setNow(nowUs()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** Sets the document's title while the page is shown. */
export function useTitle(title: string | undefined): void {
  useEffect(() => {
    document.title = title ? `${title} · Holdfast` : "Holdfast";
  }, [title]);
}

/** The value once it has not changed for a while, so that not every key asks the cloud. */
export function useSettled<T>(value: T, forMs: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), forMs);
    return () => clearTimeout(timer);
  }, [value, forMs]);
  return settled;
}

/** Keys that repeat while they are held: steps. What any other key does it does once. */
const repeating = new Set(["<", ">", "arrowleft", "arrowright", "arrowup", "arrowdown", "j", "k", "+", "=", "-", ",", "."]);

/** Keys that work anywhere on the page, except where text is typed or another control takes them. Those of `own`, a
 *  selector, leave the space bar and Enter to the page. */
export function usePageKeys(actions: Record<string, (event: KeyboardEvent) => void>, own?: string): void {
  const latest = useRef(actions);
  useEffect(() => {
    latest.current = actions;
  });
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (target.closest("input, textarea, select, [role=dialog], [role=alertdialog], [role=menu]")) return;
      if ((event.key === " " || event.key === "Enter") && target.closest("button, a, [role=button]") && !(own && target.closest(own))) return;
      // < and > are those beside the dot and the comma, whatever a layout has there.
      const shifted = event.shiftKey ? ({ Comma: "<", Period: ">" } as Record<string, string>)[event.code] : undefined;
      const key = shifted ?? event.key.toLowerCase();
      const act = latest.current[key];
      if (!act) return;
      event.preventDefault();
      if (!event.repeat || repeating.has(key)) act(event);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [own]);
}

/** A function that does what the newest one does and never changes itself: what it is given to need not be rendered again. */
export function useStable<A extends unknown[], R>(act: (...given: A) => R): (...given: A) => R {
  const newest = useRef(act);
  useLayoutEffect(() => {
    newest.current = act;
  });
  return useCallback((...given: A) => newest.current(...given), []);
}

/** For answers that take a while: whoever asks takes a turn, and is told later whether it is still the newest and the component
 *  is still there. */
export function useNewest(): () => () => boolean {
  const newest = useRef(0);
  useEffect(() => {
    const turns = newest;
    return () => void turns.current++;
  }, []);
  return useCallback(() => {
    const mine = ++newest.current;
    return () => newest.current === mine;
  }, []);
}
