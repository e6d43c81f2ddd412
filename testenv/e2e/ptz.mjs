// A camera is moved by two people: by the pad, the keys, a click and its own positions. What its device says of where it points
// is what counts.
import { assert, base, id, page, shot, signIn, until } from "./browser.mjs";
import { lies } from "./zoom.mjs";

const head = async () => (await fetch(`${process.env.CONTROL}/head`)).json();
const stands = () => until("the camera stands still", 5000, async () => !(await head()).at.moving);

/** The milliseconds until the camera moves. */
async function moves() {
  const begun = performance.now();
  while (!(await head()).at.moving) {
    if (performance.now() - begun > 3000) throw new Error(`it does not move: ${JSON.stringify(await head())}`);
  }
  return performance.now() - begun;
}

/** Presses the pad at so many radii from its middle, until the camera has gone where it should; returns how long the first
 *  movement took. */
async function pull(p, x, y, there) {
  const pad = await p.locator(id("ptz-pad")).boundingBox();
  const radius = pad.width / 2;
  await p.mouse.move(pad.x + radius * (1 + x), pad.y + radius * (1 - y));
  await p.mouse.down();
  const ms = await moves();
  await until("it has gone that way", 5000, async () => there((await head()).at));
  await p.mouse.up();
  await stands();
  return ms;
}

