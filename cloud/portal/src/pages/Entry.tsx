import { type FormEvent, type ReactNode, useState } from "react";

import { words } from "../api/errors";
import { useTitle } from "../lib/hooks";
import { text } from "../text";
import { Button } from "../ui/button";
import { Mark } from "../ui/Mark";
import { Notice } from "../ui/notice";

/** What the promise looks like: three cameras' days, with the one gap named by its pattern. */
const bands = [
  [["site", 46], ["cloud", 9], ["site", 45]],
  [["site", 21], ["gap", 4], ["site", 75]],
  [["site", 68], ["cloud", 14], ["site", 18]],
] as const;

/** The frame of the pages for those who are not in yet. */
export function Entry({ title, lead, children }: { title: string; lead?: ReactNode; children: ReactNode }) {
  useTitle(title);
  return (
    <div className="entry">
      <header className="entry-side">
        <p className="entry-brand"><Mark size={30} />{text.product}</p>
        <p className="entry-promise">{text.entry.promise}</p>
        <div className="entry-band" aria-hidden>
          {bands.map((band, row) => <i key={row}>{band.map(([state, share], at) => <b key={at} data-state={state} style={{ width: `${share}%` }} />)}</i>)}
        </div>
      </header>
      <main className="entry-main">
        <div className="entry-form">
          <div className="entry-head">
            <h1>{title}</h1>
            {lead && <p className="soft">{lead}</p>}
          </div>
          {children}
        </div>
      </main>
    </div>
  );
}

/** A form of these pages: its fault in words, its button busy while it is sent. */
export function EntryForm({ submit, ready, onSubmit, children, testId }: { submit: string; ready: boolean; onSubmit: () => Promise<unknown>; children: ReactNode; testId: string }) {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const send = async (event: FormEvent) => {
    event.preventDefault();
    if (!ready) return;
    setBusy(true);
    setFault(undefined);
    try {
      await onSubmit();
    } catch (error) {
      setFault(words(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="entry-form" data-testid={testId} onSubmit={(event) => void send(event)}>
      {children}
      {fault && <Notice tone="bad">{fault}</Notice>}
      <Button type="submit" look="primary" busy={busy} isDisabled={!ready} data-testid={`${testId}-submit`}>{submit}</Button>
    </form>
  );
}

/** The fault of a new password, or nothing while there is none to speak of. */
export const passwordFault = (password: string): { fault?: string } => (password !== "" && [...password].length < 12 ? { fault: text.entry.passwordShort } : {});

/** Whether a new password is long enough to be sent. */
export const passwordGood = (password: string): boolean => [...password].length >= 12;
