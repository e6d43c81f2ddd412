// Clicks cameras of a site one after the other and measures each time until the first frame is presented, by the
// video's own frame callback, the legs of that time, and how old pictures are on the screen one second later. Prints a
// JSON object of figures in milliseconds.
import { api, id, open, page, signIn } from "./browser.mjs";

const browser = await open();
const p = await page(browser, 1440, 900);
await signIn(p, process.env.OWNER, process.env.PASSWORD);
const site = (await api(p, "/sites")).sites[0].id;
const clicks = Number(process.env.CLICKS);
const times = { first_frame: [], page: [], answer: [], picture: [], latency: [] };
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
  const [firstFrame, page, answer] = await p.evaluate(() => {
    const asked = performance.getEntriesByType("resource").filter((r) => /\/(view|live)\?/.test(r.name) && r.startTime >= window.clickedAt);
    const first = asked[0];
    return [window.firstFrame, first ? first.startTime - window.clickedAt : NaN, first ? first.responseEnd - first.startTime : NaN];
  });
  times.first_frame.push(firstFrame);
  times.page.push(page);
  times.answer.push(answer);
  times.picture.push(firstFrame - page - answer);
  await p.waitForFunction(() => performance.now() - window.clickedAt > window.firstFrame + 1000 && Number(document.querySelector("video")?.dataset.delay) > 0);
  times.latency.push(Number(await p.locator("video").first().getAttribute("data-delay")));
}
await browser.close();
const out = {};
for (const [name, list] of Object.entries(times)) {
  list.sort((a, b) => a - b);
  const at = (q) => Math.round(list[Math.min(list.length - 1, Math.ceil(q * list.length) - 1)]);
  out[name] = { p50: at(0.5), p95: at(0.95) };
}
console.log(JSON.stringify(out));
