import { Info } from "lucide-react";
import { type RefObject, useEffect, useId, useRef, useState } from "react";

import { text } from "../text";
import { figuresOf, standsFor } from "./figures";
import type { Staged } from "./staged";
import { useSnapshot } from "./useVideo";

const spellMs = 500;

/** Writes into an element for how long the picture on the screen has been there, and hides it where there is nothing to say.
 *  It goes by a clock of its own, past React: it is most of use where nothing else changes any more. */
export function useSpell(element: RefObject<HTMLElement | null>, session: Staged | undefined, words: (ms: number | undefined) => string): void {
  const newest = useRef(words);
  useEffect(() => {
    newest.current = words;
  });
  useEffect(() => {
    const write = () => {
      const target = element.current;
      const said = newest.current(session?.shownForMs());
      if (!target || target.textContent === said) return;
      target.textContent = said;
      target.hidden = said === "";
    };
    write();
    const timer = setInterval(write, spellMs);
    return () => clearInterval(timer);
  }, [element, session]);
}

/** How old a live picture is, once it stands. */
export function PictureAge({ session }: { session: Staged | undefined }) {
  const age = useRef<HTMLSpanElement>(null);
  useSpell(age, session, standsFor);
  return <span className="picture-age num" ref={age} hidden data-testid="picture-age" />;
}

/** Whether the pointer is over the tile that an element lies in, or the keyboard on it. */
function useLookedAt(element: RefObject<HTMLElement | null>): boolean {
  const [over, setOver] = useState(false);
  const [focused, setFocused] = useState(false);
  useEffect(() => {
    const tile = element.current?.parentElement;
    if (!tile) return;
    const calledOff = new AbortController();
    const { signal } = calledOff;
    tile.addEventListener("pointermove", ({ pointerType }) => setOver(pointerType !== "touch"), { signal });
    tile.addEventListener("pointerleave", () => setOver(false), { signal });
    tile.addEventListener("focusin", ({ target }) => setFocused((target as HTMLElement).matches(":focus-visible")), { signal });
    tile.addEventListener("focusout", () => setFocused(false), { signal });
    return () => calledOff.abort();
  }, [element]);
  return over || focused;
}

/** What is so of the picture of a tile: a mark where it is not what was asked for, how old it is once it stands, and, for
 *  whoever looks at the tile or wants it of all, what was measured. It lies over whatever covers the tile. */
export function TileTruth({ session, all }: { session: Staged | undefined; all: boolean }) {
  const place = useRef<HTMLDivElement>(null);
  const looked = useLookedAt(place);
  const [opened, setOpened] = useState(false);
  const { note, fromUs, stats, ...rest } = useSnapshot(session);
  const words = useId();
  const open = looked || opened;
  const figures = figuresOf({ ...rest, note, fromUs, stats });
  const measured = [
    [text.live.age, figures.age], [text.live.path, stats?.path && (text.live.ways[stats.path] ?? stats.path)], [text.live.codec, figures.codec],
    [text.live.size, figures.size], [text.live.rate, figures.rate],
  ] as const;
  return (
    <div className="tile-truth" ref={place}>
      <div className="tile-truth-line">
        {note && (
          <button type="button" className="tile-mark" title={note} aria-label={note} aria-expanded={open} aria-controls={words} data-testid="tile-mark"
            onClick={() => setOpened(!opened)} onBlur={() => setOpened(false)}>
            <Info size={14} aria-hidden />
          </button>
        )}
        {fromUs === undefined && <PictureAge session={session} />}
      </div>
      {(open || all) && (
        <div className="tile-panel" id={words} data-all={!open || undefined} data-testid="tile-figures">
          <dl>{measured.map(([name, value]) => value && <div key={name}><dt className="unseen">{name}</dt><dd title={name}>{value}</dd></div>)}{!stats && <div><dt className="unseen">{text.live.rate}</dt><dd>{text.live.measuring}</dd></div>}</dl>
          {open && note && <p className="tile-note" data-testid="tile-note">{note}</p>}
        </div>
      )}
    </div>
  );
}
