// Takes the README's pictures from a running demo: sites with one dark, a site's cameras, a camera live.
import { api, control, id, open, page, picture, shot, signIn, until } from "./browser.mjs";

const browser = await open();
const p = await page(browser, 1280, 800);
await signIn(p, process.env.OWNER, process.env.PASSWORD);
const sites = (await api(p, "/sites")).sites;
const harbour = sites.find((s) => s.name === "Harbour Street");
await until("every camera of Harbour Street records", 60_000, async () => (await api(p, `/sites/${harbour.id}`)).cameras.recording === 4);

await p.goto(`${process.env.PORTAL}/sites/${harbour.id}`);
await until("four stills", 30_000, async () => (await p.$$(`${id("still")}[data-state=shown]`)).length === 4);
await shot(p, "site");

// A camera with a clip in the cloud on its timeline, and events.
const dock = (await api(p, `/sites/${harbour.id}/cameras`)).cameras.find((c) => c.channel === "loading-dock");
await until("the rule's clip is stored", 120_000, async () => (await api(p, "/clips")).clips.some((c) => c.camera === dock.id && c.state === "stored"));
await p.goto(`${process.env.PORTAL}/cameras/${dock.id}`);
await until("the first frame", 20_000, async () => (await picture(p).catch(() => ({ frames: 0 }))).frames > 20);
await p.click('text="5 min"');
await until("recorded time on the timeline", 90_000, async () => {
  const now = Date.now() * 1000;
  const c = await api(p, `/cameras/${dock.id}/coverage?from_us=${now - 300e6}&to_us=${now}&stream=main`);
  return c.ranges.some((r) => r.state === "site") && c.ranges.some((r) => r.state === "cloud");
});
await shot(p, "live");

await control("cut/mill");
await p.goto(process.env.PORTAL);
await p.waitForSelector(`${id("site-card")}[data-status=dark]`, { timeout: 90_000 });
await shot(p, "sites-dark");
await control("restore/mill");
await browser.close();
