// Live, asked for on a camera's page that shows something else: the picture is there first, and the page follows; what is
// asked for meanwhile is what comes.
import { api, assert, base, id, until } from "./browser.mjs";

/** Goes live from the gap that a camera's recording has, and elsewhere before the page has followed. */
export async function goesLive(p, camera) {
  const gap = await until("the gap is known", 60_000, async () => {
    const now = Date.now() * 1000;
    const { ranges } = await api(p, `/cameras/${camera}/coverage?from_us=${now - 300e6}&to_us=${now}&stream=main`);
    return ranges.find((r) => r.state === "gap" && r.reason === "stalled" && r.end_us - r.start_us > 2e6);
  });
  const at = Math.round((gap.start_us + gap.end_us) / 2);
  const path = `/cameras/${camera}?at=${at}`;
  const asked = () => new URL(p.url()).searchParams.get("at");
  const stage = (phase) => p.$(`${id("player")}[data-phase=${phase}]`);
  const shown = () => p.$(`${id("live-video")}[data-shown]`);
  const mode = async () => ((await p.$(id("live-mode"))) ? p.textContent(id("live-mode")) : "");
  const inGap = async () => {
    await p.goto(base + path);
    await p.waitForSelector(id("instead"));
  };
  /** Presses keys, and goes to a path, before the page does anything else. */
  const press = (keys, path) => p.evaluate(({ keys, path }) => {
    for (const key of keys) document.body.dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey: key === "G", bubbles: true, cancelable: true }));
    if (path) history.pushState({}, "", path);
  }, { keys, path });
  const isLive = async () => asked() === null && /live/i.test(await mode()) && (await stage("playing")) && (await shown());

  await inGap();
  assert(!(await shown()) && (await stage("instead")), "something is shown in a gap");
  await press(["l", "l"]);
  await until("live, asked for twice", 15_000, isLive);
  assert(!(await p.$(id("instead"))), "why there was nothing is still said");

  await inGap();
  await press(["l", "G"]);
  await until("the recording before the gap", 15_000, async () => Number(asked()) < gap.start_us && /playback/i.test(await mode()) && (await stage("playing")) && (await shown()));
  await press(["l"]);
  await until("live after all", 15_000, isLive);

  await p.goto(`${base}/cameras/${camera}?at=${gap.start_us - 8_000_000}`);
  await until("a recording", 15_000, async () => (await stage("playing")) && (await shown()));
  await press(["l"], path);
  await until("the gap", 15_000, async () => asked() === String(at) && (await stage("instead")) && !(await shown()));
  await p.evaluate(() => new Promise((done) => setTimeout(done, 400))); // by now the page would have followed
  assert(asked() === String(at) && (await stage("instead")) && !(await shown()), `the page has gone to ${p.url()}`);
}
