// What runs inside the measured page: the clock of a press and the moments that follow it, by the browser's own marks.

/** Installs itself before the page's own scripts. With `cold` the page finds no WebRTC before the press, so that it
 *  cannot have made a connection by then, whatever it would do ahead. */
export function probe(cold) {
  const Real = RTCPeerConnection;
  const made = [];
  // Moments since the press, in milliseconds.
  let marks = {};
  let pressedAt;
  /** When the newest connection was made. */
  let newest = 0;
  let awaited = {};
  const mark = (name, at = performance.now()) => {
    if (pressedAt !== undefined) marks[name] ??= at - pressedAt;
    if (name === awaited.name) awaited.there();
  };
  // What the site has said about time: of which of its pictures, and how far its clock is ahead of the page's.
  let known;
  let clock;
  let speaking;
  const hear = (channel, word) => {
    if (word.type === "position") {
      if (marks.order !== undefined) mark("place");
      speaking = channel;
      if (word.sent_us !== undefined) known = { rtp: word.rtp, bornMs: (word.sent_us - (word.age_us ?? 0)) / 1000 };
    } else if (word.type === "pong" && word.at_us === clock?.askedUs) {
      const trip = performance.now() - word.at_us / 1000;
      if (trip < clock.trip) clock = { ...clock, trip, ahead: word.sent_us / 1000 - word.at_us / 1000 - trip / 2 };
      clock.answered();
    }
  };
  class Seen extends Real {
    constructor(...args) {
      super(...args);
      made.push(this);
      newest = performance.now();
      this.addEventListener("connectionstatechange", () => this.connectionState === "connected" && mark("connected"));
    }
    addTransceiver(...args) {
      const transceiver = super.addTransceiver(...args);
      // A track is muted until its first packet has come (webrtc-pc section 5.3).
      if (transceiver.receiver.track.kind === "video") transceiver.receiver.track.addEventListener("unmute", () => mark("packet"));
      return transceiver;
    }
    createDataChannel(...args) {
      const channel = super.createDataChannel(...args);
      channel.addEventListener("message", ({ data }) => hear(channel, JSON.parse(data)));
      return channel;
    }
  }
  Object.defineProperty(window, "RTCPeerConnection", { configurable: true, get: () => (cold && pressedAt === undefined ? undefined : Seen) });
  const send = RTCDataChannel.prototype.send;
  RTCDataChannel.prototype.send = function (data) {
    if (typeof data === "string" && data.includes('"seek"')) mark("order");
    return send.call(this, data);
  };

  const painted = (frame, begun) => {
    if (pressedAt === undefined || frame.receiveTime === undefined || frame.receiveTime < pressedAt) return;
    const now = performance.now();
    if (begun !== undefined) {
      // A seek: what was on its way when the order went out is of the old place.
      if (marks.order === undefined || frame.receiveTime - pressedAt < marks.order + 1) return;
      mark("painted", now);
      // The site names the place just before it sends its picture, by another channel on the same path.
      if (marks.place !== undefined && frame.receiveTime - pressedAt >= marks.place - 3) mark("exact", now);
      return;
    }
    mark("whole", frame.receiveTime);
    mark("decoded", frame.presentationTime);
    mark("painted", now);
  };
  let seeking;
  let waiting;
  let later;
  const watch = (video) => {
    const next = (_, frame) => {
      const order = waiting;
      waiting = undefined;
      painted(frame, seeking);
      if (marks.painted !== undefined && performance.now() - pressedAt >= marks.painted + 1000) later ??= frame;
      order?.();
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  };
  new MutationObserver(() => {
    for (const video of document.querySelectorAll("video:not([data-watched])")) {
      video.dataset.watched = "1";
      mark("page");
      watch(video);
    }
  }).observe(document, { childList: true, subtree: true });

  const press = () => {
    performance.clearResourceTimings();
    performance.setResourceTimingBufferSize(10_000);
    marks = {};
    seeking = known = later = speaking = undefined;
    pressedAt = performance.now();
  };
  document.addEventListener("pointerdown", press, true);

  /** When the first request since the press that is meant went out and was answered. */
  const request = (meant, out, back) => {
    const entry = performance.getEntriesByType("resource").find((r) => meant(r.name) && r.startTime >= pressedAt);
    if (entry === undefined || !entry.responseEnd) return;
    marks[out] = entry.startTime - pressedAt;
    marks[back] = entry.responseEnd - pressedAt;
  };

  /** What the page is told late: the network and the decoder work beside it. A picture that is there had its connection. */
  const atLatest = (name, by) => {
    if (marks[by] !== undefined) marks[name] = Math.min(marks[name] ?? Infinity, marks[by]);
  };

  window.probe = {
    /** Where another server takes offers. */
    endpoint: undefined,
    /** The moments of the press once the last of them is there; undefined when that takes longer than the limit. */
    moments: async (last, limitMs) => {
      let timer;
      await new Promise((done) => {
        timer = setTimeout(done, limitMs);
        awaited = { name: last, there: done };
        if (marks[last] !== undefined) done();
      });
      clearTimeout(timer);
      if (marks[last] === undefined) return undefined;
      // The answer to a request may be on record only behind the picture that it brought.
      await new Promise((done) => setTimeout(done, 300));
      request((url) => /\/live\/ice$/.test(url), "ice_asked", "ice");
      request((url) => url === window.probe.endpoint || /\/(view|live)\?/.test(url), "asked", "answer");
      atLatest("packet", "whole");
      if (newest > pressedAt) atLatest("connected", "packet");
      return { ...marks };
    },
    /** What is known of a press without a picture. */
    marks: () => ({ ...marks, connections: made.map((c) => `${c.connectionState}/${c.iceConnectionState}`) }),
    /** Forgets the press before, and says how many connections the page has made. */
    arm: () => {
      marks = {};
      pressedAt = undefined;
      return made.length;
    },
    connections: () => made.length,
    connected: () => made.some((c) => c.connectionState === "connected"),
    /** How old the picture was that was shown one second after the first one, and what the page itself says of it. The
     *  clocks are compared by the quickest of several questions. */
    latency: async () => {
      if (later === undefined || known === undefined || speaking?.readyState !== "open") return undefined;
      const page = Number(document.querySelector("video").dataset.delay);
      clock = { trip: Infinity };
      for (let i = 0; i < 10; i++) {
        await new Promise((answered) => {
          clock.answered = answered;
          clock.askedUs = Math.round(performance.now() * 1000);
          speaking.send(JSON.stringify({ type: "ping", at_us: clock.askedUs }));
        });
      }
      const born = known.bornMs + ((later.rtpTimestamp - known.rtp) | 0) / 90; // RTP time wraps; RFC 6184 section 8.2.1
      // What is expected of a picture where little moves on a page is at times of the one before.
      const paints = later.expectedDisplayTime - later.presentationTime;
      const shown = paints >= 0 && paints < 100 ? later.expectedDisplayTime : later.presentationTime + 17;
      return { latency: shown + clock.ahead - born, latency_page: page };
    },
    /** Goes to another moment right behind a picture: until the next one is due, what comes is of the new place. */
    seek: (path) => new Promise((done) => {
      waiting = () => {
        press();
        seeking = pressedAt;
        history.pushState({}, "", path);
        done();
      };
    }),
  };
}
