// Measures how soon live view and playback are there, in a real Chromium on real programs: ORDER says what, as JSON (see
// testenv/bench/look). Each try is printed as a line of JSON, moments in milliseconds since the press; a try without a
// picture ends the run in words.
import { base, id, open, signIn, until } from "./browser.mjs";
import { probe } from "./probe.mjs";

const order = JSON.parse(process.env.ORDER);
const browser = await open(order.insecure ? ["--ignore-certificate-errors"] : []);
const say = (kind, camera, ms) => console.log(JSON.stringify({ kind, camera, ms }));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
/** A random moment of a group of pictures, behind what the page does by itself. */
const anyPhase = (seconds) => pause(500 + Math.random() * seconds * 1000);
const camera = (i) => order.cameras[i % order.cameras.length];
/** A camera's page that shows why there is no video, and watches nothing. */
const gap = (cam) => `/cameras/${cam.id}?at=${order.gap_us}`;
const live = id("timeline-live");

/** Does a try, and says which one it was when it fails. */
async function attempt(what, act) {
  let timer;
  const never = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`it does not come to an end within ${(5 * order.limit_ms) / 1000} s`)), 5 * order.limit_ms);
  });
  try {
    await Promise.race([act(), never]);
  } catch (error) {
    throw new Error(`${what}: ${error.message.replaceAll(/\u001b\[\d+m/g, "")}`);
  } finally {
    clearTimeout(timer);
  }
}

const arm = (p) => p.evaluate(() => window.probe.arm());

/** The moments of a try, once there is a picture. */
async function picture(p, last = "painted") {
  const moments = await p.evaluate(([last, limit]) => window.probe.moments(last, limit), [last, order.limit_ms]);
  if (moments) return moments;
  const [marks, words] = await p.evaluate(() => [window.probe.marks(), document.querySelector("[data-testid=player]")?.innerText || document.body.innerText]);
  throw new Error(`no picture within ${order.limit_ms / 1000} s of the press at ${p.url()}. Moments so far: ${JSON.stringify(marks)}. The page says: ${words.slice(0, 300)}`);
}

/** How old the picture is that is on the screen one second after the first one. */
const latency = (p) => until("something says how old the picture is", order.limit_ms, () => p.evaluate(() => window.probe.latency()));

/** Round trips of a small request over the connection that the page has. */
async function roundTrip(p) {
  for (let i = 0; i < 10; i++) {
    say("line", "", { rtt: await p.evaluate(async () => {
      const begun = performance.now();
      await (await fetch("/favicon.svg", { cache: "no-store" })).text();
      return performance.now() - begun;
    }) });
  }
}

/** From the site's page, with its connection at hand, to a camera's: the change of the page is in it. */
async function click(p, i) {
  const cam = camera(i);
  await p.goto(`${base}/sites/${order.site}`);
  await p.waitForSelector(`${id("still")}[data-state=shown]`);
  // Nobody clicks in the first moment: by then the page has its connection to the site.
  await p.waitForFunction(() => window.probe.connected());
  await anyPhase(cam.gop);
  await arm(p);
  await p.locator(`a[href*="/cameras/${cam.id}"]`).first().click();
  const moments = await picture(p);
  say("click", cam.name, { ...moments, ...(await latency(p)) });
}

/** On the camera's page, without any connection to its site. */
async function cold(p, i) {
  const cam = camera(i);
  await p.goto(base + gap(cam));
  await p.waitForSelector(id("instead"));
  await anyPhase(cam.gop);
  if ((await arm(p)) > 0) throw new Error("the page has a connection before the press");
  await p.locator(live).click();
  const moments = await picture(p);
  say("cold", cam.name, { ...moments, ...(await latency(p)) });
}

/** On the camera's page, over the connection that other cameras of the site were watched through. */
async function warm(p, i) {
  const cam = camera(i);
  if (i === 0) {
    await p.goto(`${base}/sites/${order.site}`);
    await p.waitForFunction(() => window.probe.connected());
  }
  await p.evaluate((path) => history.pushState({}, "", path), gap(cam));
  await p.waitForSelector(id("instead"));
  await anyPhase(cam.gop);
  const connections = await arm(p);
  await p.locator(live).click();
  const moments = await picture(p);
  if ((await p.evaluate(() => window.probe.connections())) !== connections) throw new Error("the page made a connection anew");
  say("warm", cam.name, { ...moments, ...(await latency(p)) });
}

