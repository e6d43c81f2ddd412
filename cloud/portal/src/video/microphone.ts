// Whether a page can have the microphone, and why not, in words.
import { ApiError, words } from "../api/errors";
import { text } from "../text";

/** Why nobody can speak from here; empty where one can. */
export function unable(): string {
  if (typeof RTCPeerConnection === "undefined") return text.live.unsupported;
  if (!isSecureContext || typeof navigator.mediaDevices?.getUserMedia !== "function") return text.talk.insecure;
  return "";
}

/** Whether the browser will ask the person for the microphone; also where it does not tell. */
export async function asks(): Promise<boolean> {
  try {
    return (await navigator.permissions.query({ name: "microphone" as PermissionName })).state === "prompt";
  } catch {
    return true;
  }
}

/** What went wrong, for the person who wanted to speak. */
export function reason(error: unknown): string {
  const name = error instanceof ApiError ? "" : (error as { name?: unknown } | null)?.name;
  if (name === "NotAllowedError" || name === "SecurityError") return text.talk.denied;
  if (name === "NotFoundError" || name === "OverconstrainedError") return text.talk.none;
  if (name === "NotReadableError" || name === "AbortError") return text.talk.busy;
  return words(error);
}
