// The servers that help the two ends of a connection to find each other, asked for before they are needed.
import { client, data } from "../api/client";

/** Credentials serve for two minutes until a connection takes them. */
const freshMs = 90_000;

let ahead: { atMs: number; servers: Promise<RTCIceServer[]> } | undefined;

const fresh = (): boolean => ahead !== undefined && performance.now() - ahead.atMs < freshMs;

async function fetched(): Promise<RTCIceServer[]> {
  const got = await data(client.GET("/live/ice"));
  return got.servers.map((server) => ({
    urls: server.urls,
    ...(server.username ? { username: server.username } : {}),
    ...(server.credential ? { credential: server.credential } : {}),
  }));
}

/** Asks for the servers of the next connection, if nobody has. */
export function askAhead(): void {
  if (fresh()) return;
  const mine = { atMs: performance.now(), servers: fetched() };
  ahead = mine;
  mine.servers.catch(() => {
    if (ahead === mine) ahead = undefined; // whoever needs them asks again, and is told why
  });
}

/** The servers of a connection; credentials are given once. */
export async function iceServers(): Promise<RTCIceServer[]> {
  askAhead();
  const mine = ahead;
  const servers = (await mine?.servers) ?? [];
  if (relayUser(servers) === undefined) return servers;
  if (ahead !== mine) return iceServers(); // another connection has taken them meanwhile
  ahead = undefined;
  return servers;
}

/** The user name of relay credentials, if there are any. */
export const relayUser = (servers: RTCIceServer[]): string | undefined => servers.find((server) => server.username)?.username;
