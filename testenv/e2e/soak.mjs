// Hours of watching: a wall that nobody touches, and a desk at which somebody goes from camera to camera, live and recorded.
// ORDER says how long, as JSON: {"seconds", "every": seconds between two samples}. Each sample is a line of JSON: where, the
// seconds since the beginning, live JavaScript heap in bytes, nodes and listeners of the page, pictures since the sample
// before, and how many views were begun. A page on which pictures stop ends the run in words.
import { api, assert, base, id, open, page, signIn, until } from "./browser.mjs";

const { seconds, every } = JSON.parse(process.env.ORDER);
const backMs = 60_000; // how far a visit goes back
const browser = await open();
const begun = Date.now();
const elapsed = () => (Date.now() - begun) / 1000;
const over = () => elapsed() >= seconds;

async function enter(width, height) {
  const p = await page(browser, width, height);
  await signIn(p, process.env.OWNER, process.env.PASSWORD);
  p.inspector = await p.context().newCDPSession(p);
  await p.inspector.send("Performance.enable");
  return p;
}

/** What a page holds on to once what it has let go of is gone. */
async function holds(p) {
  await p.inspector.send("HeapProfiler.collectGarbage");
  const { metrics } = await p.inspector.send("Performance.getMetrics");
  const of = (name) => metrics.find((m) => m.name === name).value;
  return { heap: of("JSHeapUsedSize"), nodes: of("Nodes"), listeners: of("JSEventListeners") };
}

const say = (where, more) => console.log(JSON.stringify({ where, at: Math.round(elapsed()), ...more }));
const shown = (p) => p.$$eval("video[data-frames]", (videos) => videos.map((video) => Number(video.dataset.frames)));

const wall = await enter(1440, 900);
const desk = await enter(1280, 800);
const cameras = [];
for (const site of (await api(wall, "/sites")).sites) cameras.push(...(await api(wall, `/sites/${site.id}/cameras`)).cameras);
const made = await wall.evaluate(async (tiles) => {
  const body = JSON.stringify({ name: "Soak", layout: "3x3", tiles });
  return (await fetch("/api/v1/walls", { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
}, cameras.slice(0, 9).map((c) => ({ camera: c.id })));
const tiles = Math.min(9, cameras.length);
await wall.goto(`${base}/walls/${made.id}`);
await until("every tile plays", 60_000, async () => (await wall.$$(`${id("live-tile")}[data-phase=playing]`)).length === tiles);

/** The wall is looked at, and never touched. */
async function watch() {
  let before = await shown(wall);
  while (!over()) {
    const next = Math.min(elapsed() + every, seconds);
    await until("the next sample", (every + 60) * 1000, () => elapsed() >= next);
    const now = await shown(wall);
    assert(now.length === tiles, `${now.length} tiles of ${tiles} have a picture`);
    const grown = now.map((n, at) => (n >= before[at] ? n - before[at] : n)); // a view that began anew counts anew
    const still = grown.findIndex((n) => n === 0);
    assert(still < 0, `tile ${still + 1} has had no new picture for ${every} s: ${await wall.locator(id("live-tile")).nth(still).innerText()}`);
    before = now;
    say("wall", { ...(await holds(wall)), pictures: grown.reduce((a, b) => a + b, 0) });
  }
}

/** Goes to another page as a link does: what the page before has left behind stays in the same window. */
const go = (path) => desk.evaluate((to) => history.pushState({}, "", to), path);

/** One visit: to a camera, live, then an older moment, faster, a picture back, and live again. */
async function visit(camera) {
  const frames = async (atLeast, of) => {
    const first = Number(await desk.locator(id("live-video")).getAttribute("data-frames").catch(() => "0"));
    await until(`${atLeast} pictures of ${of}`, 30_000, async () => {
      const now = Number(await desk.locator(id("live-video")).getAttribute("data-frames"));
      return now >= first + atLeast || (now < first && now >= atLeast);
    });
  };
  await go(`/sites/${camera.site}`);
  await desk.locator(`a[href*="/cameras/${camera.id}"]`).first().click();
  await desk.waitForSelector(id("live-video"));
  await frames(60, "life");
  await go(`/cameras/${camera.id}?at=${(Date.now() - backMs) * 1000}`);
  await until("the recording", 20_000, async () => desk.url().includes("at=") && (await desk.getAttribute(id("player"), "data-phase")) === "playing");
  await frames(40, "the recording");
  await desk.keyboard.press(".");
  await frames(40, "the recording, twice as fast");
  await desk.keyboard.press("Space");
  await desk.keyboard.press("Shift+Comma");
  await desk.keyboard.press("l");
  await frames(60, "life again");
}

async function work() {
  let views = 0;
  await until("a minute of all cameras, which the cloud knows of", 180_000, async () => {
    const [from_us, to_us] = [Date.now() - backMs - 30_000, Date.now() - backMs + 30_000].map((ms) => ms * 1000);
    const all = await Promise.all(cameras.map((c) => api(desk, `/cameras/${c.id}/coverage?from_us=${from_us}&to_us=${to_us}&stream=main`)));
    return all.every(({ ranges }) => ranges.every((r) => r.state !== "gap"));
  });
  for (let next = every; !over(); ) {
    await visit(cameras[views % cameras.length]);
    views++;
    if (elapsed() < next) continue;
    next = elapsed() + every;
    await go("/walls"); // the same page each time, without video
    await desk.getByRole("heading", { level: 1, name: "Walls" }).waitFor();
    say("desk", { ...(await holds(desk)), views });
  }
}

try {
  await Promise.all([watch(), work()]);
  for (const p of [wall, desk]) assert(p.faults.length === 0, p.faults.join("; "));
} catch (error) {
  const stage = await desk.$eval(id("player"), (player) => `${player.dataset.phase}, ${player.innerText.replaceAll("\n", " ")}`).catch(() => "no player");
  console.error(`after ${Math.round(elapsed())} s: ${error.message}; the desk is at ${desk.url()}: ${stage}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
