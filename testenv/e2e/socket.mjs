// Video where WebRTC is not to be had: a browser without it watches a camera live and plays its recording by WebSocket, and one
// that has it hears a camera's AAC. Prints a JSON object: how soon the first picture is there, how old pictures are when they
// are shown, and what was heard.
import { api, assert, base, difference, id, open, page, picture, shot, signIn, until } from "./browser.mjs";

const { OWNER, PASSWORD } = process.env;
const browser = await open();
const out = {};

const frames = (p) => p.locator(id("live-video")).getAttribute("data-frames").then(Number);
const goesOn = async (p, what) => {
  const before = await frames(p);
  await until(what, 20_000, async () => (await frames(p)) > before + 30);
};
const stats = (p) => p.locator(id("live-stats")).textContent();
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

/** Milliseconds from a press until a picture is on the screen. */
async function firstPicture(p, press) {
  await p.evaluate(() => {
    window.first = new Promise((done) => {
      let begun;
      addEventListener("pointerdown", () => { begun = performance.now(); }, { once: true, capture: true });
      const look = () => {
        if (begun && Number(document.querySelector("[data-testid=live-video]")?.dataset.frames) > 0) done(performance.now() - begun);
        else requestAnimationFrame(look);
      };
      look();
    });
  });
  await press();
  return p.evaluate(() => window.first);
}

/** The loudest moment of a second and a half of the video's sound, of 1. */
const loudest = (p) => p.$eval(id("live-video"), (video) => new Promise((done) => {
  const context = new AudioContext();
  const meter = context.createAnalyser();
  context.createMediaStreamSource(video.captureStream()).connect(meter);
  const wave = new Float32Array(meter.fftSize);
  let most = 0;
  const look = setInterval(() => {
    meter.getFloatTimeDomainData(wave);
    for (const v of wave) most = Math.max(most, Math.abs(v));
  }, 50);
  setTimeout(() => {
    clearInterval(look);
    done(most);
  }, 1500);
}));

async function withoutWebRTC() {
  const p = await page(browser, 1440, 900);
  await p.addInitScript(() => {
    delete window.RTCPeerConnection;
    delete window.webkitRTCPeerConnection;
  });
  await signIn(p, OWNER, PASSWORD);
  const sites = (await api(p, "/sites")).sites;
  const cameras = (await Promise.all(sites.map((s) => api(p, `/sites/${s.id}/cameras`)))).flatMap((c) => c.cameras);
  const shop = cameras.find((c) => c.channel === "shop-floor");
  const firsts = [];
  for (let n = 0; n < 2; n++) {
    await p.goto(`${base}/sites/${shop.site ?? sites[0].id}`);
    await p.waitForSelector(`${id("still")}[data-state=shown]`);
    firsts.push(await firstPicture(p, () => p.locator(`a[href*="/cameras/${shop.id}"]`).first().click()));
  }
  out.first_frame_ms = Math.round(median(firsts));
  await goesOn(p, "pictures by WebSocket");
  const before = await picture(p);
  await p.locator(id("stats-toggle")).click();
  await until("the path to be told", 10_000, async () => (await stats(p)).includes("WebSocket"));
  assert((await p.textContent(id("live-note"))).includes("no WebRTC"), "nothing says why it comes by WebSocket");
  const ages = [];
  await until("the age of fifteen pictures", 20_000, async () => {
    const age = Number(await p.locator(id("live-video")).getAttribute("data-delay"));
    if (age > 0) ages.push(age);
    return ages.length >= 15;
  });
  out.latency_ms = median(ages);
  out.latency_p95_ms = ages.toSorted((a, b) => a - b)[Math.floor(ages.length * 0.95)];
  const after = await picture(p);
  assert(after.width === 1280 && difference(before.pixels, after.pixels) > 0.2, `the picture is ${after.width} wide and hardly changes`);
  out.kept_s = await p.$eval(id("live-video"), (video) => Math.round((video.buffered.end(0) - video.buffered.start(0)) * 10) / 10);
  await shot(p, "socket");
  await p.setViewportSize({ width: 390, height: 844 });
  await shot(p, "socket-390");
  await p.setViewportSize({ width: 1440, height: 900 });

  // Paused and on: at the live edge again.
  await p.click(id("player"), { position: { x: 5, y: 5 } });
  await p.keyboard.press("Space");
  await until("the picture to stand", 5000, async () => {
    const was = await frames(p);
    await new Promise((done) => setTimeout(done, 500));
    return (await frames(p)) === was;
  });
  await p.keyboard.press("Space");
  await goesOn(p, "pictures after a pause");
  await until("the live edge", 5000, async () => Number(await p.locator(id("live-video")).getAttribute("data-delay")) < 1500);

  // A recording.
  const at = Date.now() * 1000 - 15_000_000;
  await p.goto(`${base}/cameras/${shop.id}?at=${at}`);
  await until("playback", 10_000, async () => /playback/i.test(await p.textContent(id("live-mode"))));
  await goesOn(p, "the recording");
  await shot(p, "socket-playback");

  // G.711, which MP4 has no room for, comes as Opus: live, and of the recording.
  const dock = cameras.find((c) => c.channel === "loading-dock");
  for (const where of ["", `?at=${at}`]) {
    await p.goto(`${base}/cameras/${dock.id}${where}`);
    await goesOn(p, "pictures of a camera with G.711");
    if (await p.$eval(id("live-video"), (video) => video.muted)) await p.locator(`${id("mute")}:not([disabled])`).click();
    await until("its sound", 20_000, () => p.$eval(id("live-video"), (video) => video.webkitAudioDecodedByteCount > 2_000 && !video.muted));
    const level = await loudest(p);
    assert(level > 0.001, `the loudest moment of G.711 has a level of ${level}`);
    assert(!/no sound/i.test(await p.textContent(id("live-note"))), "it says that there is no sound");
    await goesOn(p, "pictures with that sound");
  }
  out.level_g711 = Math.round((await loudest(p)) * 1000) / 1000;
  const faults = p.faults;
  await p.context().close();
  return faults;
}

async function withSound() {
  const p = await page(browser, 1440, 900);
  await signIn(p, OWNER, PASSWORD);
  const sites = (await api(p, "/sites")).sites;
  const cameras = (await Promise.all(sites.map((s) => api(p, `/sites/${s.id}/cameras`)))).flatMap((c) => c.cameras);
  await p.goto(`${base}/cameras/${cameras.find((c) => c.channel === "shop-floor").id}`);
  await goesOn(p, "pictures by WebRTC");
  assert(/AAC/.test(await p.textContent(id("live-note"))), "nothing says that AAC is not heard");
  await p.locator(`${id("mute")}:not([disabled])`).click();
  await until("sound", 20_000, () => p.$eval(id("live-video"), (video) => video.webkitAudioDecodedByteCount > 10_000 && !video.muted));
  await goesOn(p, "pictures with sound");
  const level = await loudest(p);
  out.level = Math.round(level * 1000) / 1000;
  assert(level > 0.001, `the loudest moment has a level of ${level}`);
  await until("the age of a picture with sound", 10_000, async () => Number(await p.locator(id("live-video")).getAttribute("data-delay")) > 0);
  out.latency_with_sound_ms = Number(await p.locator(id("live-video")).getAttribute("data-delay"));
  await shot(p, "socket-sound");
  const faults = p.faults;
  await p.context().close();
  return faults;
}

try {
  out.faults = [...(await withoutWebRTC()), ...(await withSound())];
} catch (error) {
  out.error = String(error.stack || error);
}
await browser.close();
console.log(JSON.stringify(out));
