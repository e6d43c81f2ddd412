/** Holdfast's mark: two posts, the site and the cloud, and the line that holds through both. */
export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden className="mark">
      <rect className="mark-post" x="6" y="3" width="6" height="26" rx="2" />
      <rect className="mark-post" x="20" y="3" width="6" height="26" rx="2" />
      <path className="mark-line" d="M1 13h30v6H1z" />
    </svg>
  );
}
