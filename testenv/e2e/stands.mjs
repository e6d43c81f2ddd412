// A picture that stands is never taken for one that moves, and a stage or a tile without a picture says why.
import { assert, base, control, id, page, picture, shot, signIn, until } from "./browser.mjs";

/** A page whose requests for video can be held back, and whose connections can be lost. */
async function stage(browser, owner, password) {
  const p = await page(browser, 1440, 900);
  await p.addInitScript(() => {
    window.connections = [];
    const Native = RTCPeerConnection;
    window.RTCPeerConnection = class extends Native {
      constructor(...given) {
        super(...given);
        window.connections.push(this);
      }
    };
  });
  await signIn(p, owner, password);
  let open = () => undefined;
  let gate = Promise.resolve();
  await p.route(/\/(view|live)\?/, async (route) => {
    await gate;
    await route.continue().catch(() => undefined); // the page has called it off
  });
  const hold = () => { gate = new Promise((done) => { open = done; }); };
  // As far as the page can see nothing comes in any more, and no other path is found.
  const lose = () => p.evaluate(async () => {
    for (const connection of window.connections) {
      const last = await connection.getStats();
      connection.getStats = () => Promise.resolve(last);
      connection.createOffer = () => Promise.reject(new Error("no other path"));
    }
  });
  return { p, hold, release: () => open(), lose };
}

const frames = (p) => p.$eval(id("live-video"), (video) => Number(video.dataset.frames));
const phase = (p) => p.getAttribute(id("player"), "data-phase");
const words = (p, of) => p.textContent(of).catch(() => "");

/** Stops a stage before its first picture, and loses its connection while it stands. */
export async function stopsEarly(browser, camera, atUs, owner, password) {
  const { p, hold, release, lose } = await stage(browser, owner, password);
  const figures = {};
  for (const [kind, path] of [["live", `/cameras/${camera.id}`], ["recorded", `/cameras/${camera.id}?at=${atUs}`]]) {
    await p.goto(`${base}/walls`);
    hold();
    await p.goto(base + path);
    await until(`${kind}: it is connecting`, 10_000, async () => (await phase(p)) === "connecting");
    await p.click(`${id("player")} button[aria-label="Pause"]`);
    const why = await until(`${kind}: the stage says that it will stand`, 5000, async () => /first picture will stand/.test(await words(p, id("player"))) && words(p, ".player-wait"));
    await shot(p, `paused-early-${kind}`);
    release();
    await until(`${kind}: its picture is there`, 20_000, async () => (await frames(p)) > 0 && (await phase(p)) === "playing");
    assert(/paused/i.test(await words(p, id("live-mode"))), `${kind}: the stage says ${await words(p, id("live-mode"))}`);
    await until(`${kind}: it stands`, 5000, async () => {
      const before = await frames(p);
      await new Promise((done) => setTimeout(done, 700));
      return (await frames(p)) === before;
    });
    // A live picture that stands says how old it is; of a recording its moment is told.
    if (kind === "live") await until("how old it is", 5000, async () => /^Picture [\d.]+ s old$/.test(await words(p, id("picture-age"))));
    await lose();
    const lost = await until(`${kind}: it says that the connection was lost`, 20_000, async () => /lost while this picture stood/.test(await words(p, id("live-failure"))) && words(p, id("live-failure")));
    // What came last is still there, and not the black of a stream that has ended.
    await new Promise((done) => setTimeout(done, 1000));
    const brightness = (await picture(p)).pixels.reduce((sum, value, at) => sum + (at % 4 === 3 ? 0 : value), 0) / (64 * 36 * 3);
    assert(brightness > 20, `${kind}: the picture that stood is gone, what is there has a brightness of ${brightness}`);
    await shot(p, `paused-lost-${kind}`);
    await p.setViewportSize({ width: 390, height: 844 });
    await shot(p, `paused-lost-${kind}-phone`);
    await p.setViewportSize({ width: 1440, height: 900 });
    const stood = await frames(p);
    await p.click(`${id("live-failure")} button >> nth=0`);
    await until(`${kind}: it is there again`, 20_000, async () => (await frames(p)) !== stood && (await frames(p)) > 0 && (await phase(p)) === "playing");
    if (kind === "recorded") {
      await until("it stands again", 10_000, async () => /paused/i.test(await words(p, id("live-mode"))));
      await p.keyboard.press("Space");
    }
    const from = await frames(p);
    await until(`${kind}: it goes on`, 20_000, async () => (await frames(p)) > from + 20);
    Object.assign(figures, { [`${kind}_early`]: why.slice(0, 60), [`${kind}_lost`]: lost.slice(0, 120) });
  }
  assert(p.faults.length === 0, p.faults.join("; "));
  await p.context().close();
  return figures;
}

