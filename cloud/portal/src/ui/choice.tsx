import type { ReactNode } from "react";


interface ChoiceProps {
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
  children: ReactNode;
  "data-testid"?: string;
}

export function Checkbox({ checked, onChange, disabled, children, ...rest }: ChoiceProps) {
  return (
    <label className="check">
      <input {...rest} type="checkbox" checked={checked} disabled={disabled} onChange={(event) => onChange(event.target.checked)} />
      <span>{children}</span>
    </label>
  );
}

export function Switch({ checked, onChange, disabled, children, ...rest }: ChoiceProps) {
  return (
    <label className="switch">
      <input {...rest} type="checkbox" role="switch" checked={checked} disabled={disabled} onChange={(event) => onChange(event.target.checked)} />
      <span>{children}</span>
    </label>
  );
}

interface SegmentsProps<T extends string> {
  label: string;
  value: T | undefined;
  onChange: (value: T) => void;
  options: readonly { value: T; label: ReactNode }[];
}

/** A few choices side by side, one of them pressed. */
export function Segments<T extends string>({ label, value, onChange, options }: SegmentsProps<T>) {
  return (
    <div className="segments" role="group" aria-label={label}>
      {options.map((option) => (
        <button key={option.value} type="button" aria-pressed={option.value === value} onClick={() => onChange(option.value)}>
          {option.label}
        </button>
      ))}
    </div>
  );
}
