import { useCallback, useState } from "react";

const key = "holdfast.details";

/** Whether every tile says what was measured; the choice stays in this browser. */
export function useDetails(): [on: boolean, toggle: () => void] {
  const [on, setOn] = useState(remembered);
  const toggle = useCallback(() => {
    setOn(!on);
    try {
      localStorage.setItem(key, on ? "off" : "on");
    } catch {
      // Storage is blocked: the choice holds until the page is left.
    }
  }, [on]);
  return [on, toggle];
}

function remembered(): boolean {
  try {
    return localStorage.getItem(key) === "on";
  } catch {
    return false;
  }
}
