import { describe, expect, test } from "vitest";

import { ApiError, errorOf, mayPass, noAnswer, sentence, words } from "../src/api/errors";
import { touched } from "../src/api/touched";

describe("errors", () => {
  test("the cloud's own sentence is shown", () => {
    const error = errorOf(409, { title: "Conflict", status: 409, detail: "the site is not connected since 14:03" });
    expect(error.status).toBe(409);
    expect(words(error)).toBe("The site is not connected since 14:03.");
  });

  test("without one, the status gets a sentence that says what to do", () => {
    for (const status of [400, 401, 403, 404, 409, 413, 418, 422, 429, 500, 503]) {
      const text = words(errorOf(status, undefined));
      expect(text, String(status)).toMatch(/^[A-Z].+\.$/);
      expect(text, String(status)).not.toContain(String(status));
    }
    expect(words(errorOf(502, "<html>Bad gateway</html>"))).toBe(words(errorOf(500, undefined)));
    expect(words(errorOf(503, { title: "Service Unavailable" }))).toBe(words(errorOf(500, undefined)));
  });

  test("faults of fields are found by the field's name", () => {
    const error = errorOf(422, { detail: "validation failed", errors: [{ location: "body.email", message: "expected an e-mail address" }, { location: "body.sites[0]", message: "is unknown" }, { message: "nowhere" }] });
    expect(error.fields.email).toBe("Expected an e-mail address.");
    expect(error.fields["sites[0]"]).toBe("Is unknown.");
    expect(Object.keys(error.fields)).toHaveLength(2);
  });

  test("only what may pass is tried again", () => {
    expect(mayPass(noAnswer())).toBe(true);
    expect(mayPass(errorOf(503, undefined))).toBe(true);
    expect(mayPass(errorOf(429, undefined))).toBe(true);
    expect(mayPass(errorOf(404, undefined))).toBe(false);
    expect(mayPass(new TypeError("x is not a function"))).toBe(false);
  });

  test("an error of the page itself never shows its insides", () => {
    expect(words(new TypeError("cannot read properties of undefined"))).not.toContain("undefined");
    expect(words(new ApiError(0, "No line."))).toBe("No line.");
  });

  test("sentences begin and end as sentences", () => {
    expect(sentence("  the disk is full")).toBe("The disk is full.");
    expect(sentence("Really?")).toBe("Really?");
    expect(sentence("")).toBe("");
  });
});

describe("changes", () => {
  test("a change renews what it touches and nothing else", () => {
    expect(touched({ kind: "coverage", site: "s", camera: "c" })).toEqual([["coverage", "c"]]);
    expect(touched({ kind: "site", site: "s" })).toContainEqual(["site", "s"]);
    expect(touched({ kind: "clip", id: "k", camera: "c" })).toEqual([["clips"], ["clip", "k"], ["coverage", "c"], ["coverages"]]);
    expect(touched({ kind: "turn", site: "s", camera: "c" })).toEqual([["turn", "c"]]);
    expect(touched({ kind: "wall", id: "w" })).toEqual([["walls"], ["wall", "w"]]);
    expect(touched({ kind: "people" })).toContainEqual(["me"]);
    expect(touched({ kind: "incident", site: "s" })).toContainEqual(["story", "s"]);
  });

  test("without an address everything of its kind is renewed", () => {
    expect(touched({ kind: "coverage" })).toEqual([["coverage"]]);
    expect(touched({ kind: "site" })).toContainEqual(["site"]);
    expect(touched({ kind: "event" })).toEqual([["events"]]);
  });

  test("a kind of a newer cloud is ignored", () => {
    expect(touched({ kind: "weather" })).toEqual([]);
  });
});
