import { Link } from "@tanstack/react-router";
import { ChevronLeft } from "lucide-react";
import type { ReactNode } from "react";

import { useTitle } from "../lib/hooks";
import { words } from "../api/errors";
import { Notice } from "./notice";

interface PageProps {
  title: ReactNode;
  /** For the browser's tab. */
  name?: string;
  lead?: ReactNode;
  /** A way up, above the title. */
  up?: { to: string; params?: Record<string, string>; label: string };
  badge?: ReactNode;
  actions?: ReactNode;
  wide?: boolean;
  /** An error of a page that still shows older data. */
  stale?: unknown;
  children: ReactNode;
}

/** The frame of every page: where you are, what it is, what you can do, then the content. */
export function Page({ title, name, lead, up, badge, actions, wide, stale, children }: PageProps) {
  useTitle(name ?? (typeof title === "string" ? title : undefined));
  return (
    <div className={wide ? "page page-wide" : "page"}>
      <header className="page-head">
        <div className="page-titles">
          {up && (
            <Link className="page-up" to={up.to} {...(up.params ? { params: up.params } : {})}>
              <ChevronLeft size={16} aria-hidden />{up.label}
            </Link>
          )}
          <div className="page-title">
            <h1>{title}</h1>
            {badge}
          </div>
          {lead && <div className="page-lead">{lead}</div>}
        </div>
        {actions && <div className="page-actions">{actions}</div>}
      </header>
      {stale !== undefined && stale !== null && <Notice tone="warn">{words(stale)}</Notice>}
      {children}
    </div>
  );
}

/** A box with a heading. */
export function Panel({ title, aside, children, flush, ...rest }: { title?: ReactNode; aside?: ReactNode; children: ReactNode; flush?: boolean; "data-testid"?: string }) {
  return (
    <section {...rest} className={flush ? "panel panel-flush" : "panel"}>
      {(title || aside) && (
        <header className="panel-head">
          {title && <h2>{title}</h2>}
          {aside}
        </header>
      )}
      {children}
    </section>
  );
}

export interface Fact {
  label: string;
  value: ReactNode;
  note?: ReactNode;
  tone?: "warn" | "bad";
}

/** Names and values, one below the other. Facts without a value are left out. */
export function Facts({ facts }: { facts: (Fact | false | undefined)[] }) {
  return (
    <dl className="facts">
      {facts.map((fact) => fact && (
        <div key={fact.label} className="fact" data-tone={fact.tone}>
          <dt>{fact.label}</dt>
          <dd>
            {fact.value}
            {fact.note && <span className="fact-note">{fact.note}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}
