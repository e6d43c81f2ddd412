import { type KeyboardEvent, useRef } from "react";

import type { WallLayout } from "../../api/types";
import { text } from "../../text";
import { layouts } from "../../wall/layout";
import { LayoutIcon } from "./LayoutIcon";

/** One of the layouts, each as a drawing with its number of tiles. Arrows choose. */
export function LayoutChoice({ value, onChange }: { value: WallLayout; onChange: (layout: WallLayout) => void }) {
  const group = useRef<HTMLDivElement>(null);
  const press = (event: KeyboardEvent) => {
    const by = event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 0;
    const next = layouts[layouts.indexOf(value) + by];
    if (by === 0 || !next) return;
    event.preventDefault();
    onChange(next);
    group.current?.querySelectorAll<HTMLElement>("[role=radio]")[layouts.indexOf(next)]?.focus();
  };
  return (
    <div className="field">
      <span className="field-label" id="layout-label">{text.wallEdit.layout}</span>
      <div className="layout-choice" role="radiogroup" aria-labelledby="layout-label" ref={group} onKeyDown={press} data-testid="layout-choice">
        {layouts.map((layout) => (
          <button key={layout} type="button" role="radio" aria-checked={layout === value} tabIndex={layout === value ? 0 : -1} aria-label={text.walls.layouts[layout]} title={text.walls.layouts[layout]}
            data-layout={layout} onClick={() => onChange(layout)}>
            <LayoutIcon layout={layout} width={30} />
            <span aria-hidden>{text.walls.layoutsShort[layout]}</span>
          </button>
        ))}
      </div>
    </div>
  );
}
