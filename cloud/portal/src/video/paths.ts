// How a browser and the far end of a connection find a path: addresses are told as they become known (trickle ICE,
// RFC 8838), so that nobody waits for servers that may never answer.

/** Addresses that come together are told together. */
const togetherMs = 20;
const withServersMs = 600;
/** Without a relay there may be no path at all, and TLS takes five round trips. */
const withRelayMs = 1500;
/** Once it has a relay the browser has heard from a server all that it needs, and does not wait for those that a firewall
 *  keeps silent. */
const afterRelayMs = 50;

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Follows what a connection learns of its own addresses, for the description that it is about to be given. */
export class Paths {
  private readonly connection: RTCPeerConnection;
  private readonly known: string[] = [];
  private ended = false;
  private news: () => void = () => undefined;
  private end: () => void = () => undefined;
  /** Comes when all is known that matters. */
  readonly settled = new Promise<void>((done) => {
    this.end = () => {
      this.ended = true;
      this.news();
      done();
    };
  });

  /** relay: among the servers is one that carries packets. */
  constructor(connection: RTCPeerConnection, relay: boolean) {
    this.connection = connection;
    let timer = setTimeout(() => this.end(), relay ? withRelayMs : withServersMs);
    connection.onicecandidate = ({ candidate }) => {
      // A name that only multicast DNS knows is of no use to the far end.
      if (!candidate?.candidate || candidate.address?.endsWith(".local") || this.ended) return;
      this.known.push(candidate.candidate);
      this.news();
      if (candidate.type !== "relay") return;
      clearTimeout(timer);
      timer = setTimeout(() => this.end(), afterRelayMs);
    };
    connection.onicegatheringstatechange = () => {
      if (connection.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      this.end();
    };
  }

  /** Tells the far end, and takes what it tells, until all is known that matters. tell takes a fragment (RFC 8840
   *  section 9) and returns the far end's. */
  async exchange(tell: (fragment: string) => Promise<string>): Promise<void> {
    for (let told = 0, last = false; !last; ) {
      if (this.known.length === told && !this.ended) await new Promise<void>((done) => (this.news = done));
      await pause(togetherMs);
      last = this.ended;
      const next = this.known.slice(told);
      told += next.length;
      await this.take(await tell(this.fragment(next, last)));
    }
  }

  private fragment(candidates: string[], last: boolean): string {
    const sdp = this.connection.localDescription?.sdp ?? "";
    const line = (name: string) => `a=${name}:${value(sdp, name)}`;
    return [
      line("ice-ufrag"), line("ice-pwd"), "m=video 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", ...candidates.map((candidate) => `a=${candidate}`),
      ...(last ? ["a=end-of-candidates"] : []), "",
    ].join("\r\n");
  }

  private async take(fragment: string): Promise<void> {
    const usernameFragment = value(fragment, "ice-ufrag");
    for (const [, candidate] of fragment.matchAll(/^a=(candidate:.+?)\r?$/gm)) {
      await this.connection.addIceCandidate({ candidate: candidate ?? "", sdpMLineIndex: 0, usernameFragment });
    }
  }
}

const value = (sdp: string, name: string): string => new RegExp(`^a=${name}:(\\S+)`, "m").exec(sdp)?.[1] ?? "";
