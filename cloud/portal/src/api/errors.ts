// What went wrong with a request, in words that say what to do.
import { text } from "../text";

/** The body of an error answer (RFC 9457), as far as the portal reads it. */
export interface Problem {
  title?: string;
  status?: number;
  detail?: string;
  errors?: { message?: string; location?: string }[] | null;
}

/** A request that failed. `status` is 0 when no answer came at all. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  /** Faults of single fields, by field name. */
  readonly fields: Readonly<Record<string, string>>;

  constructor(status: number, message: string, fields: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

/** The error for an answer that is not a success. A body that is no problem document is ignored. */
export function errorOf(status: number, body: unknown): ApiError {
  const problem = isProblem(body) ? body : {};
  const fields: Record<string, string> = {};
  for (const fault of problem.errors ?? []) {
    const name = fault.location?.split(".").pop();
    if (name && fault.message) fields[name] = sentence(fault.message);
  }
  return new ApiError(status, sentence(problem.detail || byStatus(status)), fields);
}

/** The error for a request that got no answer. */
export const noAnswer = (): ApiError => new ApiError(0, text.errors.noAnswer);

/** One sentence for a person, whatever was thrown. */
export function words(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  return text.errors.unexpected;
}

/** True when trying again later may help without any change. */
export function mayPass(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status === 429 || error.status >= 500);
}

function byStatus(status: number): string {
  if (status === 401) return text.errors.signedOut;
  if (status === 403) return text.errors.forbidden;
  if (status === 404) return text.errors.notFound;
  if (status === 409) return text.errors.conflict;
  if (status === 413) return text.errors.tooLarge;
  if (status === 422 || status === 400) return text.errors.invalid;
  if (status === 429) return text.errors.tooMany;
  if (status >= 500) return text.errors.server;
  return text.errors.unexpected;
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && ("detail" in body || "title" in body || "errors" in body);
}

/** Starts with a capital, ends with a full stop. */
export function sentence(words: string): string {
  const trimmed = words.trim();
  if (trimmed === "") return trimmed;
  const head = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(head) ? head : `${head}.`;
}
