import { createLink } from "@tanstack/react-router";
import { LoaderCircle } from "lucide-react";
import type { AnchorHTMLAttributes, ReactNode } from "react";
import { Button as AriaButton, type ButtonProps as AriaButtonProps } from "react-aria-components/Button";
import { Tooltip, TooltipTrigger } from "react-aria-components/Tooltip";


export type Look = "plain" | "primary" | "quiet" | "danger" | "stage";

export interface ButtonProps extends Omit<AriaButtonProps, "className" | "style" | "children"> {
  look?: Look;
  small?: boolean;
  /** Spins and refuses presses while something is under way. */
  busy?: boolean;
  icon?: ReactNode;
  children: ReactNode;
  "data-testid"?: string;
}

export function Button({ look = "plain", small = false, busy = false, icon, children, ...rest }: ButtonProps) {
  return (
    <AriaButton {...rest} isDisabled={rest.isDisabled || busy} className={`btn btn-${look}${small ? " btn-small" : ""}`}>
      {busy ? <LoaderCircle className="btn-spin" size={16} aria-hidden /> : icon}
      <span>{children}</span>
    </AriaButton>
  );
}

export interface IconButtonProps extends Omit<AriaButtonProps, "className" | "style" | "children"> {
  /** What it does; read aloud and shown as a tooltip. */
  label: string;
  /** Shown beside the label: the key that does the same. */
  keys?: string;
  look?: Look;
  small?: boolean;
  children: ReactNode;
  "data-testid"?: string;
}

/** A button that is only an icon; its label is its accessible name and its tooltip. */
export function IconButton({ label, keys, look = "quiet", small = false, children, ...rest }: IconButtonProps) {
  return (
    <TooltipTrigger delay={500} closeDelay={80}>
      <AriaButton {...rest} aria-label={label} className={`btn btn-icon btn-${look}${small ? " btn-small" : ""}`}>
        {children}
      </AriaButton>
      <Tooltip className="tip" offset={6}>
        {label}
        {keys && <kbd className="key">{keys}</kbd>}
      </Tooltip>
    </TooltipTrigger>
  );
}

interface AnchorProps extends AnchorHTMLAttributes<HTMLAnchorElement> {
  look?: Look;
  small?: boolean;
  icon?: ReactNode;
  "data-testid"?: string;
}

function Anchor({ look = "plain", small = false, icon, children, ...rest }: AnchorProps) {
  return (
    <a {...rest} className={`btn btn-${look}${small ? " btn-small" : ""}`}>
      {icon}
      <span>{children}</span>
    </a>
  );
}

/** A link to another page that looks like a button. */
export const LinkButton = createLink(Anchor);

/** A link to a file or another address that looks like a button. */
export const FileButton = Anchor;
