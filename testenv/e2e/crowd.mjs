// Two people who are not at the site watch one camera: the second gets it from the relay, and the first goes over to it
// without the picture standing still. Then one of them speaks through the camera, which the site hears itself, whatever the
// pictures come through. Prints a JSON object: how each is served at last, and the longest time without a new picture
// since there were some, of which the page itself stood still for so long.
import { api, id, open, page, shot, signIn, until } from "./browser.mjs";
import { microphone } from "./talk.mjs";

const browser = await open(microphone());
const pages = [];
for (let n = 0; n < 2; n++) {
  const p = await page(browser, 1280, 800, { ignoreHTTPSErrors: true });
  await p.addInitScript(() => {
    const seen = { frames: 0, frameMs: performance.now(), lookMs: performance.now() };
    window.rests = { pauseMs: 0, stillMs: 0 };
    setInterval(() => {
      const now = performance.now();
      const frames = Number(document.querySelector("video[data-frames]")?.dataset.frames ?? 0);
      if (frames > 20) {
        window.rests.pauseMs = Math.max(window.rests.pauseMs, now - seen.frameMs);
        window.rests.stillMs = Math.max(window.rests.stillMs, now - seen.lookMs);
      }
      if (frames !== seen.frames) seen.frameMs = now;
      seen.frames = frames;
      seen.lookMs = now;
    }, 20);
  });
  await signIn(p, process.env.OWNER, process.env.PASSWORD);
  pages.push(p);
}
const site = (await api(pages[0], "/sites")).sites[0].id;
const out = [];
for (const p of pages) {
  await p.goto(`${process.env.PORTAL}/sites/${site}`);
  await p.waitForSelector(`${id("still")}[data-state=shown]`);
  await p.locator('a[href*="/cameras/"]').first().click();
  await until("pictures", 20_000, async () => Number(await p.locator(id("live-video")).getAttribute("data-frames")) > 20);
  await p.locator(id("stats-toggle")).click();
}
for (const [n, p] of pages.entries()) {
  await until(`viewer ${n + 1} to be served by the relay`, 30_000, async () => (await p.locator(id("live-stats")).textContent())?.includes("shared"));
  const before = Number(await p.locator(id("live-video")).getAttribute("data-frames"));
  await until("pictures from the relay", 20_000, async () => Number(await p.locator(id("live-video")).getAttribute("data-frames")) > before + 30);
  const delay = await until("its age to be known", 10_000, async () => Number(await p.locator(id("live-video")).getAttribute("data-delay")));
  await shot(p, `crowd-${n + 1}`);
  out.push({
    ...(await p.evaluate(() => ({ pauseMs: Math.round(window.rests.pauseMs), stillMs: Math.round(window.rests.stillMs) }))), delayMs: delay,
    phase: await p.locator(id("player")).getAttribute("data-phase"), stats: await p.locator(id("live-stats")).textContent(), faults: p.faults,
  });
}
await pages[0].context().grantPermissions(["microphone"], { origin: process.env.PORTAL });
await pages[0].waitForSelector(`${id("talk-button")}:not([disabled])`);
const pressed = Date.now();
await pages[0].keyboard.down("t");
await until("to speak", 20_000, async () => (await pages[0].getAttribute(id("talk"), "data-phase")) === "speaking");
out[0].talkOpenMs = Date.now() - pressed;
await new Promise((done) => setTimeout(done, 2500));
await pages[0].keyboard.up("t");
await until("it to end", 10_000, async () => (await pages[0].getAttribute(id("talk"), "data-phase")) === "idle");
// The way back: a recording is played by the site itself, and live comes from the relay again while the other one watches.
await pages[0].goto(`${process.env.PORTAL}/sites/${site}`);
await pages[0].locator('a[href*="/cameras/"]').first().click();
await until("pictures again", 20_000, async () => Number(await pages[0].locator(id("live-video")).getAttribute("data-frames")) > 20);
await browser.close();
console.log(JSON.stringify(out));
