import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from "react";
import { Check, Copy, Eye, EyeOff } from "lucide-react";
import { useState } from "react";

import { text } from "../text";
import { IconButton } from "./button";

interface FrameProps {
  label: string;
  hint?: ReactNode;
  fault?: string;
  children: (ids: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode;
}

/** Label, control, hint and fault, tied together for assistive technology. */
export function Field({ label, hint, fault, children }: FrameProps) {
  const id = useId();
  const notes = [hint ? `${id}-hint` : "", fault ? `${id}-fault` : ""].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>{label}</label>
      {children({ id, ...(notes ? { "aria-describedby": notes } : {}), ...(fault ? { "aria-invalid": true } : {}) })}
      {hint && <p className="field-hint" id={`${id}-hint`}>{hint}</p>}
      {fault && <p className="field-fault" id={`${id}-fault`} role="alert">{fault}</p>}
    </div>
  );
}

interface TextFieldProps extends Omit<InputHTMLAttributes<HTMLInputElement>, "onChange" | "value"> {
  label: string;
  value: string;
  onChange: (value: string) => void;
  hint?: ReactNode;
  fault?: string;
  "data-testid"?: string;
}

export function TextField({ label, hint, fault, value, onChange, ...rest }: TextFieldProps) {
  return (
    <Field label={label} hint={hint} fault={fault}>
      {(ids) => <input type="text" {...rest} {...ids} className="input" value={value} onChange={(event) => onChange(event.target.value)} />}
    </Field>
  );
}

/** A password that can be looked at while it is typed. */
export function PasswordField({ label, hint, fault, value, onChange, ...rest }: TextFieldProps) {
  const [shown, setShown] = useState(false);
  return (
    <Field label={label} hint={hint} fault={fault}>
      {(ids) => (
        <span className="input-group">
          <input {...rest} {...ids} type={shown ? "text" : "password"} className="input" value={value} onChange={(event) => onChange(event.target.value)} />
          <IconButton small label={shown ? text.fields.hidePassword : text.fields.showPassword} onPress={() => setShown(!shown)}>
            {shown ? <EyeOff size={16} aria-hidden /> : <Eye size={16} aria-hidden />}
          </IconButton>
        </span>
      )}
    </Field>
  );
}

interface SelectFieldProps extends Omit<SelectHTMLAttributes<HTMLSelectElement>, "onChange" | "value"> {
  label: string;
  value: string;
  onChange: (value: string) => void;
  options: readonly { value: string; label: string }[];
  hint?: ReactNode;
  fault?: string;
  /** Keeps the label for assistive technology only, as in a row of filters. */
  bare?: boolean;
}

/** The platform's own select: the best there is on a phone. */
export function SelectField({ label, hint, fault, value, onChange, options, bare, ...rest }: SelectFieldProps) {
  const control = (more: object) => (
    <select {...rest} {...more} className="input select" value={value} onChange={(event) => onChange(event.target.value)}>
      {options.map((option) => <option key={option.value} value={option.value}>{option.label}</option>)}
    </select>
  );
  if (bare) return control({ "aria-label": label });
  return <Field label={label} hint={hint} fault={fault}>{control}</Field>;
}

/** A text that is there to be copied. */
export function CopyField({ label, value, multiline = false, ...rest }: { label: string; value: string; multiline?: boolean; "data-testid"?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(value);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <div className="copy">
      <span className="field-label">{label}</span>
      <div className="copy-box">
        <code {...rest} className={multiline ? "copy-text copy-wrap" : "copy-text"} tabIndex={0}>{value}</code>
        <IconButton small label={copied ? text.fields.copied : text.fields.copy} onPress={() => void copy()}>
          {copied ? <Check size={16} aria-hidden /> : <Copy size={16} aria-hidden />}
        </IconButton>
      </div>
      <span className="unseen" role="status">{copied ? text.fields.copied : ""}</span>
    </div>
  );
}

/** Copies a text, also where the clipboard interface is missing because the page came over plain HTTP. */
export async function copyText(value: string): Promise<void> {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(value);
    return;
  }
  const box = document.createElement("textarea");
  box.value = value;
  box.className = "unseen";
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
}