/** Orders of a page in a row, each another speed: how long each took, there and back. */
const orders = (p, camera, count) => p.evaluate(async ([camera, count]) => {
  const took = [];
  for (let i = 0; i < count; i++) {
    const body = JSON.stringify({ act: "move", number: Date.now() + i, pan: i % 2 ? 0.1 : -0.1 });
    const begun = performance.now();
    const response = await fetch(`/api/v1/cameras/${camera}/ptz`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    took.push(performance.now() - begun);
  }
  await fetch(`/api/v1/cameras/${camera}/turn`, { method: "DELETE" });
  return took.sort((a, b) => a - b);
}, [camera, count]);

/** Somebody else signs in. */
async function colleague(browser, p, name, role) {
  const email = `${name.split(" ")[0].toLowerCase()}@example.com`;
  const made = await p.evaluate(async (body) => {
    const response = await fetch("/api/v1/people", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    return response.json();
  }, { name, email, role });
  const q = await page(browser, 390, 844, { hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
  await q.goto(made.link.replace(/^https?:\/\/[^/]+/, base));
  await q.fill("input[type=password]", "a long pass phrase");
  await q.keyboard.press("Enter");
  await until("the new person is signed in or can sign in", 20_000, async () => !q.url().includes("password"));
  if (!(await q.$(id("site-card")))) await signIn(q, email, "a long pass phrase");
  return q;
}

export async function movesCameras(browser, p, camera) {
  await p.goto(`${base}/cameras/${camera}`);
  await p.click(id("ptz-toggle"));
  await p.waitForSelector(id("ptz-pad"));
  await until("the picture", 10_000, async () => Number(await p.locator(id("live-video")).getAttribute("data-frames")) > 0);
  const pressMs = [await pull(p, 0.95, 0, (at) => at.pan > 0.05), await pull(p, -0.6, -0.6, (at) => at.pan < 0.05 && at.tilt < -0.02)];
  await shot(p, "ptz");

  // The keys are the camera's while its controls are open, and the digital zoom does not see them.
  for (const [key, there] of [["ArrowUp", (at) => at.tilt > 0], ["+", (at) => at.zoom > 0.02]]) {
    await p.keyboard.down(key);
    pressMs.push(await moves());
    await until(`the key ${key} leads there`, 5000, async () => there((await head()).at));
    await p.keyboard.up(key);
    await stands();
  }
  assert((await lies(p)).times === 1, "the digital zoom took the keys, too");

  // A position of the camera's own, and a click on the picture.
  await p.click(id("ptz-presets"));
  await p.click(id("menu-preset-1"));
  await until("the position Gate", 3000, async () => Math.abs((await head()).at.pan - 0.5) < 0.001);
  await p.click(id("ptz-presets"));
  await p.click(id("menu-keep-preset"));
  await p.fill(id("preset-name"), "Back door");
  await shot(p, "ptz-presets");
  await p.click(id("dialog-submit"));
  await p.waitForSelector(id("preset-dialog"), { state: "detached" });
  await p.click(id("ptz-presets"));
  await p.click(`${id("menu-preset-n1")} >> text="Back door"`);
  await p.click(id("ptz-presets"));
  await p.click(id("menu-keep-preset"));
  const kept = `${id("preset-row")}:has-text("Back door")`;
  await p.click(`${kept} button`);
  await p.click(`${kept} ${id("preset-forget")}`);
  await p.waitForSelector(kept, { state: "detached" });
  await p.keyboard.press("Escape");
  await p.waitForSelector(id("preset-dialog"), { state: "detached" });
  const { stage } = await lies(p);
  await p.mouse.click(stage.x + stage.width * 0.25, stage.y + stage.height / 2);
  await until("the left half comes into the middle", 3000, async () => (await head()).at.pan < 0.47);

  // On the full screen a menu stands in what is seen.
  await p.click(id("full-screen"));
  await until("the full screen", 5000, () => p.evaluate(() => document.fullscreenElement !== null));
  await p.click(id("ptz-presets"));
  await p.waitForSelector(id("menu-preset-1"));
  assert(await p.evaluate((menu) => document.fullscreenElement.contains(document.querySelector(menu)), id("menu-preset-1")), "the menu is not on the full screen");
  await shot(p, "ptz-full");
  await p.click(id("menu-preset-1"));
  await until("the position Gate again", 3000, async () => Math.abs((await head()).at.pan - 0.5) < 0.001);
  await p.click(id("full-screen"));
  await until("the page again", 5000, () => p.evaluate(() => document.fullscreenElement === null));

  // On a wall it is moved where its picture is large: the keys and a click are the camera's there.
  const wall = await p.evaluate(async (camera) => {
    const body = JSON.stringify({ name: "Heads", layout: "2x2", tiles: [{ camera }] });
    return (await (await fetch("/api/v1/walls", { method: "POST", headers: { "Content-Type": "application/json" }, body })).json()).id;
  }, camera);
  await p.goto(`${base}/walls/${wall}`);
  const pick = p.locator(`${id("board-tile")} .board-pick`).first();
  await p.waitForSelector(`${id("live-tile")}[data-phase=playing]`);
  assert(!(await p.$(id("ptz"))), "a small tile has controls");
  await pick.dblclick();
  await p.click(id("ptz-toggle"));
  await pull(p, -0.95, 0, (at) => at.pan < 0.4);
  await pick.focus();
  await p.keyboard.down("ArrowUp");
  await moves();
  await p.keyboard.up("ArrowUp");
  await stands();
  assert(await p.$(`${id("board-tile")}[data-large]`), "the keys of the camera chose another tile");
  const before = (await head()).at.pan;
  const tile = await p.locator(`${id("board-tile")}[data-large]`).boundingBox();
  await p.mouse.click(tile.x + tile.width * 0.75, tile.y + tile.height / 2);
  await until("the right half of the tile comes into the middle", 3000, async () => (await head()).at.pan > before + 0.02);
  await stands();
  await shot(p, "ptz-wall");
  const { width, height } = p.viewportSize();
  await p.setViewportSize({ width: 390, height: 844 });
  const hands = await p.locator(id("ptz")).boundingBox();
  assert(hands.x >= 0 && hands.x + hands.width <= 390 && hands.y + hands.height <= 844, `on a phone the controls are at ${JSON.stringify(hands)}`);
  await shot(p, "ptz-wall-phone");
  await p.setViewportSize({ width, height });
  await p.keyboard.press("Escape");
  await p.waitForSelector(id("ptz"), { state: "detached" });
  await p.evaluate((wall) => fetch(`/api/v1/walls/${wall}`, { method: "DELETE" }), wall);
  await p.goto(`${base}/cameras/${camera}`);
  await p.click(id("ptz-toggle"));
  await p.waitForSelector(id("ptz-pad"));

  // Another person sees whose turn it is, on a phone, and waits.
  const q = await colleague(browser, p, "Mara Manager", "manager");
  await p.keyboard.press("ArrowRight");
  await q.goto(`${base}/cameras/${camera}`);
  const words = await q.textContent(id("ptz-owner"));
  assert(/Olivia Owner moves this camera · free in \d+ s/.test(words), `the owner is named as: ${words}`);
  assert(!(await q.$(id("ptz-take"))), "a manager may take a camera from an owner");
  await q.click(id("ptz-toggle"));
  await q.waitForSelector(`${id("ptz-pad")}[data-disabled]`);
  const wide = await q.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert(wide <= 1, `the page scrolls ${wide} px sideways`);
  await q.locator(id("ptz")).scrollIntoViewIfNeeded();
  await shot(q, "ptz-phone");
  const took = await orders(p, camera, 20);
  await q.waitForSelector(`${id("ptz-pad")}:not([data-disabled])`);
  await pull(q, 0.9, 0, (at) => at.moving);
  await p.waitForSelector(id("ptz-owner"));
  await shot(p, "ptz-owner");
  await p.click(id("ptz-take"));
  await p.waitForSelector(id("ptz-owner"), { state: "detached" });
  await q.waitForSelector(id("ptz-owner"));
  await p.keyboard.press("ArrowLeft");
  await stands();

  // A browser that is gone lets nothing turn.
  await p.locator(id("ptz-pad")).hover({ position: { x: 120, y: 64 } });
  await p.mouse.down();
  await moves();
  const goneAt = performance.now();
  await p.goto("about:blank");
  await stands();
  const gone_ms = Math.round(performance.now() - goneAt);
  await p.mouse.up();
  await q.context().close();
  const p50 = (list) => Math.round(list[Math.floor(list.length / 2)] * 10) / 10;
  assert(p50(took) <= 250, `an order takes ${p50(took)} ms, there and back`);
  return {
    ptz_press_to_move_ms: pressMs.map(Math.round), ptz_order_p50: p50(took), ptz_order_p95: Math.round(took[Math.floor(took.length * 0.95)] * 10) / 10, gone_ms,
  };
}
