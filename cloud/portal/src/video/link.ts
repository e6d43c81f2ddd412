// One connection to a site for all that is watched there: it is made before anybody clicks, and a further camera costs
// one request. It lives outside React; a page says that it may want to watch, and video sessions take places on it.
import { ApiError, words } from "../api/errors";
import { text } from "../text";
import { Ahead } from "./ahead";
import { channelName, whyNotYet } from "./control";
import { Paths } from "./paths";
import type { Seat } from "./seat";
import { askAhead, iceServers, relayUser } from "./servers";
import { hasWebRTC, noPath, shut } from "./ways";
import { type Answer, connect, end, type Offer, prefer, restart, tell, view, type Way } from "./whep";

/** Cameras of one connection, at least and at most: each place makes it longer to set up, and a wall with more than the most
 *  has several connections. */
const fewestPlaces = 2;
const mostPlaces = 8;
/** How long a connection that nobody needs is kept for whoever comes back. */
const idleMs = 30_000;
/** What was shown on a place before is on its way no longer after so much time. */
const quietMs = 1500;
/** The far end says something every second: when nothing has come for so long, the path is sought anew. */
const silentMs = 2500;
/** How long that may take before the connection is given up. */
const mendMs = 6000;
/** How long it takes at most to find a path: browsers themselves give up much later. */
const pathMs = 8000;

type Lost = (why: string) => void;
/** Gets a place that is about to be taken; why: the site says why it has no picture yet. */
type Early = (media: MediaStream, why?: string) => void;

interface Slot {
  index: number;
  media: MediaStream;
  receiver: RTCRtpReceiver;
  channel: RTCDataChannel;
  early: unknown[];
  taken: boolean;
  /** Told why the site has no picture yet, before it has answered. */
  told: ((why: string) => void) | undefined;
  /** Told when the connection is lost, once something is shown. */
  lost: Lost | undefined;
  freedMs: number;
}

/** The connection has no place that was counted on: the site's agent is of an old version. */
class Full extends Error {}

class Link {
  readonly site: string;
  readonly way: Way;
  private readonly connection: RTCPeerConnection;
  private readonly slots: Slot[] = [];
  private readonly calledOff = new AbortController();
  private location: string | undefined;
  private resting: ReturnType<typeof setTimeout> | undefined;
  private opening: Promise<Answer> | undefined;
  /** How many of its places the far end has. */
  private capacity: number;
  private watching: ReturnType<typeof setInterval> | undefined;
  /** What had come in at the last look, and when that was other than before. */
  private heard = { bytes: 0, atMs: 0 };
  private mending = false;
  gone = false;

  constructor(site: string, way: Way, places: number) {
    this.site = site;
    this.way = way;
    this.capacity = places;
    this.connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (let index = 0; index < places; index++) this.addSlot(index);
    this.connection.onconnectionstatechange = () => {
      if (this.connection.connectionState === "failed") this.pathless();
      if (this.connection.connectionState === "closed") this.close(text.live.ended);
      if (this.connection.connectionState === "connected") this.watch();
    };
  }

  /** There is no path to the far end, so nobody waits for one any more. */
  private pathless(): void {
    if (this.way === "relay") shun(this.site);
    else if (this.watching === undefined) noPath(this.site);
    this.close(text.live.noPath);
  }

  /** Notices when nothing comes in any more: the browser itself takes half a minute for that. */
  private watch(): void {
    if (this.watching !== undefined) return;
    this.heard.atMs = performance.now();
    this.watching = setInterval(() => void this.listen(), 1000);
  }

  private async listen(): Promise<void> {
    if (!this.slots.some((s) => s.lost)) return;
    const report = await this.connection.getStats().catch(() => undefined);
    if (!report || this.gone) return;
    let bytes = 0;
    for (const entry of report.values() as Iterable<RTCStats>) if (entry.type === "transport") bytes += (entry as RTCTransportStats).bytesReceived ?? 0;
    const now = performance.now();
    if (bytes !== this.heard.bytes) this.heard = { bytes, atMs: now };
    else if (now - this.heard.atMs > silentMs && !this.mending) void this.mend();
  }

