import { Circle, CircleCheck, CircleDashed, CircleHelp, CirclePause, Hourglass, LockKeyhole, type LucideIcon, TriangleAlert, Unplug } from "lucide-react";
import type { ReactNode } from "react";

import type { Camera, ClipState, HoldState, PlayerState, SiteStatus } from "../api/types";
import { text } from "../text";
import type { Tone } from "./notice";

/** A word with an icon on a soft ground; the icon's shape says the same as its colour. */
export function Badge({ tone, icon: Icon, children, ...rest }: { tone: Tone; icon?: LucideIcon; children: ReactNode; "data-testid"?: string; "data-status"?: string }) {
  return (
    <span {...rest} className={`badge badge-${tone}`}>
      {Icon && <Icon size={14} strokeWidth={2.2} aria-hidden />}
      {children}
    </span>
  );
}

export const siteLook: Record<SiteStatus, { tone: Tone; icon: LucideIcon }> = {
  ok: { tone: "ok", icon: CircleCheck },
  attention: { tone: "warn", icon: TriangleAlert },
  dark: { tone: "bad", icon: Unplug },
  never: { tone: "quiet", icon: CircleDashed },
  starting: { tone: "quiet", icon: Hourglass },
};

export function SiteBadge({ status }: { status: SiteStatus }) {
  const look = siteLook[status];
  return <Badge tone={look.tone} icon={look.icon} data-testid="site-status" data-status={status}>{text.siteStatus[status]}</Badge>;
}

/** What a camera is, in one word: the status, but for a healthy camera that is not recorded. */
export function cameraWord(camera: Pick<Camera, "status" | "recording">): { key: string; label: string; tone: Tone; icon: LucideIcon } {
  if (camera.status === "failing") return { key: "failing", label: text.cameraStatus.failing, tone: "bad", icon: TriangleAlert };
  if (camera.status === "disabled") return { key: "disabled", label: text.cameraStatus.disabled, tone: "quiet", icon: CirclePause };
  if (camera.status === "unknown") return { key: "unknown", label: text.cameraStatus.unknown, tone: "quiet", icon: CircleHelp };
  if (!camera.recording) return { key: "live", label: text.cameraStatus.liveOnly, tone: "quiet", icon: Circle };
  return { key: "ok", label: text.cameraStatus.ok, tone: "ok", icon: CircleCheck };
}

export function CameraBadge({ camera }: { camera: Pick<Camera, "status" | "recording"> }) {
  const look = cameraWord(camera);
  return <Badge tone={look.tone} icon={look.icon} data-testid="camera-status" data-status={look.key}>{look.label}</Badge>;
}

const clipTones: Record<ClipState, Tone> = {
  wanted: "quiet", cutting: "accent", queued: "accent", uploading: "accent", stored: "ok", unavailable: "bad", lost: "bad",
};

const clipIcons: Record<ClipState, LucideIcon> = {
  wanted: CircleDashed, cutting: Hourglass, queued: Hourglass, uploading: Hourglass, stored: CircleCheck, unavailable: TriangleAlert, lost: TriangleAlert,
};

export function ClipBadge({ state }: { state: ClipState }) {
  return <Badge tone={clipTones[state]} icon={clipIcons[state]} data-testid="clip-status" data-status={state}>{text.clipState[state]}</Badge>;
}

const holdLook: Record<HoldState, { tone: Tone; icon: LucideIcon }> = {
  waiting: { tone: "quiet", icon: Hourglass },
  kept: { tone: "ok", icon: LockKeyhole },
  partly: { tone: "warn", icon: TriangleAlert },
  empty: { tone: "bad", icon: TriangleAlert },
  refused: { tone: "bad", icon: TriangleAlert },
  ended: { tone: "quiet", icon: CircleDashed },
  unsupported: { tone: "bad", icon: TriangleAlert },
};

export function HoldBadge({ state }: { state: HoldState }) {
  return <Badge tone={holdLook[state].tone} icon={holdLook[state].icon} data-testid="hold-status" data-status={state}>{text.hold.states[state]}</Badge>;
}

const playerLook: Record<PlayerState, { tone: Tone; icon: LucideIcon }> = {
  serves: { tone: "ok", icon: CircleCheck },
  expired: { tone: "quiet", icon: CircleDashed },
  revoked: { tone: "quiet", icon: CircleDashed },
  lost: { tone: "bad", icon: TriangleAlert },
};

export function PlayerBadge({ state }: { state: PlayerState }) {
  return <Badge tone={playerLook[state].tone} icon={playerLook[state].icon} data-testid="player-state" data-status={state}>{text.players.states[state]}</Badge>;
}
