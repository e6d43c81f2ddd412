import { useRef } from "react";

import { text } from "../text";
import { figuresOf, spanOf } from "./figures";
import type { Snapshot } from "./snapshot";
import type { Staged } from "./staged";
import { useSpell } from "./TileTruth";

const order = ["stream", "codec", "size", "rate", "firstFrame", "inside", "age"] as const;
const network = ["delay", "lost", "path"] as const;

/** The technical details of a session, for those who ask. */
export function StatsTable({ snapshot, session }: { snapshot: Snapshot; session: Staged | undefined }) {
  const figures = figuresOf(snapshot);
  const stands = useRef<HTMLElement>(null);
  useSpell(stands, session, (ms) => (ms === undefined ? "" : spanOf(ms)));
  const row = (name: keyof typeof figures) => figures[name] !== undefined && (
    <div key={name}>
      <dt>{text.live[name]}</dt>
      <dd>{figures[name]}</dd>
    </div>
  );
  return (
    <dl className="player-stats" data-testid="live-stats">
      {order.map(row)}
      <div>
        <dt>{text.live.shownFor}</dt>
        <dd ref={stands} data-testid="live-shown-for" />
      </div>
      {network.map(row)}
    </dl>
  );
}