  /** Seeks the path anew; what is shown goes on, once there is one. */
  private async mend(): Promise<void> {
    this.mending = true;
    const late = setTimeout(() => this.close(text.live.ended), mendMs);
    try {
      const { sdp, servers, paths } = await this.offer({ iceRestart: true });
      const answer = await restart(this.location ?? "", sdp, relayUser(servers), this.calledOff.signal);
      await this.connection.setRemoteDescription({ type: "answer", sdp: answer });
      this.exchange(paths);
      await this.hears();
    } catch {
      this.close(text.live.ended); // whoever watches makes a connection anew
    } finally {
      clearTimeout(late);
      this.mending = false;
    }
  }

  /** Makes an offer with the newest servers. Without any there is nothing to learn that the far end could use: it says where
   *  it is, and sees where the browser is. */
  private async offer(options?: RTCOfferOptions) {
    const servers = await iceServers();
    if (servers.length > 0) this.connection.setConfiguration({ iceServers: servers, bundlePolicy: "max-bundle" });
    const paths = servers.length > 0 ? new Paths(this.connection, relayUser(servers) !== undefined) : undefined;
    await this.connection.setLocalDescription(await this.connection.createOffer(options));
    return { sdp: this.connection.localDescription?.sdp ?? "", servers, paths };
  }

  /** The two ends tell each other where they are, beside everything else: when that fails a path may still come about. */
  private exchange(paths: Paths | undefined): void {
    paths?.exchange((fragment) => tell(this.location ?? "", fragment, this.calledOff.signal)).catch(() => undefined);
  }

  /** Waits until something comes in. */
  private async hears(): Promise<void> {
    const before = this.heard.bytes;
    while (!this.gone && this.heard.bytes === before) await new Promise((done) => setTimeout(done, 100));
  }

  private addSlot(index: number): void {
    const video = this.connection.addTransceiver("video", { direction: "recvonly" });
    const audio = this.connection.addTransceiver("audio", { direction: "recvonly" });
    // A picture is shown when it is there: the site sends at the pace of the camera, and what is lost is sent again.
    if ("jitterBufferTarget" in video.receiver) video.receiver.jitterBufferTarget = 0;
    prefer(video, ["video/h264", "video/h265"]);
    prefer(audio, ["audio/opus", "audio/pcmu", "audio/pcma"]);
    this.slots.push({
      index, media: new MediaStream([video.receiver.track, audio.receiver.track]), receiver: video.receiver,
      channel: this.connection.createDataChannel(index === 0 ? channelName : `${channelName}-${index}`), early: [], taken: false, told: undefined, lost: undefined, freedMs: -Infinity,
    });
  }

  /** Makes the connection, and shows a camera on the first place at once if there is one to show. */
  open(first?: Offer): Promise<Answer> {
    this.opening = this.signal(first);
    // Whoever waits for it is told; when nobody does, the next one who wants a place makes a connection anew.
    this.opening.catch(() => this.close(text.live.ended));
    return this.opening;
  }

  private async signal(first: Offer | undefined): Promise<Answer> {
    const { sdp, servers, paths } = await this.offer();
    const { site, way, connection } = this;
    const relay = relayUser(servers);
    const ask = (trickle: boolean) => connect({ sdp: trickle ? sdp : (connection.localDescription?.sdp ?? ""), site, way, first, relay, trickle }, this.calledOff.signal);
    let answer = await ask(paths !== undefined);
    if (paths && answer.slots === 0) {
      // An old agent does not know of addresses that follow: it is asked again when they are all there.
      if (answer.connection) end(answer.connection);
      await paths.settled;
      answer = await ask(false);
    }
    if (this.gone) {
      if (answer.connection) end(answer.connection);
      throw new ApiError(410, text.live.ended);
    }
    this.location = answer.connection;
    this.capacity = Math.min(answer.slots || 1, this.slots.length);
    void this.apply(answer, paths);
    return answer;
  }

  /** Takes the far end's answer, which the browser does beside the page. */
  private async apply(answer: Answer, paths: Paths | undefined): Promise<void> {
    try {
      await this.connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    } catch (error) {
      if (this.way === "relay") shun(this.site);
      return this.close(words(error));
    }
    if (answer.slots > 0) this.exchange(paths);
    setTimeout(() => {
      if (!this.gone && this.watching === undefined) this.pathless();
    }, pathMs);
  }

  get places(): number {
    return this.slots.length;
  }

