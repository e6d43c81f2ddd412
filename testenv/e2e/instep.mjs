// What is on the screen of several tiles at one instant, by what the cameras themselves have written into their pictures
// (testenv/fakecam, Stamp): nothing of it goes through the portal's own reckoning.
import { until } from "./browser.mjs";

/** Installs itself before the page's own scripts, in a page without a content security policy: every coded picture is looked
 *  at on its way to the decoder, and every painted one is known by its RTP time. */
export function stamps() {
  const look = (self) => {
    const mark = [0x7f, 0x0e, 0x5a, 0xc1, 0x3d, 0x94, 0x4b, 0x62, 0x8a, 0x1f, 0x48, 0x6f, 0x6c, 0x64, 0x66, 0x61];
    const stamp = (bytes) => {
      for (let i = 0; i + 60 < bytes.length; i++) {
        if (!mark.every((b, at) => bytes[i + at] === b)) continue;
        const plain = []; // without emulation prevention
        for (let at = i + mark.length, zeros = 0; plain.length < 21 && at < bytes.length; at++) {
          if (zeros >= 2 && bytes[at] === 3) zeros = 0;
          else {
            zeros = bytes[at] === 0 ? zeros + 1 : 0;
            plain.push(bytes[at]);
          }
        }
        const number = (from) => plain.slice(from, from + 8).reduce((sum, b) => sum * 256 + b, 0);
        return { frame: number(5), us: number(13) };
      }
      return undefined;
    };
    self.onrtctransform = ({ transformer: { readable, writable, options } }) => {
      const transform = (frame, out) => {
        options.port.postMessage([frame.getMetadata().rtpTimestamp, stamp(new Uint8Array(frame.data).subarray(0, 2000))]);
        out.enqueue(frame);
      };
      void readable.pipeThrough(new TransformStream({ transform })).pipeTo(writable);
    };
  };
  const worker = new Worker(URL.createObjectURL(new Blob([`(${look})(self)`], { type: "text/javascript" })));
  const sent = new Map(); // by track, by RTP time
  const Real = RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    addTransceiver(...args) {
      const transceiver = super.addTransceiver(...args);
      const { track } = transceiver.receiver;
      if (track.kind === "video") {
        const { port1, port2 } = new MessageChannel();
        const known = new Map();
        sent.set(track.id, known);
        port1.onmessage = ({ data: [rtp, found] }) => found && known.set(rtp, found);
        transceiver.receiver.transform = new RTCRtpScriptTransform(worker, { port: port2 }, [port2]);
      }
      return transceiver;
    }
  };
  const notes = []; // what tiles have been told and have said of themselves, and when
  const note = (...words) => notes.push({ ms: performance.now(), words: words.join(" ") });
  const { send } = RTCDataChannel.prototype;
  RTCDataChannel.prototype.send = function (data) {
    if (typeof data === "string" && !data.includes('"ping"')) note(this.label, data);
    return send.call(this, data);
  };
  /** Those of the last seconds: for whoever finds the tiles apart. */
  window.lately = (seconds) => {
    const since = performance.now() - seconds * 1000;
    const pictures = window.came.map(({ camera, us, ms }) => ({ ms, words: `${camera?.slice(-4)} shows ${us / 1000}` }));
    return [...notes, ...pictures].filter(({ ms }) => ms > since).sort((a, b) => a.ms - b.ms).map(({ ms, words }) => `${Math.round(ms)} ${words}`);
  };
  const painted = new WeakMap();
  const shown = (video) => sent.get(video.srcObject?.getVideoTracks()[0]?.id)?.get(painted.get(video));
  window.came = []; // every picture that came to the screen: of which camera, when it was sent, when it was handed over to the screen
  new MutationObserver((changes) => {
    for (const { type, target } of changes) if (type === "attributes") note(target.dataset.camera?.slice(-4), target.dataset.where, target.dataset.phase, target.dataset.drift);
    for (const video of document.querySelectorAll("video:not([data-seen])")) {
      video.dataset.seen = "1";
      const next = (_, frame) => {
        painted.set(video, frame.rtpTimestamp);
        const picture = shown(video);
        if (picture) window.came.push({ camera: video.closest("[data-camera]")?.dataset.camera, us: picture.us, ms: frame.presentationTime });
        video.requestVideoFrameCallback(next);
      };
      video.requestVideoFrameCallback(next);
    }
  }).observe(document, { childList: true, subtree: true, attributeFilter: ["data-where", "data-drift"] });

  const all = () => [...document.querySelectorAll("[data-testid=live-tile] video, [data-testid=live-video]")].map(shown);
  /** When each tile's picture was sent by its camera, microseconds since 1970. */
  window.onScreen = () => all().map((picture) => picture?.us);
  /** Which of its camera's frames it is. */
  window.framesOnScreen = () => all().map((picture) => picture?.frame);
}

/** How far the tiles' pictures are from one another, milliseconds, so many times over some seconds. */
export const spreads = (p, times, everyMs) => p.evaluate(async ([times, everyMs]) => {
  const found = [];
  for (let i = 0; i < times; i++) {
    await new Promise((done) => setTimeout(done, everyMs));
    const all = window.onScreen();
    found.push(all.some((us) => us === undefined) ? Infinity : (Math.max(...all) - Math.min(...all)) / 1000);
  }
  return found;
}, [times, everyMs]);

export const p95 = (all) => all.toSorted((a, b) => a - b)[Math.ceil(all.length * 0.95) - 1];

/** How far from one another, in milliseconds of the recordings, the moments are at which the tiles show their pictures while
 *  all play backwards at a rate: a picture that comes to the screen when the common moment has come to it adds nothing. It takes
 *  so many pictures of each camera, each older than what it had before; the first of each is where it turned. */
export async function parting(p, cameras, rate, each) {
  const since = await p.evaluate(() => performance.now());
  const all = await until(`${each} key frames of each camera`, 30_000, async () => {
    const all = await p.evaluate(({ cameras, since }) => cameras.map((camera) => {
      const pictures = window.came.filter((picture) => picture.camera === camera);
      return pictures.filter(({ us, ms }, at) => ms > since && us < pictures[at - 1]?.us);
    }), { cameras, since });
    return all.every((pictures) => pictures.length > each) && all;
  });
  const moments = all.flatMap((pictures) => pictures.slice(1).map(({ us, ms }) => us / 1000 - ms * rate));
  return Math.max(...moments) - Math.min(...moments);
}
