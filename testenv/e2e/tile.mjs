// What can be done on the tile of a wall: its picture is saved, and a person speaks through its camera.
import { readFile } from "node:fs/promises";

import { api, assert, base, id, shot, shots, until } from "./browser.mjs";
import { heard, said } from "./talk.mjs";

/** Saves the picture of a tile by its button, and says how it looks: its size, how much its pixels differ from each other, and
 *  how bright the brightest of its band is. */
async function saved(p, tile, name) {
  const [download] = await Promise.all([p.waitForEvent("download"), p.click(`${tile} ${id("tile-snapshot")}`)]);
  if (shots) await download.saveAs(`${shots}/${name}.jpg`);
  const bytes = await readFile(await download.path());
  assert(bytes.readUInt16BE(0) === 0xffd8, "the snapshot is no JPEG");
  const looks = await p.evaluate(async (bytes) => {
    const image = await createImageBitmap(new Blob([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))], { type: "image/jpeg" }));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    const shown = Math.round((image.width * 9) / 16);
    const green = (y, height) => context.getImageData(0, y, image.width, height).data.filter((_, at) => at % 4 === 1);
    const picture = green(0, shown);
    const mean = picture.reduce((sum, value) => sum + value, 0) / picture.length;
    const spread = Math.sqrt(picture.reduce((sum, value) => sum + (value - mean) ** 2, 0) / picture.length);
    return { width: image.width, height: image.height, shown, spread, letters: green(shown + 2, image.height - shown - 2).reduce((most, value) => Math.max(most, value), 0) };
  }, bytes.toString("base64"));
  assert(looks.spread > 10, `the snapshot is blank: ${JSON.stringify(looks)}`);
  assert(looks.height > looks.shown + looks.width / 24 && looks.letters > 180, `its band can't be read: ${JSON.stringify(looks)}`);
  return { name: download.suggestedFilename(), ...looks };
}

/** A small tile, a large one and one that is played back. */
export async function savesTiles(p, wall) {
  const { tiles } = await api(p, `/walls/${wall}`);
  await p.goto(`${base}/walls/${wall}`);
  const tile = `${id("board-tile")}[data-camera="${tiles[0].camera}"]`;
  await p.waitForSelector(`${tile} [data-phase=playing]`);
  assert((await p.$eval(`${tile} .board-tools`, (tools) => getComputedStyle(tools).opacity)) === "0", "the controls of a tile that nobody points at are in the way");
  await p.hover(tile);
  await until("the controls of the tile", 3000, () => p.$eval(`${tile} .board-tools`, (tools) => getComputedStyle(tools).opacity === "1"));
  await shot(p, "tile-hover");
  const small = await saved(p, tile, "tile-snapshot");
  assert(small.width === 640 && small.name.startsWith(`${tiles[0].site_name} ${tiles[0].camera_name} `), `the small tile gives ${JSON.stringify(small)}`);

  // Large it has two pictures over each other; the large one is saved.
  const known = await Promise.all(tiles.map(({ camera }) => api(p, `/cameras/${camera}`)));
  const plain = known.find(({ streams }) => streams.some((stream) => stream.kind === "main" && stream.codec?.startsWith("avc1") && !stream.b_frames));
  const wide = `${id("board-tile")}[data-camera="${plain.id}"]`;
  await p.press(`${wide} .board-pick`, "Enter");
  await p.waitForSelector(`${wide}[data-large] ${id("full-picture")}[data-shown]`);
  await p.hover(wide);
  const large = await saved(p, wide, "tile-snapshot-large");
  assert(large.width === 1280, `the large tile gives ${JSON.stringify(large)}`);
  await p.keyboard.press("Escape");

  // With a finger: one touch makes it large, and there they are.
  const q = await (await p.context().browser().newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2, storageState: await p.context().storageState() })).newPage();
  await q.goto(`${base}/walls/${wall}`);
  await q.waitForSelector(`${tile} [data-phase=playing]`);
  assert(!(await q.locator(`${tile} ${id("tile-snapshot")}`).isVisible()), "on a phone the controls are there before anybody asks for them");
  await q.tap(`${tile} .board-pick`);
  await q.waitForSelector(`${tile}[data-large]`);
  await until("the picture", 15_000, () => q.$$eval(`${tile} video[data-shown]`, (videos) => videos.some((video) => video.videoWidth > 0)));
  await shot(q, "tile-phone");
  await saved(q, tile, "tile-snapshot-phone");
  await q.context().close();

  await p.goto(`${base}/walls/${wall}?at=${(Date.now() - 40_000) * 1000}`);
  await p.waitForSelector(`${tile} [data-where=on]`);
  await p.hover(tile);
  const played = await saved(p, tile, "tile-snapshot-recorded");
  return { small: small.name, played: played.name };
}

