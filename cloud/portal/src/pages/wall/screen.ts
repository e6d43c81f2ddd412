// The screen that a wall runs on: full or not, kept awake, its controls away while nobody moves.
import { useCallback, useEffect, useState, useSyncExternalStore } from "react";

/** Full screen of the whole page, so that menus stay inside it. Where a browser has none, as on an iPhone, the wall
 *  covers the page all the same. */
export function useFullScreen(): { full: boolean; toggle: () => void } {
  const [full, setFull] = useState(false);
  useEffect(() => {
    const changed = () => {
      if (document.fullscreenElement === null) setFull(false);
    };
    document.addEventListener("fullscreenchange", changed);
    return () => {
      document.removeEventListener("fullscreenchange", changed);
      if (document.fullscreenElement) void document.exitFullscreen().catch(() => undefined);
    };
  }, []);
  const toggle = useCallback(() => {
    setFull((was) => {
      const page = document.documentElement;
      if (was && document.fullscreenElement) void document.exitFullscreen().catch(() => undefined);
      if (!was && page.requestFullscreen) void page.requestFullscreen().catch(() => undefined);
      return !was;
    });
  }, []);
  return { full, toggle };
}

/** Keeps the screen from going dark, as long as the page is looked at and the browser lets it. */
export function useAwake(on: boolean): void {
  useEffect(() => {
    if (!on || !("wakeLock" in navigator)) return;
    let lock: WakeLockSentinel | undefined;
    let over = false;
    const ask = async () => {
      if (document.visibilityState !== "visible") return;
      lock = await navigator.wakeLock.request("screen").catch(() => undefined);
      if (over) void lock?.release();
    };
    void ask();
    document.addEventListener("visibilitychange", ask);
    return () => {
      over = true;
      document.removeEventListener("visibilitychange", ask);
      void lock?.release();
    };
  }, [on]);
}

/** True once neither pointer nor key has moved for a while. */
export function useIdle(afterMs: number): boolean {
  const [idle, setIdle] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const moved = () => {
      setIdle(false);
      clearTimeout(timer);
      timer = setTimeout(() => setIdle(true), afterMs);
    };
    moved();
    for (const kind of ["pointermove", "pointerdown", "keydown"]) addEventListener(kind, moved);
    return () => {
      clearTimeout(timer);
      for (const kind of ["pointermove", "pointerdown", "keydown"]) removeEventListener(kind, moved);
    };
  }, [afterMs]);
  return idle;
}

/** True once something has been so for a while; false again at once. */
export function useLasting(so: boolean, forMs: number): boolean {
  const [lasting, setLasting] = useState(false);
  useEffect(() => {
    if (!so) return;
    const timer = setTimeout(() => setLasting(true), forMs);
    return () => {
      clearTimeout(timer);
      setLasting(false);
    };
  }, [so, forMs]);
  return so && lasting;
}

const narrow = matchMedia("(max-width: 760px)");

const onNarrow = (tell: () => void) => {
  narrow.addEventListener("change", tell);
  return () => narrow.removeEventListener("change", tell);
};

/** True on a screen as narrow as a phone's. */
export function useNarrow(): boolean {
  return useSyncExternalStore(onNarrow, () => narrow.matches);
}
