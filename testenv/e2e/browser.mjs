// What the steps share: a real Chromium, pages that notice every fault of the portal, and conditions to wait for.
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
];

export const base = process.env.PORTAL;
export const shots = process.env.SHOTS;
if (shots) mkdirSync(shots, { recursive: true });

export async function open(more = []) {
  return chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: [...flags, ...more] });
}

/** Test ID, short. */
export const id = (name) => `[data-testid="${name}"]`;

/** A page whose faults are kept: script errors, and answers of 500 and above. */
export async function page(browser, width, height, options = {}) {
  const context = await browser.newContext({ viewport: { width, height }, ...options });
  const p = await context.newPage();
  p.faults = [];
  p.on("pageerror", (error) => p.faults.push(`script error: ${error.message}`));
  p.on("response", (r) => r.status() >= 500 && r.status() !== 503 && p.faults.push(`${r.status()} ${r.url()}`));
  p.asked = new Set();
  p.on("request", (r) => r.url().endsWith("/changes") || p.asked.add(r)); // the stream of changes never ends
  for (const end of ["requestfinished", "requestfailed"]) p.on(end, (r) => p.asked.delete(r));
  p.setDefaultTimeout(20_000);
  return p;
}

/** Waits until a page has asked for nothing for a while, five seconds at most. */
export async function settled(p) {
  const limit = Date.now() + 5000;
  for (let quiet = Date.now(); Date.now() - quiet < 400 && Date.now() < limit; ) {
    await new Promise((done) => setTimeout(done, 50));
    if (p.asked.size > 0) quiet = Date.now();
  }
}

export async function signIn(p, email, password) {
  await p.goto(base + "/");
  await p.fill("input[type=email]", email);
  await p.fill("input[type=password]", password);
  await p.keyboard.press("Enter");
  await p.waitForSelector(id("site-card"));
}

/** GET of the API with the page's own session. */
export const api = (p, path) => p.evaluate(async (path) => {
  const response = await fetch("/api/v1" + path);
  return response.json();
}, path);

/** Asks until the answer is true, and fails in words when it never is. */
export async function until(what, ms, ask) {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${ms / 1000} s in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

export async function shot(p, name) {
  if (shots) await p.screenshot({ path: `${shots}/${name}.png` });
}

/** Tells the test's own control what to do: cut, restore, event ... */
export async function control(verb) {
  const response = await fetch(`${process.env.CONTROL}/${verb}`, { method: "POST" });
  if (!response.ok) throw new Error(`control ${verb}: ${await response.text()}`);
}

/** What the video shows: frames counted by the portal, and a coarse picture to compare. */
export const picture = (p) => p.$eval(id("live-video"), (video) => {
  const canvas = document.createElement("canvas");
  canvas.width = 64;
  canvas.height = 36;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 64, 36);
  return { frames: Number(video.dataset.frames), width: video.videoWidth, pixels: Array.from(context.getImageData(0, 0, 64, 36).data) };
});

/** Mean difference of two pictures, 0 to 255. */
export function difference(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i] - b[i]);
  return sum / a.length;
}

export function assert(ok, words) {
  if (!ok) throw new Error(words);
}
