// Looking closely at the picture on a camera's page, and saving what is seen of it.
import { readFile } from "node:fs/promises";

import { assert, id, shots, until } from "./browser.mjs";

/** How the picture lies in its frame: how many times as large as at first, and how far each of its edges is past the
 *  frame's own. */
export const lies = (p, frame = id("player")) => p.$eval(frame, (frame) => {
  const video = [...frame.querySelectorAll("video")].at(-1);
  const [stage, box] = [frame, video].map((element) => element.getBoundingClientRect());
  const fit = Math.min(box.width / video.videoWidth, box.height / video.videoHeight);
  const [width, height] = [video.videoWidth * fit, video.videoHeight * fit];
  const [left, top] = [stage.x - box.x - (box.width - width) / 2, stage.y - box.y - (box.height - height) / 2];
  return {
    times: box.width / stage.width, left, top, right: width - left - stage.width, bottom: height - top - stage.height, width, height,
    stage: { x: stage.x, y: stage.y, width: stage.width, height: stage.height }, pixels: { width: video.videoWidth, height: video.videoHeight },
  };
});

const near = (a, b, by = 1) => Math.abs(a - b) < by;
/** That the frame is full, or the picture in its middle where it is smaller. */
const fills = (l) => [[l.left, l.right], [l.top, l.bottom]].every(([a, b]) => Math.min(a, b) > -0.5 || near(a, b));

/** The part of the picture that is seen, in whole pixels of its own. */
export function partOf(l) {
  const along = (past, length, span, pixels) => {
    const [from, to] = [Math.max(0, past / length), Math.min(1, (past + span) / length)];
    const first = Math.floor(from * pixels + 0.01);
    return [first, Math.ceil(to * pixels - 0.01) - first];
  };
  const [x, width] = along(l.left, l.width, l.stage.width, l.pixels.width);
  const [y, height] = along(l.top, l.height, l.stage.height, l.pixels.height);
  return { x, y, width, height };
}

/** Wheel, drag, keys and double click; ends with a part of the picture in view, and returns how it lies. */
export async function lookClosely(p) {
  const first = await lies(p);
  assert(near(first.times, 1, 0.001) && fills(first), `the picture begins ${JSON.stringify(first)}`);
  const { stage } = first;
  const [x, y] = [stage.x + stage.width * 0.25, stage.y + stage.height * 0.3];
  await p.mouse.move(x, y);
  /** Turns the wheel, and says whether the page was kept from scrolling by it. */
  const wheel = async (by) => {
    const taken = p.evaluate(() => new Promise((done) => { addEventListener("wheel", (event) => done(event.defaultPrevented), { once: true }); }));
    await p.mouse.wheel(0, by);
    return taken;
  };
  // The wheel is the page's until Ctrl says otherwise.
  assert(!(await wheel(-120)) && (await lies(p)).times === 1, "the wheel alone zooms a whole picture");
  await p.keyboard.down("Control");
  const began = await wheel(-240);
  await p.keyboard.up("Control");
  const nearer = await lies(p);
  assert(began && nearer.times > 1.5, `Ctrl and the wheel led to ${nearer.times} times`);
  assert(await wheel(-240), "the page scrolls while the picture is close");
  const close = await lies(p);
  assert(close.times > 2.4, `the wheel alone led on to ${close.times} times`);
  const under = (l) => [(x - stage.x + l.left) / l.width, (y - stage.y + l.top) / l.height];
  assert(under(close).every((at, i) => near(at, under(first)[i], 0.005)), `under the pointer lay ${under(first)}, and now ${under(close)}`);
  const label = await p.textContent(id("zoom-scale"));
  assert(label === `${close.times.toFixed(1)}×`, `the label says ${label} of ${close.times}`);

  const drag = async (byX, byY) => {
    await p.mouse.move(x, y);
    await p.mouse.down();
    await p.mouse.move(x + byX / 2, y + byY / 2);
    await p.mouse.move(x + byX, y + byY);
    await p.mouse.up();
    return lies(p);
  };
  const dragged = await drag(-60, -40);
  assert(near(dragged.left, close.left + 60) && near(dragged.top, close.top + 40), `a drag of 60 and 40 pixels led from ${JSON.stringify(close)} to ${JSON.stringify(dragged)}`);
  const corner = await drag(900, 600);
  assert(fills(corner) && near(corner.left, 0) && near(corner.top, 0), `the picture left its frame: ${JSON.stringify(corner)}`);

  const comes = (what, times) => until(`${what}: ${times} times`, 3000, async () => near((await lies(p)).times, times, 0.01));
  await p.keyboard.press("0");
  await comes("the key 0", 1);
  await p.waitForSelector(id("zoom-mark"), { state: "detached" });
  await p.mouse.dblclick(x, y);
  await comes("a double click", 2.5);
  await p.mouse.dblclick(x, y);
  await comes("another one", 1);
  await pinch(p, x, y, 2.5);
  await until("two fingers", 3000, async () => near((await lies(p)).times, 2.5, 0.1));
  await p.keyboard.press("0");
  await comes("0 again", 1);
  await p.mouse.dblclick(x, y);
  await comes("the third double click", 2.5);
  await p.keyboard.press("+");
  await comes("the key +", 3.75);
  await p.keyboard.press("-");
  await comes("the key -", 2.5);
  return lies(p);
}