/** To another moment of a recording that plays. */
async function seek(p, i) {
  const of = (n) => order.cameras[Math.floor((n * order.cameras.length) / order.tries)];
  const cam = of(i);
  const first = order.from_us + 2_000_000;
  const place = () => `/cameras/${cam.id}?at=${Math.round(first + Math.random() * Math.max(1_000_000, Date.now() * 1000 - 12_000_000 - first))}`;
  if (i === 0 || of(i - 1) !== cam) await p.goto(base + place());
  const frames = () => p.locator(id("live-video")).getAttribute("data-frames").then(Number);
  const was = await frames();
  await p.waitForFunction(([selector, was]) => Number(document.querySelector(selector)?.dataset.frames) > was + 5, [id("live-video"), was]);
  await pause(500 + Math.random() * 1000);
  await p.evaluate((path) => window.probe.seek(path), place());
  const { order: sent, ...moments } = await picture(p, "exact");
  const since = Object.fromEntries(Object.entries(moments).map(([name, ms]) => [name, ms - sent]));
  say("seek", cam.name, { ...since, order: sent });
}

/** The page on which another server is looked at. */
const bare = '<!doctype html><button>Play</button><p></p><video muted autoplay playsinline></video>';

/** What its button does: WHEP, without waiting for anything that WHEP does not ask for. */
function whep(url) {
  window.probe.endpoint = url;
  const show = async () => {
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const media = new MediaStream();
    document.querySelector("video").srcObject = media;
    for (const kind of ["video", "audio"]) {
      const { receiver } = pc.addTransceiver(kind, { direction: "recvonly" });
      media.addTrack(receiver.track);
      if (kind === "video" && "jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    }
    await pc.setLocalDescription(await pc.createOffer());
    const response = await fetch(url, { method: "POST", body: pc.localDescription.sdp, headers: { "Content-Type": "application/sdp" } });
    if (response.status !== 201) throw new Error(`${url} answers ${response.status}: ${(await response.text()).slice(0, 200)}`);
    const session = response.headers.get("Location");
    if (session) addEventListener("pagehide", () => void fetch(new URL(session, url), { method: "DELETE", keepalive: true }));
    await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
  };
  document.querySelector("button").onclick = () => show().catch((error) => { document.querySelector("p").textContent = String(error); });
}

/** The same press at a WHEP endpoint that is not ours: a page of its own origin with nothing else on it. */
async function elsewhere(p, kind, { url, gop }) {
  const home = `${new URL(url).origin}/holdfast-bench`;
  await p.route(home, (route) => route.fulfill({ contentType: "text/html", body: bare }));
  await p.goto(home);
  await p.unroute(home); // nothing stands between page and server from here on
  await p.evaluate(whep, url);
  await anyPhase(gop);
  await arm(p);
  await p.locator("button").click();
  say(kind, "", await picture(p));
}

const peer = (p) => elsewhere(p, "peer", order.peer);
const floor = (p) => elsewhere(p, "floor", order.floor);

const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ignoreHTTPSErrors: order.insecure });
try {
  if (base) {
    const p = await context.newPage();
    await attempt("signing in", () => signIn(p, process.env.OWNER, process.env.PASSWORD));
    await roundTrip(p);
    await p.close();
  }
  for (const part of order.parts) {
    const p = await context.newPage();
    p.setDefaultTimeout(order.limit_ms);
    await p.addInitScript(probe, part === "cold");
    const tries = part === "cold" ? order.tries * order.cameras.length : order.tries;
    for (let i = 0; i < tries; i++) {
      await attempt(`try ${i + 1} of ${tries}, ${part === "peer" ? "the other server" : part}`, () => ({ click, cold, warm, seek, peer, floor })[part](p, i));
    }
    await p.close();
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await browser.close();
}
