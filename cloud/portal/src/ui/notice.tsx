import { CircleAlert, CircleCheck, CircleSlash, Info, type LucideIcon, RotateCw, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";

import { mayPass, words } from "../api/errors";
import { text } from "../text";
import { Button } from "./button";

export type Tone = "ok" | "warn" | "bad" | "quiet" | "accent";

const icons: Record<Tone, LucideIcon> = { ok: CircleCheck, warn: TriangleAlert, bad: CircleAlert, quiet: CircleSlash, accent: Info };

/** A sentence set apart, with an icon that repeats its tone. */
export function Notice({ tone, title, children, action }: { tone: Tone; title?: ReactNode; children: ReactNode; action?: ReactNode }) {
  const Icon = icons[tone];
  return (
    <div className={`notice notice-${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <Icon size={18} aria-hidden className="notice-icon" />
      <div className="notice-text">
        {title && <p className="notice-title">{title}</p>}
        <div>{children}</div>
      </div>
      {action && <div className="notice-action">{action}</div>}
    </div>
  );
}

/** A page or a part of it that has nothing to show, and what to do about it. */
export function Empty({ icon: Icon, title, children, action }: { icon: LucideIcon; title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="empty">
      <span className="empty-icon"><Icon size={24} strokeWidth={1.6} aria-hidden /></span>
      <h2>{title}</h2>
      {children && <div className="empty-text">{children}</div>}
      {action}
    </div>
  );
}

/** What could not be loaded and why, with a button when trying again may help. */
export function Failure({ error, what, onRetry }: { error: unknown; what: string; onRetry?: () => void }) {
  return (
    <Empty icon={CircleAlert} title={what} action={onRetry && mayPass(error) && (
      <Button icon={<RotateCw size={16} aria-hidden />} onPress={onRetry}>{text.actions.tryAgain}</Button>
    )}>
      <p role="alert">{words(error)}</p>
    </Empty>
  );
}

/** Grey shapes in the place of what is on its way. */
export function Skeleton({ lines = 3, height = 16, gap = 12 }: { lines?: number; height?: number; gap?: number }) {
  return (
    <div className="skeleton" role="status" aria-label={text.states.loading} style={{ gap }}>
      {Array.from({ length: lines }, (_, line) => <span key={line} className="bone" style={{ height }} />)}
    </div>
  );
}
