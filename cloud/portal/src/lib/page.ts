// The page itself, which a browser may put away and show again.

/** Calls leave when the page is closed or put away, and back when it is shown again as it was; until what it returns is called. */
export function onLeave(leave: () => void, back: () => void): () => void {
  const shown = (event: PageTransitionEvent) => { if (event.persisted) back(); };
  addEventListener("pagehide", leave);
  addEventListener("pageshow", shown);
  return () => {
    removeEventListener("pagehide", leave);
    removeEventListener("pageshow", shown);
  };
}
