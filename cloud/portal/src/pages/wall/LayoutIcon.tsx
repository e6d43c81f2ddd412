import { plan } from "../../wall/layout";
import type { WallLayout } from "../../api/types";

/** A small drawing of a layout; `used` marks the places that hold something. */
export function LayoutIcon({ layout, used, width = 26 }: { layout: WallLayout; used?: readonly boolean[]; width?: number }) {
  const { columns, rows, spots } = plan(layout);
  const gap = width > 60 ? 3 : 1.5;
  const height = (width * 9) / 16;
  const w = (width - gap * (columns - 1)) / columns;
  const h = (height - gap * (rows - 1)) / rows;
  return (
    <svg className="layout-icon" width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden>
      {spots.map(({ column, row, size }, place) => (
        <rect key={place} x={column * (w + gap)} y={row * (h + gap)} width={w * size + gap * (size - 1)} height={h * size + gap * (size - 1)} rx={Math.min(2, h / 4)}
          data-used={used ? (used[place] ?? false) : undefined} />
      ))}
    </svg>
  );
}
