// A camera of a dark site, opened at a moment that the cloud keeps a clip of: the clip plays in the stage of its page, and goes
// on there when the site is back, until somebody wishes otherwise.
import { api, assert, base, difference, id, picture, shot, until } from "./browser.mjs";
import { good, snapshot } from "./zoom.mjs";

const whole = { x: 0, y: 0, width: 1280, height: 720 };
const onCloud = `${id("player")}:has(${id("cloud-mark")})`;
const begins = (clip) => clip.cut_start_us ?? clip.start_us;
const ends = (clip) => clip.cut_end_us ?? clip.end_us;
const paused = async (p) => /paused/i.test(await p.textContent(id("live-mode")));
/** Where a clip stands on the stage, by the file alone. */
const standsUs = async (p, clip) => begins(clip) + (await p.$eval(id("live-video"), (video) => video.currentTime)) * 1e6;
const frames = async (p) => (await picture(p)).frames;

/** Asks the site for two clips with a time between them, and waits until the cloud has both. */
export async function keepTwo(p, camera, range) {
  const spans = [[14e6, 17e6], [19.5e6, 22.5e6]].map(([from, to]) => [range.start_us + from, range.start_us + to]);
  for (const [at, [start_us, end_us]] of spans.entries()) {
    await p.evaluate(async (body) => {
      const response = await fetch("/api/v1/clips", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
    }, { camera, start_us, end_us, stream: "main", title: `For the dark, ${at}` });
  }
  return kept(p);
}

const kept = (p) => until("both clips are in the cloud", 60_000, async () => {
  const found = (await api(p, "/clips?state=stored")).clips.filter((clip) => clip.title.startsWith("For the dark")).sort((a, b) => a.start_us - b.start_us);
  return found.length === 2 && found;
});

/** The site is there, and nothing gets through from here to it. */
export async function standsIn(p, camera) {
  const [first] = await kept(p);
  const lines = [/\/api\/v1\/sites\/[^/]+\/live\?/, /\/api\/v1\/cameras\/[^/]+\/view\?/];
  for (const line of lines) await p.route(line, (route) => route.abort());
  const begun = Date.now();
  await p.goto(`${base}/cameras/${camera}?at=${begins(first) + 300_000}`);
  await p.waitForSelector(onCloud, { timeout: 30_000 });
  const ms = Date.now() - begun;
  assert(/could not be reached/.test(await p.textContent(id("cloud-mark"))), "nothing says why it is the cloud's copy");
  await until("the clip plays", 10_000, async () => (await frames(p)) > 5);
  await shot(p, "cloud-instead");
  for (const line of lines) await p.unroute(line);
  await p.keyboard.press("Space");
  await until("it stands", 5000, () => paused(p));
  await p.click(id("cloud-site"));
  await until("the site's own recording", 30_000, async () => (await p.$eval(id("live-video"), (video) => video.srcObject !== null)) && (await frames(p)) > 5);
  assert((await p.$(id("cloud-mark"))) === null, "the site's own picture is called the cloud's");
  return { stands_in_after_ms: ms };
}

/** While the site is dark. Leaves the page on a clip that stands. */
export async function playsFromCloud(p, camera) {
  const [first, second] = await kept(p);
  const at = begins(first) + 400_000;
  const begun = Date.now();
  await p.goto(`${base}/cameras/${camera}?at=${at}`);
  await p.waitForSelector(onCloud);
  await until("the clip's first picture", 15_000, async () => (await frames(p)) > 0);
  const firstMs = Date.now() - begun;
  const one = await picture(p);
  await until("15 more pictures", 10_000, async () => (await frames(p)) >= one.frames + 15);
  assert(one.width === 1280 && difference(one.pixels, (await picture(p)).pixels) > 0.2, "the clip's picture does not move");
  const words = await p.textContent(id("cloud-mark"));
  assert(/cloud copy/i.test(words) && /dark since \d\d:\d\d \(\d+ (s|min)\)/.test(words), `the stage says ${words}`);
  assert(new URL(p.url()).pathname === `/cameras/${camera}` && (await p.$(id("cloud-site"))) === null, "it left the page, or offers a site that is dark");

  // It goes on in the next clip, and says what it has skipped.
  await until("the time between the clips is skipped, in words", 10_000, async () => /skipped \d s/i.test(await p.textContent(id("live-note")).catch(() => "")));
  await shot(p, "cloud-copy");
  await until("the end, in words", 15_000, async () => /ends here/.test(await p.textContent(id("live-note")).catch(() => "")));
  assert(await paused(p), "it does not stand at the end");
  assert(Math.abs((await standsUs(p, second)) - ends(second)) < 200_000, `it stands ${(await standsUs(p, second)) - ends(second)} µs from the end`);

  // To another moment by the timeline, which shows what the cloud has.
  await p.click('text="5 min"');
  const band = await p.locator(id("timeline")).boundingBox();
  const head = await p.locator(id("playhead")).boundingBox();
  const perSecond = band.width / 300;
  const was = await standsUs(p, second);
  await p.mouse.click(head.x + 1 - 6.5 * perSecond, band.y + 48);
  const soughtUs = await until("the address follows", 5000, async () => {
    const now = Number(new URL(p.url()).searchParams.get("at"));
    return now !== at && now;
  });
  assert(Math.abs(soughtUs - (was - 6.5e6)) < 1.2e6 && soughtUs >= begins(first) && soughtUs < ends(first), `the click led ${(soughtUs - was) / 1e6} s on`);
  await until("it plays there", 10_000, async () => !(await paused(p)) && (await standsUs(p, first)) >= soughtUs - 100_000 && (await standsUs(p, first)) < ends(first));
  await p.keyboard.press("Space");
  await until("it is paused", 5000, () => paused(p));

  // Picture by picture, both ways.
  const lasts = 1e6 / 15;
  const still = async () => {
    let last = -1;
    return until("the picture stands", 5000, async () => {
      const now = await p.$eval(id("live-video"), (video) => !video.seeking && Number(video.dataset.at));
      const same = now === last;
      last = now;
      return same && now;
    });
  };
  const from = await still();
  const leads = async (what, count) => until(what, 5000, async () => Math.abs(((await still()) - from) / lasts - count) < 0.5)
    .catch(async (err) => { throw new Error(`${err.message}: it stands ${((await still()) - from) / lasts} pictures on`); });
  await p.keyboard.press("Shift+Period");
  await leads("one picture on", 1);
  await p.click(id("step-back"));
  await leads("back again", 0);
  await p.click(id("step-back"));
  await leads("the picture before", -1);
  good(await snapshot(p, whole, "cloud-snapshot"), whole, 1);

  // Slow, and as fast as the element can.
  for (const [key, rate] of [[",", 0.5], [",", 0.25], [",", 16]]) {
    await p.keyboard.press(key);
    await until(`a rate of ${rate}`, 3000, () => p.$eval(id("live-video"), (video, rate) => video.playbackRate === rate, rate));
  }
  for (let i = 0; i < 3; i++) await p.keyboard.press(".");
  await until("a rate of 1", 3000, () => p.$eval(id("live-video"), (video) => video.playbackRate === 1));
  await p.focus(id("player")); // a space bar is a button's own
  const forwards = await standsUs(p, first);
  await p.keyboard.press("r");
  await until("it plays backwards", 5000, async () => (await p.textContent(id("rate"))) === "−1×" && (await standsUs(p, first)) < forwards - 300_000);
  await p.keyboard.press("Space");
  await until("it is paused again", 5000, () => paused(p));
  await p.setViewportSize({ width: 390, height: 844 });
  await shot(p, "cloud-copy-phone");
  await p.setViewportSize({ width: 1440, height: 900 });

  // Outside of all clips: which are nearest, and there in place.
  await p.goto(`${base}/cameras/${camera}?at=${ends(first) + 1_000_000}`);
  await p.waitForSelector(id("cloud-near"));
  assert(/no clip of this moment/.test(await p.textContent(id("cloud-none"))), "nothing says that there is no clip");
  await shot(p, "cloud-none");
  await p.setViewportSize({ width: 390, height: 844 });
  await shot(p, "cloud-none-phone");
  await p.setViewportSize({ width: 1440, height: 900 });
  await p.waitForSelector(id("cloud-before"));
  await p.click(id("cloud-after"));
  await p.waitForSelector(onCloud);
  await until("the next clip plays", 10_000, async () => (await frames(p)) > 0 && (await standsUs(p, second)) > begins(second));
  assert(Number(new URL(p.url()).searchParams.get("at")) === begins(second), `the address is ${p.url()}`);
  await p.keyboard.press("Space");
  await until("it stands", 5000, () => paused(p));
  return { cloud_first_ms: firstMs };
}

/** The site is back: what stands on the stage stays until somebody asks for the site's own. */
export async function goesBack(p) {
  const [, second] = await kept(p);
  await p.waitForSelector(id("cloud-site"), { timeout: 60_000 });
  assert(/site is back/.test(await p.textContent(id("cloud-mark"))) && (await paused(p)), "the picture was yanked away as the site came back");
  const us = await standsUs(p, second);
  await shot(p, "cloud-back");
  await p.click(id("cloud-site"));
  await p.waitForSelector(id("cloud-mark"), { state: "detached" });
  await until("the site's own recording", 30_000, async () => (await p.$eval(id("live-video"), (video) => video.srcObject !== null)) && (await frames(p)) > 0);
  const at = Number(new URL(p.url()).searchParams.get("at"));
  assert(Math.abs(at - us) < 200_000, `it went to ${(at - us) / 1e6} s from where it stood`);
}