const phase = (p) => p.getAttribute(id("talk"), "data-phase");

/** A tour that turns by itself stays where somebody speaks, and who is gone from the page speaks no longer. */
export async function speaksOnTile(p, wall, camera) {
  await p.context().grantPermissions(["microphone"], { origin: base });
  const before = (await heard()).length;
  const made = await p.evaluate(async (tiles) => {
    const body = JSON.stringify({ name: "Doors in turn", layout: "1x1", cycle_s: 5, tiles });
    return (await fetch("/api/v1/walls", { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
  }, [{ camera }, ...(await api(p, `/walls/${wall}`)).tiles.filter((tile) => tile.camera !== camera).slice(0, 1).map((tile) => ({ camera: tile.camera }))]);
  const other = made.tiles.find((tile) => tile.camera !== camera).camera;
  const ahead = p.waitForRequest((request) => request.url().includes(`/cameras/${other}/still`), { timeout: 15_000 });
  await p.goto(`${base}/walls/${made.id}`);
  await ahead;
  assert((await p.getAttribute(id("board"), "data-page")) === "0", "the next page's still is not fetched before its turn");
  const tile = `${id("board-tile")}[data-camera="${camera}"]`;
  await p.waitForSelector(`${tile} [data-phase=playing]`);
  await p.hover(tile);
  await p.click(`${tile} ${id("tile-talk")}`);
  await p.waitForSelector(`${id("talk-button")}:not([disabled])`);
  const box = await p.locator(id("talk-button")).boundingBox();
  await p.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await p.mouse.down();
  await until("to speak", 15_000, async () => (await phase(p)) === "speaking");
  await shot(p, "tile-talk");
  const begun = Date.now();
  await until("longer than a page of the tour stays", 10_000, () => Date.now() - begun > 6000);
  assert((await p.$(tile)) !== null && (await phase(p)) === "speaking", "the tour took the camera out of somebody's hand");
  await p.mouse.up();
  const first = await said(before + 1);
  assert(first.lost === 0 && first.tones >= 30, `the camera heard ${JSON.stringify(first)}`);
  // By the key, and the tile goes away meanwhile.
  await p.keyboard.down("t");
  await until("to speak by the key", 15_000, async () => (await phase(p)) === "speaking");
  await p.setViewportSize({ width: 390, height: 844 });
  await shot(p, "tile-talk-phone");
  await p.setViewportSize({ width: 1440, height: 900 });
  await p.keyboard.press("PageDown");
  await p.waitForSelector(tile, { state: "detached" });
  const gone = await said(before + 2);
  await p.keyboard.up("t");
  assert(gone.tones >= 1, `the camera heard ${JSON.stringify(gone)}`);
  // Where there is no loudspeaker nobody is offered to speak.
  await p.hover(id("board-tile"));
  assert((await p.$(id("tile-talk"))) === null, "a camera without a loudspeaker offers to speak");
  return { tone_ms: first.tones * 100, lost: first.lost };
}
