import { expect, test } from "vitest";

import { judge } from "../src/video/patience";

test("a picture that does not come is judged by what was there before", () => {
  expect(judge("waiting", 11_999, 1)).toBe("wait");
  expect(judge("waiting", 12_001, 1)).toBe("never");
  expect(judge("playing", 4_001, 1)).toBe("stalled");
  expect(judge("stalled", 8_999, 1)).toBe("wait");
  expect(judge("stalled", 9_001, 1)).toBe("over");
  expect(judge("reconnecting", 60_000, 1)).toBe("wait");
});

test("backwards there is time for the next key frame", () => {
  expect(judge("playing", 23_000, -1)).toBe("wait");
  expect(judge("playing", 24_001, -1)).toBe("stalled");
  expect(judge("playing", 9_001, -4)).toBe("stalled");
});
