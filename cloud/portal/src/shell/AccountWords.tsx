import type { Me } from "../api/types";

const initials = (name: string): string => name.split(/\s+/).map((word) => word.charAt(0)).slice(0, 2).join("").toUpperCase();

/** A person and their organisation, in two lines. */
export function AccountWords({ me }: { me: Me }) {
  return (
    <>
      <span className="avatar" aria-hidden>{initials(me.person.name)}</span>
      <span className="account-words">
        <span className="clip-text strong">{me.person.name}</span>
        <span className="clip-text muted small">{me.organisation.name}</span>
      </span>
    </>
  );
}
