// Clicks cameras of a site one after the other and measures each time until the first frame is presented, by the
// video's own frame callback, the legs of that time, and how old pictures are on the screen one second later. Prints a
// JSON object of figures in milliseconds.
import { api, id, open, page, signIn } from "./browser.mjs";

const browser = await open();
const p = await page(browser, 1440, 900);
await signIn(p, process.env.OWNER, process.env.PASSWORD);
const site = (await api(p, "/sites")).sites[0].id;
const clicks = Number(process.env.CLICKS);
const times = { first_frame: [], asked: [], answered: [], page: [], latency: [] };
// The clock starts at the press inside the page and stops at the first frame that a video presents after it.
await p.addInitScript(() => {
  const made = [];
  const Real = RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...args) { super(...args); made.push(this); }
  };
  window.connected = () => made.some((c) => c.connectionState === "connected");
  document.addEventListener("pointerdown", () => { window.clickedAt = performance.now(); window.firstFrame = undefined; }, true);
  new MutationObserver(() => {
    for (const video of document.querySelectorAll("video:not([data-watched])")) {
      video.dataset.watched = "1";
      window.videoAt = performance.now() - window.clickedAt;
      video.requestVideoFrameCallback((now) => { window.firstFrame ??= now - window.clickedAt; });
    }
  }).observe(document, { childList: true, subtree: true });
});
for (let i = 0; i < clicks; i++) {
  await p.goto(`${process.env.PORTAL}/sites/${site}`);
  await p.waitForSelector(`${id("still")}[data-state=shown]`);
  // Nobody clicks in the first moment: by then the page has its connection to the site.
  await p.waitForFunction(() => window.connected?.());
  const links = p.locator('a[href*="/cameras/"]');
  await links.nth(i % (await links.count())).click();
  await p.waitForFunction(() => window.firstFrame !== undefined, null, { timeout: 15_000 });
  const [firstFrame, pageThere, asked, answered] = await p.evaluate(() => {
    const first = performance.getEntriesByType("resource").find((r) => /\/(view|live)\?/.test(r.name) && r.startTime >= window.clickedAt);
    return [window.firstFrame, window.videoAt, first ? first.startTime - window.clickedAt : NaN, first ? first.responseEnd - window.clickedAt : NaN];
  });
  times.first_frame.push(firstFrame);
  times.page.push(pageThere);
  times.asked.push(asked);
  times.answered.push(answered);
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
