import { useQuery } from "@tanstack/react-query";

import { useCan } from "../api/can";
import { clipSettings } from "../api/queries";
import { text } from "../text";
import { SelectField } from "../ui/field";

const choices = [1, 7, 14, 30, 60, 90, 180, 365, 730];

/** "30 days" or "for ever"; days as the door says them, without the default. */
export const keepWords = (days: number): string => (days > 0 ? text.clips.keepDays(days) : text.clips.keepEver);

/** How long clips are kept: days, 0 for ever, −1 as the organisation says. */
export function KeepFor({ value, onChange, hint, label, bare }: { value: number; onChange: (days: number) => void; hint?: string; label?: string; bare?: "default" }) {
  const can = useCan();
  const settings = useQuery({ ...clipSettings(), enabled: can("rules.edit") && !bare });
  const days = value > 0 && !choices.includes(value) ? [...choices, value].sort((a, b) => a - b) : choices;
  const byDefault = settings.data ? text.clips.keepByDefault(keepWords(settings.data.keep_days)) : text.clips.keepByDefault("…");
  return (
    <SelectField label={label ?? text.clips.keepLabel} value={String(value)} onChange={(next) => onChange(Number(next))} hint={hint} data-testid="keep-for"
      options={[
        ...(bare ? [] : [{ value: "-1", label: byDefault }]),
        ...days.map((count) => ({ value: String(count), label: text.clips.keepDays(count) })),
        { value: "0", label: text.clips.keepEver },
      ]} />
  );
}