  /** Takes the place that has been free for longest. */
  reserve(): Slot | undefined {
    const [slot] = this.slots.filter((s) => !s.taken && s.index < this.capacity).sort((a, b) => a.freedMs - b.freedMs || a.index - b.index);
    if (!slot) return undefined;
    clearTimeout(this.resting);
    slot.taken = true;
    slot.early = [];
    for (const track of slot.media.getAudioTracks()) track.enabled = true; // whoever spoke there has kept it down
    slot.channel.onmessage = ({ data }) => {
      if (typeof data === "string" && /"(gap|note)"/.test(data)) slot.early.push(data);
      const why = whyNotYet(data);
      if (why !== undefined) slot.told?.(why);
    };
    return slot;
  }

  /** Shows a camera on a place that was reserved. Once the site was asked that is not called off, for it would send to nobody:
   *  what comes too late is ended. */
  async show(slot: Slot, offer: Offer, signal?: AbortSignal): Promise<Answer> {
    if (this.location === undefined) await this.opening;
    if (slot.index >= this.capacity) throw new Full();
    if (signal?.aborted) throw new DOMException("called off", "AbortError");
    return view(this.location ?? "", slot.index, offer, this.calledOff.signal);
  }

  seat(slot: Slot, answer: Answer, lost: Lost): Seat {
    if (!this.slots.some((s) => s.lost)) this.heard.atMs = performance.now();
    slot.lost = lost;
    return {
      media: slot.media, channel: slot.channel, early: slot.early, answer, relayed: this.way === "relay",
      measure: () => slot.receiver.getStats(),
      hears: (tell) => {
        for (const track of slot.media.getAudioTracks()) {
          track.onunmute = tell;
          if (!track.muted) tell();
        }
      },
      leave: () => {
        for (const track of slot.media.getAudioTracks()) track.onunmute = null;
        if (answer.session && !this.gone) end(answer.session);
        this.free(slot);
      },
    };
  }

  free(slot: Slot): void {
    slot.taken = false;
    slot.told = undefined;
    slot.lost = undefined;
    slot.channel.onmessage = null;
    slot.freedMs = performance.now();
    this.rest();
  }

  /** Ends some time after nobody needs the connection any more. */
  rest(): void {
    clearTimeout(this.resting);
    if (this.gone || (wanted.has(this.site) && this.way !== "relay") || this.slots.some((s) => s.taken)) return;
    this.resting = setTimeout(() => this.close(text.live.ended), idleMs);
  }

  close(why: string): void {
    if (this.gone) return;
    this.gone = true;
    links.delete(this);
    clearTimeout(this.resting);
    clearInterval(this.watching);
    this.calledOff.abort();
    this.connection.onconnectionstatechange = null;
    for (const slot of this.slots) slot.lost?.(why); // first: where a picture stands it is kept
    this.connection.close();
    if (this.location) end(this.location);
  }
}

const links = new Set<Link>();
/** Sites that may be watched, and how many of their cameras at once: an entry for each page that says so. */
const wanted = new Map<string, number[]>();

const of = (site: string, way?: Way): Link[] => [...links].filter((link) => link.site === site && (way === undefined || link.way === way));

/** How many places are wanted at a site beyond those of some connections. */
const lacking = (site: string, there: Link[]): number => Math.max(0, ...(wanted.get(site) ?? [])) - there.reduce((sum, link) => sum + link.places, 0);

function made(site: string, way: Way): Link {
  const places = Math.min(Math.max(lacking(site, of(site, way)), fewestPlaces), mostPlaces);
  const link = new Link(site, way, places);
  links.add(link);
  return link;
}

/** Makes ready for a connection that may be wanted soon, to whatever site, where there is none yet. */
export function prepare(): void {
  if (links.size === 0) askAhead();
}

/** Keeps a connection to a site at hand, on which so many cameras have place, until the returned function is called. */
export function warm(site: string, places: number): () => void {
  wanted.set(site, [...(wanted.get(site) ?? []), places]);
  if (hasWebRTC() && !shut(site)) {
    const there = () => of(site).filter((link) => link.way !== "relay");
    while (lacking(site, there()) > 0) made(site, "either").open().catch(() => undefined);
  }
  return () => {
    const left = wanted.get(site) ?? [];
    left.splice(left.indexOf(places), 1);
    if (left.length === 0) wanted.delete(site);
    for (const link of of(site)) link.rest();
  };
}

