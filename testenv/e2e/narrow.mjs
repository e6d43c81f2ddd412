// Somebody watches a camera whose site has a line with room for a picture now and then, and prints "watched" after a while.
// Then the site falls silent. Prints a JSON object: how the view was until then, and what the page says in the end.
import { api, id, open, page, shot, signIn, until } from "./browser.mjs";

const watchMs = 32_000;
const browser = await open();
const p = await page(browser, 1280, 800, { ignoreHTTPSErrors: true });
await signIn(p, process.env.OWNER, process.env.PASSWORD);
const site = (await api(p, "/sites")).sites[0].id;
const camera = (await api(p, `/sites/${site}/cameras`)).cameras[0].id;
await p.goto(`${process.env.PORTAL}/cameras/${camera}`);
const frames = async () => Number(await p.locator(id("live-video")).getAttribute("data-frames"));
await until("the first picture", 40_000, async () => (await frames()) > 0);
await until("why the picture stands", 40_000, async () => /no room/.test(await p.locator(id("live-note")).textContent().catch(() => "")));
await p.click(id("stats-toggle"));
let views = 0;
p.on("request", (r) => { if (r.method() === "POST" && /\/(view|live)\?/.test(r.url())) views++; });
p.on("websocket", (socket) => { if (socket.url().includes("/socket?")) views++; });
const phases = new Set();
const begun = Date.now();
const first = await frames();
let last = first, at = begun, stood = 0, age = "";
await until("the time to pass", watchMs + 5000, async () => {
  phases.add(await p.locator(id("player")).getAttribute("data-phase"));
  const now = await frames();
  if (now !== last) [last, at] = [now, Date.now()];
  if (Date.now() - at > stood) [stood, age] = [Date.now() - at, await p.locator(id("live-shown-for")).textContent()];
  return Date.now() - begun > watchMs;
});
const note = await p.locator(id("live-note")).textContent();
await shot(p, "narrow");
const seen = { note, phases: [...phases], views, stood, frames: last - first, age };
console.log("watched");
const silent = await until("that the site is silent", 40_000, async () => {
  const phase = await p.locator(id("player")).getAttribute("data-phase");
  return phase !== "playing" && `${phase}: ${await p.locator(".player-wait, .player-message").first().textContent().catch(() => "")}`;
});
console.log(JSON.stringify({ ...seen, silent, faults: p.faults.filter((fault) => !/^5\d\d /.test(fault)) }));
await browser.close();
