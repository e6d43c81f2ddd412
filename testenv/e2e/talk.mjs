// Speaking through a camera's loudspeaker, and hearing its sound: a tone goes in at the browser's microphone, and the camera
// says what it heard.
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { api, assert, base, id, page, shot, signIn, until } from "./browser.mjs";

/** A microphone that hears a tone of 1 kHz, 0.8 s of each second; the flags of a browser that has it. */
export function microphone() {
  const rate = 48_000;
  const data = Buffer.alloc(2 * rate);
  for (let i = 0; i < 0.8 * rate; i++) data.writeInt16LE(Math.round(9000 * Math.sin((2 * Math.PI * 1000 * i) / rate)), 2 * i);
  const head = Buffer.alloc(44);
  head.write("RIFF");
  head.writeUInt32LE(36 + data.length, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(2 * rate, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(data.length, 40);
  const file = join(tmpdir(), `holdfast-tone-${process.pid}.wav`);
  writeFileSync(file, Buffer.concat([head, data]));
  return ["--use-fake-device-for-media-stream", `--use-file-for-fake-audio-capture=${file}`];
}

/** What the camera has heard. */
export const heard = async () => (await fetch(`${process.env.CONTROL}/heard`)).json();
const phase = (p) => p.getAttribute(id("talk"), "data-phase");
const words = (p) => p.textContent(id("talk-words"));

/** Waits until nobody speaks any more, as the camera has it, and returns what it heard last. */
export const said = (n) => until("the camera to have heard it all", 15_000, async () => {
  const all = await heard();
  return all.length >= n && all[n - 1].ended && all[n - 1];
});

/** A second person, a manager, who has the same camera open. */
async function colleague(browser, p, camera) {
  const made = await p.evaluate(async () => (await fetch("/api/v1/people", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: "Milo Manager", email: "milo@example.com", role: "manager" }),
  })).json());
  const q = await page(browser, 1000, 800);
  await q.goto(made.link.replace(/^https?:\/\/[^/]+/, base));
  await q.fill("input[type=password]", "a long pass phrase");
  await q.keyboard.press("Enter");
  await until("the manager to be signed in, or able to", 20_000, async () => !q.url().includes("password"));
  if (!(await q.$(id("site-card")))) await signIn(q, "milo@example.com", "a long pass phrase");
  await q.goto(`${base}/cameras/${camera}`);
  await q.waitForSelector(`${id("talk-button")}:not([disabled])`);
  return q;
}

/** Says the tone, sees that others are told, and returns how much of it arrived, and when. */
export async function speak(browser, p, camera) {
  await p.goto(`${base}/cameras/${camera}`);
  await p.waitForSelector(`${id("talk-button")}:not([disabled])`);
  // Who has not been asked for the microphone is told what for; who keeps it is told what to do.
  const denied = await refused(browser, p, camera);
  await p.context().grantPermissions(["microphone"], { origin: base });
  const q = await colleague(browser, p, camera);

  const box = await p.locator(id("talk-button")).boundingBox();
  await p.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const pressedMs = Date.now();
  await p.mouse.down();
  await until("to speak", 15_000, async () => (await phase(p)) === "speaking");
  const openMs = Date.now() - pressedMs;
  await until("the others to be told", 10_000, async () => (await words(q)).startsWith("Olivia Owner is speaking"));
  assert(await q.locator(id("talk-button")).isDisabled(), "two can speak at once");
  await until("the level to move", 5000, () => p.$eval(id("talk-level"), (e) => Number(e.style.getPropertyValue("--level")) > 0.2));
  assert((await p.$eval(id("live-video"), (v) => v.volume)) === 0, "the camera's own sound is as loud as before");
  await shot(p, "talk");
  await shot(q, "talk-other");
  const begun = Date.now();
  await until("two seconds of it", 5000, () => Date.now() - begun > 2000);
  await p.mouse.move(box.x + box.width / 2, box.y - 40); // a hand that slips off goes on speaking
  assert((await phase(p)) === "speaking", "the hand slipped off the button");
  await p.mouse.up();
  const first = await said(1);
  assert(first.codec === "PCMU" && first.lost === 0 && first.tones >= 8, `the camera heard ${JSON.stringify(first)}`);
  await until("the sound of the camera", 5000, () => p.$eval(id("live-video"), (v) => v.volume === 1));
  await until("the others to be told of the end", 10_000, () => q.locator(id("talk-button")).isEnabled());

  await p.keyboard.down("t");
  await until("to speak by the key", 15_000, async () => (await phase(p)) === "speaking");
  await p.setViewportSize({ width: 390, height: 844 });
  await shot(p, "talk-phone");
  await p.setViewportSize({ width: 1440, height: 900 });
  await p.keyboard.up("t");
  await said(2);
  assert((await phase(p)) === "idle", `after the key the bar is ${await phase(p)}`);
  await q.context().close();
  await until("the audit", 10_000, async () => (await api(p, "/audit")).rows.filter((r) => r.action === "talk_ended" && r.target === camera && / from .* to .*, \ds/.test(r.detail)).length === 2);
  return { denied, open_ms: openMs, press_to_tone_ms: first.first_tone_ms - pressedMs, tone_ms: first.tones * 100, lost: first.lost, longest_pause_ms: first.longest_pause_ms };
}

/** What the page says to somebody whose browser keeps the microphone. */
async function refused(browser, p, camera) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 }, storageState: await p.context().storageState(), permissions: [] });
  const r = await context.newPage();
  await r.goto(`${base}/cameras/${camera}`);
  await r.waitForSelector(`${id("talk-button")}:not([disabled])`);
  await r.locator(id("talk-button")).focus();
  await r.keyboard.down("Enter");
  const told = await until("why not", 10_000, async () => /keeps the microphone/.test(await words(r)) && words(r));
  await r.keyboard.up("Enter");
  await context.close();
  return told.slice(0, 40);
}

/** How loud the video on the stage is. */
const loudness = (p) => p.evaluate(async (selector) => {
  const video = document.querySelector(selector);
  if (video.muted || video.volume === 0 || !(video.srcObject instanceof MediaStream)) return 0;
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(video.srcObject).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let loudest = 0;
  for (let i = 0; i < 20; i++) {
    await new Promise((done) => setTimeout(done, 50));
    analyser.getFloatTimeDomainData(samples);
    loudest = Math.max(loudest, ...samples.map(Math.abs));
  }
  await context.close();
  return loudest;
}, id("live-video"));

/** The camera's sound: live, in its recording, and on the next page, since somebody has switched it on. */
export async function listen(p, camera, other) {
  await p.goto(`${base}/cameras/${camera}`);
  await p.waitForSelector(`${id("mute")}:not([disabled])`);
  assert((await loudness(p)) === 0, "it is heard before anybody asks for sound");
  await p.locator(id("player")).hover();
  await p.click(id("mute"));
  const live = await until("live sound", 10_000, () => loudness(p));
  await p.evaluate((path) => history.pushState({}, "", path), `/cameras/${camera}?at=${(Date.now() - 20_000) * 1000}`);
  await until("the recording", 15_000, async () => /recording|playback/i.test(await p.textContent(id("live-mode"))));
  await p.waitForSelector(`${id("mute")}:not([disabled])`);
  const recorded = await until("recorded sound", 10_000, () => loudness(p));
  await p.evaluate((path) => history.pushState({}, "", path), `/cameras/${other}`);
  await until("another camera with sound", 15_000, async () => (await p.$eval(id("live-video"), (v) => !v.muted).catch(() => false)));
  return { live: live.toFixed(3), recorded: recorded.toFixed(3) };
}