/** Sites whose cameras this browser could not get from the relay, and until when it does not try again. */
const shunned = new Map<string, number>();
const shunMs = 300_000;

/** Leaves the relay alone for some time, where a site is concerned. */
export function shun(site: string): void {
  shunned.set(site, performance.now() + shunMs);
}

const shuns = (site: string): boolean => (shunned.get(site) ?? 0) > performance.now();

/** Takes a place for a camera on a connection to its site: on one that is there, else on a new one. A camera that others
 *  watch too may come from the relay. `lost` is told when the connection ends later. `early` gets the place before anybody
 *  is asked, if nothing comes there any more: the first picture may come before the answer, and nobody would see it. Throws
 *  an ApiError whose words are for the person who waits. */
export async function take(site: string, offer: Offer, lost: Lost, early: Early, signal: AbortSignal): Promise<Seat> {
  const seat = await over(shuns(site) ? "site" : "either", site, offer, lost, early, signal);
  if (seat) return seat;
  try {
    return await relayed(site, offer, lost, early, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    return take(site, offer, lost, early, signal);
  }
}

/** Takes a place for a live camera on a connection to the relay; when there is none to be had, it is left alone for some time. */
export async function relayed(site: string, offer: Offer, lost: Lost, early: Early, signal: AbortSignal): Promise<Seat> {
  const seat = shuns(site) ? undefined : await over("relay", site, offer, lost, early, signal).catch((error: unknown) => {
    if (!signal.aborted) shun(site);
    throw error;
  });
  if (!seat) throw new ApiError(502, text.live.ended);
  return seat;
}

const ahead = new Ahead<Link, Slot>();

/** Asks for a camera whose page is about to come, over a connection that is there. */
export function beforehand(site: string, offer: Offer): void {
  ahead.ask(site, offer, () => {
    for (const link of of(site, shuns(site) ? "site" : "either")) {
      const slot = link.reserve();
      if (!slot) continue;
      const drop = (answer: Answer | undefined) => {
        if (answer?.session) end(answer.session);
        link.free(slot);
      };
      return { link, slot, answer: link.show(slot, offer), drop };
    }
    return undefined;
  });
}

/** Takes a place on a connection of one way; undefined when its far end sends the viewer on to the relay. */
async function over(way: Way, site: string, offer: Offer, lost: Lost, early: Early, signal: AbortSignal): Promise<Seat | undefined> {
  const asked = way === "relay" ? undefined : ahead.claim(site, offer);
  for (const link of asked ? [asked.link] : of(site, way)) {
    const slot = asked?.slot ?? link.reserve();
    if (!slot) continue;
    slot.told = (why) => { if (!signal.aborted) early(slot.media, why); };
    if (performance.now() - slot.freedMs > quietMs) early(slot.media);
    try {
      const answer = await (asked?.answer ?? link.show(slot, offer, signal));
      if (!answer.relay) return settled(link, slot, answer, lost, signal);
      link.free(slot);
      return undefined;
    } catch (error) {
      if (error instanceof Full) {
        link.free(slot);
        continue;
      }
      const dead = link.gone || (error instanceof ApiError && error.status === 410);
      if (!dead || signal.aborted) {
        link.free(slot);
        throw error;
      }
      link.close(text.live.ended);
    }
  }
  const link = made(site, way);
  const slot = link.reserve();
  if (!slot) throw new ApiError(501, text.live.unsupported);
  slot.told = (why) => { if (!signal.aborted) early(slot.media, why); };
  early(slot.media);
  try {
    return settled(link, slot, await link.open(offer), lost, signal);
  } catch (error) {
    if (!signal.aborted) link.close(text.live.ended);
    throw error;
  }
}

function settled(link: Link, slot: Slot, answer: Answer, lost: Lost, signal: AbortSignal): Seat {
  if (link.gone) throw new ApiError(410, text.live.ended);
  const seat = link.seat(slot, answer, lost);
  if (!signal.aborted) return seat;
  seat.leave();
  throw new DOMException("called off", "AbortError");
}

/** The tab is closed or put away: the site need not send on until its connections time out. */
if (typeof addEventListener === "function") {
  addEventListener("pagehide", () => {
    for (const link of links) link.close(text.live.ended);
  });
}
