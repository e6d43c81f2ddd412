// Somebody watches a camera while the browser's machine gets another address, as on the way from one network to another.
// Prints "watching" when the picture is there; "moved" on its input tells it that the address has changed. Then it prints a
// JSON object: the longest time without a new picture from then on.
import { api, id, open, page, signIn, until } from "./browser.mjs";

const browser = await open();
const p = await page(browser, 1280, 800, { ignoreHTTPSErrors: true });
await signIn(p, process.env.OWNER, process.env.PASSWORD);
const site = (await api(p, "/sites")).sites[0].id;
await p.goto(`${process.env.PORTAL}/sites/${site}`);
await p.waitForSelector(`${id("still")}[data-state=shown]`);
await p.locator('a[href*="/cameras/"]').first().click();
const frames = async () => Number(await p.locator(id("live-video")).getAttribute("data-frames"));
await until("pictures", 20_000, async () => (await frames()) > 20);
await p.evaluate(() => {
  const video = document.querySelector("video[data-frames]");
  window.pause = 0;
  let at = performance.now(), last = video.dataset.frames;
  setInterval(() => {
    const now = performance.now();
    if (video.dataset.frames !== last) { last = video.dataset.frames; at = now; }
    window.pause = Math.max(window.pause, now - at);
  }, 20);
});
console.log("watching");
await new Promise((done) => process.stdin.once("data", done));
process.stdin.destroy();
const begun = Date.now();
// The picture stops, or goes on by the time that this is seen: both are told by the longest pause.
let before = await frames();
let still = Date.now();
await until("the picture to go on for three seconds", 60_000, async () => {
  const now = await frames();
  const goesOn = now > before;
  before = now;
  if (!goesOn) still = Date.now();
  return Date.now() - still > 3000 && Date.now() - begun > 12_000;
});
console.log(JSON.stringify({ pauseMs: Math.round(await p.evaluate(() => window.pause)), phase: await p.locator(id("player")).getAttribute("data-phase"), faults: p.faults }));
await browser.close();
