import { describe, expect, test } from "vitest";

import { corrected, type Moment, type Origin, shortened, told as toldOf } from "../src/video/stamp";

const atUs = Date.parse("2026-11-29T17:22:05.129Z") * 1000;
const live: Moment = { atUs, recorded: false, exact: true, clock: "site" };
const origin: Origin = { site: "Harbour Street", camera: "Shop floor", zone: "Europe/Berlin", clockOffsetUs: 0 };
const full = { width: 1280, height: 720 };
const told = (moment: Moment, of: Origin, part = full) => toldOf(moment, of, part, full);

describe("the moment of a snapshot", () => {
  test("stands there in the site's zone, to the hundredth", () => {
    expect(told(live, origin)).toEqual(["29 Nov 2026 18:22:05.12 CET", "Live. Time of arrival at the site"]);
    expect(told(live, { ...origin, zone: "America/New_York" })[0]).toBe("29 Nov 2026 12:22:05.12 GMT-5");
  });

  test("is live or recorded", () => {
    expect(told({ ...live, recorded: true }, origin)[1]).toBe("Recorded. Time of arrival at the site");
  });

  test("claims no more than is known", () => {
    expect(told({ ...live, recorded: true, exact: false }, origin)).toEqual(["29 Nov 2026 18:22:05 CET", "Recorded. Time of arrival at the site, to about a second"]);
    expect(told({ ...live, clock: "viewer", exact: false }, origin)[1]).toMatch(/not known/);
  });

  test("is put right where the site's clock is wrong, to the second, and says what that clock said", () => {
    const fast = { ...origin, clockOffsetUs: 2_310_000 };
    expect(corrected(live, fast.clockOffsetUs)).toBe(atUs - 2_310_000);
    expect(told(live, fast)).toEqual(["29 Nov 2026 18:22:02 CET", "Live. Time of arrival at the site", "The site's clock, which is off by +2.3 s, said 18:22:05.12"]);
    const recorded = { ...live, recorded: true, exact: false };
    expect(told(recorded, { ...origin, clockOffsetUs: -90_000_000 })).toEqual([
      "29 Nov 2026 18:23:35 CET", "Recorded. Time of arrival at the site, to about a second", "The site's clock, which is off by \u22121 min 30 s, said 18:22:05",
    ]);
  });

  test("is not put right where another clock than the site's said it", () => {
    const fast = { ...origin, clockOffsetUs: 2_310_000 };
    for (const clock of ["cloud", "viewer"] as const) expect(told({ ...live, clock }, fast)).toEqual(told({ ...live, clock }, origin));
  });

  test("is left alone where the clocks agree as far as they can be compared", () => {
    expect(told(live, { ...origin, clockOffsetUs: 180_000 })).toEqual(told(live, origin));
    expect(corrected(live, -999_000)).toBe(atUs);
  });

  test("comes with the part of the picture, when that is not the whole", () => {
    expect(told(live, origin)).toHaveLength(2);
    expect(told(live, origin, { width: 640, height: 360 }).at(-1)).toBe("A part of the picture: 640 × 360 of 1280 × 720 pixels");
  });
});

describe("names", () => {
  const widthOf = (words: string) => [...words].length * 10;
  test("that fit stay", () => {
    expect(shortened("Shop floor", 100, widthOf)).toBe("Shop floor");
  });

  test("that are long end early, never over their room", () => {
    expect(shortened("Shop floor behind the counter", 100, widthOf)).toBe("Shop floo…");
    expect(shortened("Shop  floor", 60, widthOf)).toBe("Shop…");
    expect(shortened("Überwachung 👮🏽", 130, widthOf)).toBe("Überwachung…");
    expect(shortened("Shop", 5, widthOf)).toBe("…");
  });
});
