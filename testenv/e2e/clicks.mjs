// Clicks cameras of a site one after the other and measures each time until the first frame is presented, by the
// video's own frame callback. Prints {"p50", "p95"} in milliseconds.
import { api, id, open, page, signIn } from "./browser.mjs";

const browser = await open();
const p = await page(browser, 1440, 900);
await signIn(p, process.env.OWNER, process.env.PASSWORD);
const site = (await api(p, "/sites")).sites[0].id;
const clicks = Number(process.env.CLICKS);
const times = [];
// The clock starts at the click inside the page and stops at the first frame that a video presents after it.
await p.addInitScript(() => {
  document.addEventListener("click", () => { window.clickedAt = performance.now(); window.firstFrame = undefined; }, true);
  new MutationObserver(() => {
    for (const video of document.querySelectorAll("video:not([data-watched])")) {
      video.dataset.watched = "1";
      video.requestVideoFrameCallback((now) => { window.firstFrame ??= now - window.clickedAt; });
    }
  }).observe(document, { childList: true, subtree: true });
});
for (let i = 0; i < clicks; i++) {
  await p.goto(`${process.env.PORTAL}/sites/${site}`);
  await p.waitForSelector(`${id("still")}[data-state=shown]`);
  const links = p.locator('a[href*="/cameras/"]');
  await links.nth(i % (await links.count())).click();
  await p.waitForFunction(() => window.firstFrame !== undefined, null, { timeout: 15_000 });
  times.push(await p.evaluate(() => window.firstFrame));
}
await browser.close();
times.sort((a, b) => a - b);
const at = (q) => Math.round(times[Math.min(times.length - 1, Math.ceil(q * times.length) - 1)]);
console.log(JSON.stringify({ p50: at(0.5), p95: at(0.95) }));
