// The theme: the system's, or one chosen by hand and kept in this browser. public/theme.js applies it before
// the first paint.

export type Theme = "system" | "light" | "dark";

const key = "holdfast.theme";
const listeners = new Set<() => void>();

/** The chosen theme. */
export function theme(): Theme {
  const set = document.documentElement.dataset.theme;
  return set === "light" || set === "dark" ? set : "system";
}

/** Chooses a theme and tells everyone who listens. */
export function setTheme(next: Theme): void {
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem(key);
    else localStorage.setItem(key, next);
  } catch {
    // Storage is blocked: the choice holds until the page is left.
  }
  for (const tell of listeners) tell();
}

/** Calls back when the theme changes, by hand or by the system; returns the way out. */
export function onTheme(tell: () => void): () => void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  listeners.add(tell);
  system.addEventListener("change", tell);
  return () => {
    listeners.delete(tell);
    system.removeEventListener("change", tell);
  };
}
