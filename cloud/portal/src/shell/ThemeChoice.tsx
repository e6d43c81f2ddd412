import { type LucideIcon, Monitor, Moon, Sun } from "lucide-react";
import { useSyncExternalStore } from "react";

import { onTheme, setTheme, theme, type Theme } from "../lib/theme";
import { text } from "../text";
import { Segments } from "../ui/choice";

const themes: { value: Theme; label: string; icon: LucideIcon }[] = [
  { value: "system", label: text.nav.themeSystem, icon: Monitor },
  { value: "light", label: text.nav.themeLight, icon: Sun },
  { value: "dark", label: text.nav.themeDark, icon: Moon },
];

/** Light, dark, or as the system says. */
export function ThemeChoice() {
  const chosen = useSyncExternalStore(onTheme, theme);
  return (
    <Segments label={text.nav.theme} value={chosen} onChange={setTheme}
      options={themes.map(({ value, label, icon: Icon }) => ({ value, label: <span className="theme-choice"><Icon size={15} aria-hidden />{label}</span> }))} />
  );
}
