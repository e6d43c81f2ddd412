// The one way to the door: typed requests, and errors as ApiError.
import createClient, { type Middleware } from "openapi-fetch";

import { errorOf, noAnswer } from "./errors";
import type { paths } from "./schema";

/** Where the door stands; the page says so, because the portal may be served by something else than the cloud. */
export const base: string =
  document.querySelector<HTMLMetaElement>('meta[name="holdfast-api"]')?.content.replace(/\/$/, "") || "/api/v1";

export const client = createClient<paths>({ baseUrl: base, credentials: "same-origin" });

/** Where a clip's file is. */
export const mediaUrl = (clip: { id: string }, download = false): string => `${base}/clips/${encodeURIComponent(clip.id)}/media${download ? "?download=1" : ""}`;

const faults: Middleware = {
  async onResponse({ response }) {
    if (!response.ok) throw await failure(response);
    return undefined;
  },
  onError({ error }) {
    // A request that was called off is no fault; react-query drops it.
    return error instanceof DOMException && error.name === "AbortError" ? error : noAnswer();
  },
};
client.use(faults);

/** The ApiError for a failed answer of a plain fetch. */
export async function failure(response: Response): Promise<Error> {
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  const body: unknown = isJson ? await response.json().catch(() => undefined) : undefined;
  return errorOf(response.status, body);
}

/** A plain fetch on the door's base, for bodies that are not JSON. */
export async function raw(path: string, init?: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(base + path, { credentials: "same-origin", ...init });
  } catch (error) {
    if (init?.signal?.aborted) throw error;
    throw noAnswer();
  }
  if (!response.ok) throw await failure(response);
  return response;
}

/** The data of a typed request; errors were thrown before. */
export async function data<T>(request: Promise<{ data?: T }>): Promise<T> {
  return (await request).data as T;
}