/** Two fingers on the screen go apart, to so many times their distance. */
async function pinch(p, x, y, times) {
  const screen = await p.context().newCDPSession(p);
  const put = (type, ...places) => screen.send("Input.dispatchTouchEvent", { type, touchPoints: places.map((at, id) => ({ x: at, y, id })) });
  await put("touchStart", x - 20);
  await put("touchStart", x - 20, x + 20);
  for (let way = 1; way <= 5; way++) {
    const apart = 20 * (1 + ((times - 1) * way) / 5);
    await put("touchMove", x - apart, x + apart);
  }
  await put("touchEnd");
  await screen.detach();
}

/** Saves a snapshot by its button: its name, its size, how much its upper part differs from that part of the video (which
 *  stands still meanwhile), and how bright the darkest and the brightest quarter of its band are, 0 to 255. */
export async function snapshot(p, part, name) {
  const [download] = await Promise.all([p.waitForEvent("download"), p.click(id("snapshot"))]);
  if (shots) await download.saveAs(`${shots}/${name}.jpg`);
  const bytes = await readFile(await download.path());
  assert(bytes.readUInt16BE(0) === 0xffd8, "the snapshot is no JPEG");
  const seen = await p.$eval(id("live-video"), async (video, [bytes, part]) => {
    const saved = await createImageBitmap(new Blob([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))], { type: "image/jpeg" }));
    const shown = { width: saved.width, height: Math.round((part.height * saved.width) / part.width) };
    const pixels = (image, ...of) => {
      const context = new OffscreenCanvas(shown.width, shown.height).getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(image, ...of, 0, 0, shown.width, shown.height);
      return context.getImageData(0, 0, shown.width, shown.height).data;
    };
    const bare = pixels(video, part.x, part.y, part.width, part.height);
    const difference = pixels(saved, 0, 0, shown.width, shown.height).reduce((sum, value, at) => sum + Math.abs(value - bare[at]), 0) / bare.length;
    // The band as it is: a ground that is dark all over, with bright letters on both sides.
    const whole = new OffscreenCanvas(saved.width, saved.height).getContext("2d", { willReadFrequently: true });
    whole.drawImage(saved, 0, 0);
    const brightest = (x, width) => {
      const { data } = whole.getImageData(Math.round(x), shown.height + 2, Math.round(width), saved.height - shown.height - 2);
      return data.reduce((most, value, at) => (at % 4 === 1 ? Math.max(most, value) : most), 0);
    };
    const band = whole.getImageData(0, shown.height + 2, saved.width, saved.height - shown.height - 2).data;
    return {
      width: saved.width, height: saved.height, band: saved.height - shown.height, difference,
      left: brightest(0, saved.width * 0.3), right: brightest(saved.width * 0.7, saved.width * 0.3), mean: band.reduce((sum, value, at) => sum + (at % 4 === 1 ? value : 0), 0) / (band.length / 4),
    };
  }, [bytes.toString("base64"), part]);
  return { name: download.suggestedFilename(), ...seen };
}

/** That a snapshot is what it should be: the part at so many times its size, and a band that can be read under it. */
export function good(saved, part, times) {
  assert(saved.width === part.width * times, `the snapshot is ${saved.width} pixels wide, want ${part.width * times}`);
  assert(saved.band > saved.width / 24 && saved.band < saved.width / 6, `its band is ${saved.band} pixels high, of ${saved.height}`);
  assert(saved.difference < 6, `it shows another picture than the stage: they differ by ${saved.difference}`);
  assert(saved.mean < 70 && saved.left > 180 && saved.right > 180, `its band can't be read: ${JSON.stringify(saved)}`);
}