/** Looks at what tiles say of their pictures. */
export async function tellsTruth(p, cameras) {
  const chosen = ["shop-floor", "loading-dock", "yard", "checkout"].map((channel) => cameras.find((c) => c.channel === channel));
  const made = await p.evaluate(async (tiles) => {
    const body = JSON.stringify({ name: "What is so", layout: "2x2", tiles });
    return (await fetch("/api/v1/walls", { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
  }, chosen.map((camera) => ({ camera: camera.id })));
  await p.goto(`${base}/walls/${made.id}`);
  const tile = (channel) => `${id("board-tile")}[data-camera="${chosen.find((c) => c.channel === channel).id}"]`;
  await until("every tile plays", 45_000, async () => (await p.$$(`${id("live-tile")}[data-phase=playing]`)).length === 4);
  const panels = () => p.$$eval(id("tile-figures"), (all) => all.map((panel) => panel.innerText));
  await p.mouse.move(2, 2);
  assert((await p.$$(id("tile-mark"))).length === 0, "a tile has a mark, though it shows what was asked for");
  assert((await panels()).length === 0, `tiles that nobody looks at say ${await panels()}`);
  const all = (of) => /\d ms/.test(of) && /LAN|direct/.test(of) && /H\.26[45]/.test(of) && /640 × 360/.test(of) && /bit\/s/.test(of);
  await p.hover(tile("shop-floor"));
  const looked = await until("what was measured of the tile under the pointer", 15_000, async () => (await panels()).length === 1 && all((await panels())[0]) && (await panels())[0]);
  await shot(p, "tile-hover");
  await p.mouse.move(2, 2);
  await until("it is gone with the pointer", 5000, async () => (await panels()).length === 0);
  await p.keyboard.press("i");
  await until("what was measured of all tiles", 15_000, async () => (await panels()).length === 4 && (await panels()).every(all));
  await shot(p, "tile-details");
  await p.setViewportSize({ width: 390, height: 844 });
  await shot(p, "tile-details-phone");
  await p.setViewportSize({ width: 1440, height: 900 });
  await p.click(id("board-details"));
  await p.mouse.move(2, 2);
  await until("no tile says it any more", 5000, async () => (await panels()).length === 0);

  // The cameras of one site say the same.
  await p.goto(`${base}/sites/${chosen[0].site}?tab=wall`);
  await p.click(id("wall-details"));
  await until("what was measured of a site's cameras", 30_000, async () => (await panels()).length === 2 && (await panels()).every((of) => /LAN|direct/.test(of)));
  for (const scheme of ["light", "dark"]) {
    await p.emulateMedia({ colorScheme: scheme });
    await shot(p, `site-wall-${scheme}`);
    await p.setViewportSize({ width: 390, height: 844 });
    await shot(p, `site-wall-${scheme}-phone`);
    await p.setViewportSize({ width: 1440, height: 900 });
  }
  await p.emulateMedia({ colorScheme: "light" });
  await p.click(id("wall-details"));
  await p.goto(`${base}/walls/${made.id}`);
  await until("every tile plays again", 45_000, async () => (await p.$$(`${id("live-tile")}[data-phase=playing]`)).length === 4);

  // What is not as it was asked for has a mark, whose sentence a press shows.
  const yard = tile("yard");
  await p.dblclick(`${yard} .board-pick`);
  const mark = `${yard} ${id("tile-mark")}`;
  await p.waitForSelector(mark);
  await until("what was measured of the large one", 15_000, async () => /ms/.test(await words(p, `${yard} ${id("tile-figures")}`)));
  const note = await p.getAttribute(mark, "title");
  assert(/H\.265/.test(note), `the mark's sentence is ${note}`);
  await p.mouse.move(2, 2);
  await p.click(mark);
  await until("the sentence in full", 5000, async () => (await words(p, id("tile-note"))) === note);
  await shot(p, "tile-note");
  await p.keyboard.press("Escape");
  await until("no tile is large", 5000, async () => (await p.$$(`${id("board-tile")}[data-large]`)).length === 0);

  // A picture that stands says how old it is, and no longer once it moves.
  const age = () => words(p, `${tile("shop-floor")} ${id("picture-age")}`);
  assert((await age()) === "", `a picture that moves says ${await age()}`);
  await control("stall");
  const old = await until("the picture says how old it is", 20_000, async () => /^Picture (\d+|[2-9]\.\d) s old$/.test(await age()) && age());
  await shot(p, "tile-age");
  await control("unstall");
  await until("it moves again", 40_000, async () => (await age()) === "");
  return { looked: looked.replaceAll(/\s+/g, " "), note, old };
}
