// Two people who are not at the site watch one camera: the second gets it from the relay, and the first goes over to it
// without the picture standing still. Prints a JSON object: how each is served at last, and the longest time without a new
// picture.
import { api, id, open, page, shot, signIn, until } from "./browser.mjs";

const browser = await open();
const pages = [];
for (let n = 0; n < 2; n++) {
  const p = await page(browser, 1280, 800, { ignoreHTTPSErrors: true });
  await p.addInitScript(() => {
    window.pause = 0;
    setInterval(() => {
      const video = document.querySelector("video[data-frames]");
      if (!video) return;
      const now = performance.now();
      if (video.dataset.frames !== window.frames) {
        if (window.framesAt && Number(video.dataset.frames) > 1) window.pause = Math.max(window.pause, now - window.framesAt);
        window.frames = video.dataset.frames;
        window.framesAt = now;
      }
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
    pauseMs: Math.round(await p.evaluate(() => window.pause)), delayMs: delay,
    phase: await p.locator(id("player")).getAttribute("data-phase"), stats: await p.locator(id("live-stats")).textContent(), faults: p.faults,
  });
}
// The way back: a recording is played by the site itself, and live comes from the relay again while the other one watches.
await pages[0].goto(`${process.env.PORTAL}/sites/${site}`);
await pages[0].locator('a[href*="/cameras/"]').first().click();
await until("pictures again", 20_000, async () => Number(await pages[0].locator(id("live-video")).getAttribute("data-frames")) > 20);
await browser.close();
console.log(JSON.stringify(out));
