// A camera that was asked for by the press that leads to its page: the site answers while the page is being made.
import type { Answer, Offer } from "./whep";

/** A place that was taken for it. */
export interface Place<Link, Slot> {
  link: Link;
  slot: Slot;
  answer: Promise<Answer>;
  /** Gives the place back, with what the site has answered. */
  drop: (answer: Answer | undefined) => void;
}

/** How long a page may take to come. */
const comesMs = 3000;
/** Widths of a stage and of what was taken for it may differ by so much. */
const alike = 1.5;

/** Holds one place at most: nobody presses two at once. */
export class Ahead<Link, Slot> {
  private held: { site: string; offer: Offer; place: Place<Link, Slot>; late: ReturnType<typeof setTimeout> } | undefined;

  /** Asks for a camera, unless that has been done. */
  ask(site: string, offer: Offer, place: () => Place<Link, Slot> | undefined): void {
    if (this.held?.site === site && this.held.offer.camera === offer.camera) return;
    this.drop();
    const taken = place();
    if (!taken) return;
    taken.answer.catch(() => undefined); // whoever takes it up is told
    this.held = { site, offer, place: taken, late: setTimeout(() => this.drop(), comesMs) };
  }

  /** Hands a place over to whom it was taken for. */
  claim(site: string, offer: Offer): Place<Link, Slot> | undefined {
    const { held } = this;
    if (!held || held.site !== site || !fits(held.offer, offer)) return undefined;
    clearTimeout(held.late);
    this.held = undefined;
    return held.place;
  }

  /** Lets go of what nobody came for. */
  private drop(): void {
    const { held } = this;
    this.held = undefined;
    if (!held) return;
    clearTimeout(held.late);
    const { answer, drop } = held.place;
    answer.then(drop, () => drop(undefined));
  }
}

/** What was asked for is what is wished. */
function fits(asked: Offer, wished: Offer): boolean {
  return asked.camera === wished.camera && asked.stream === wished.stream && wished.fromUs === undefined && !wished.silent &&
    wished.width < asked.width * alike && asked.width < wished.width * alike;
}
