// Wheel, mouse, fingers and keys on a frame with a video in it. What they lead to is written to the frame's style at once,
// from where zoom.css gives it to the video: nothing is rendered anew while a pointer moves.
import { text } from "../text";
import { bounded, fitted, moved, type Part, type Point, seen, shift, type Size, type View, whole, zoomed } from "./zoom";

export interface Habits {
  /** Nothing here scrolls, and no other picture is seen: the wheel and the keys always mean this one. */
  alone: boolean;
  /** A double click goes closer, too; else it only leads back to the whole picture. */
  doubleIn: boolean;
}

const tapMs = 350;
const tapPx = 24;
/** A press that moves less is no drag. */
const dragPx = 4;
/** How close a double click goes. */
const doubleScale = 2.5;
const keyTimes = 1.5;
/** The share of the frame that an arrow key moves the picture by. */
const keyShare = 0.2;
/** What is left nearer to the whole picture than this was meant to be it. */
const almostWhole = 1.05;
/** The wheel that has led back to the whole picture does not scroll the page with what is left of its turn. */
const wheelMs = 400;

/** A press on these is theirs, but for a button that only covers the picture. */
const controls = "a, button:not([data-surface]), [role=toolbar]";
const typing = "input, textarea, select, [role=dialog], [role=alertdialog], [role=menu]";

export class Zoom {
  private view = whole;
  private known: Size | undefined; // of the last picture
  private label: HTMLElement | null = null;
  private readonly pointers = new Map<number, Point>();
  private begun: Point | undefined; // of a press that is no drag yet
  private taken = false; // the press is no click of anything below
  private tapped: { at: Point; ms: number } | undefined;
  private wheeledMs = -Infinity;
  private readonly end = new AbortController();
  private readonly watcher = new ResizeObserver(() => this.show(this.view));

  constructor(private readonly frame: HTMLElement, private readonly habits: Habits, private readonly tell: (close: boolean) => void) {
    const { signal } = this.end;
    const active = { signal, passive: false };
    frame.dataset.zoomable = "";
    frame.addEventListener("wheel", this.wheel, active);
    frame.addEventListener("pointerdown", this.press, { signal });
    frame.addEventListener("pointermove", this.move, { signal });
    for (const kind of ["pointerup", "pointercancel"] as const) frame.addEventListener(kind, this.lift, { signal });
    for (const kind of ["click", "dblclick"] as const) frame.addEventListener(kind, this.click, { signal, capture: true });
    // Two fingers do not scroll the page from here.
    frame.addEventListener("touchstart", (event) => { if (event.touches.length > 1 && event.cancelable) event.preventDefault(); }, active);
    document.addEventListener("keydown", this.key, { signal });
    frame.addEventListener("resize", () => this.show(this.view), { signal, capture: true }); // of a video whose picture changes its shape
    this.watcher.observe(frame);
  }

  /** Lets go of the frame, which shows the whole picture again. */
  close(): void {
    this.end.abort();
    this.watcher.disconnect();
    this.show(whole);
    delete this.frame.dataset.zoomable;
  }

  /** Shows the whole picture again. */
  reset(): void {
    // The button for it goes away, and keys stay with the picture.
    (this.frame.tabIndex >= 0 ? this.frame : this.frame.querySelector<HTMLElement>("[data-surface]"))?.focus({ preventScroll: true });
    this.show(whole, true);
  }

  /** Says in an element how close the picture is, as long as that element is there. */
  readonly labelled = (label: HTMLElement | null): void => {
    this.label = label;
    if (label) label.textContent = text.live.times(this.view.scale);
  };

  /** What is seen of the picture, in pixels of its own; undefined: the whole of it. */
  part(): Part | undefined {
    const picture = this.picture();
    return picture && this.isClose() ? seen(this.view, picture, this.size()) : undefined;
  }

  /** Which point of the picture lies under a pointer, from its middle: 1 is its right or upper edge. Undefined beside it. */
  at(event: MouseEvent): Point | undefined {
    const picture = this.picture();
    if (!picture) return undefined;
    const fit = fitted(picture, this.size());
    const from = this.place(event);
    const x = 2 * (this.view.x + from.x / (this.view.scale * fit.width)) - 1;
    const y = 1 - 2 * (this.view.y + from.y / (this.view.scale * fit.height));
    return Math.abs(x) > 1 || Math.abs(y) > 1 ? undefined : { x, y };
  }

  private isClose(): boolean {
    return this.view.scale > 1;
  }

  /** The size of the picture on top, which is the one that is seen; undefined while there is none. */
  private picture(): Size | undefined {
    const top = [...this.frame.querySelectorAll("video")].filter((video) => video.dataset.shown !== undefined && video.videoWidth > 0).at(-1);
    return top && { width: top.videoWidth, height: top.videoHeight };
  }

  private size(): Size {
    return this.frame.getBoundingClientRect(); // with the fractions of a pixel that clientWidth leaves out
  }

  private show(wanted: View, eased = false): void {
    const { frame } = this;
    const was = this.isClose();
    this.known = this.picture() ?? this.known;
    const size = this.size();
    if (!this.known || size.width === 0 || size.height === 0) return;
    this.view = bounded(wanted, this.known, size);
    const by = shift(this.view, this.known, size);
    frame.style.setProperty("--zoom", String(this.view.scale));
    frame.style.setProperty("--zoom-x", `${by.x}px`);
    frame.style.setProperty("--zoom-y", `${by.y}px`);
    frame.toggleAttribute("data-zoomed", this.isClose());
    frame.toggleAttribute("data-zoom-eased", eased);
    if (this.label) this.label.textContent = text.live.times(this.view.scale);
    if (was !== this.isClose()) this.tell(!was);
  }

  private zoom(times: number, at: Point, eased = false): void {
    const picture = this.picture();
    if (picture) this.show(zoomed(this.view, times, at, picture, this.size()), eased);
  }

  private pan(by: Point, eased = false): void {
    const picture = this.picture();
    if (picture) this.show(moved(this.view, by, picture, this.size()), eased);
  }

  /** Where a pointer is, in pixels from the middle of the frame. */
  private place(event: MouseEvent): Point {
    const box = this.frame.getBoundingClientRect();
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
  }

  private fills(): boolean {
    return this.habits.alone || this.frame.matches(":fullscreen");
  }

  /** A wheel over the whole picture scrolls the page, as everywhere: whoever only passes by must not be caught by the
   *  stage. With Ctrl, which a touchpad's pinch says too, it zooms; and so it does where nothing can scroll, and where
   *  the picture is close already. */
  private readonly wheel = (event: WheelEvent): void => {
    if (!this.picture() || event.deltaY === 0) return;
    const goesOn = event.timeStamp - this.wheeledMs < wheelMs;
    if (!this.isClose() && !event.ctrlKey && !this.fills() && !goesOn) return;
    event.preventDefault();
    this.wheeledMs = event.timeStamp;
    const px = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 40 : 1);
    const pinch = event.ctrlKey && Math.abs(px) < 50; // a notch of a wheel is 100 or so
    this.zoom(Math.exp(-Math.max(-250, Math.min(250, px)) * (pinch ? 0.01 : 0.002)), this.place(event));
    if (px > 0 && this.view.scale < almostWhole) this.show(whole);
  };

  private readonly press = (event: PointerEvent): void => {
    this.taken = false;
    if (event.button !== 0 || !this.picture() || (event.target as Element).closest(controls)) return;
    this.taken = this.isClose();
    if (event.isPrimary) this.pointers.clear(); // one that was lifted elsewhere
    this.pointers.set(event.pointerId, this.place(event));
    this.begun = this.pointers.size === 1 ? this.place(event) : undefined;
    if (this.pointers.size === 2) this.hold();
  };

  private readonly move = (event: PointerEvent): void => {
    const from = this.pointers.get(event.pointerId);
    if (!from || (event.buttons === 0 && this.pointers.delete(event.pointerId))) return;
    const to = this.place(event);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) {
      if (!this.isClose() || (this.begun && distance(this.begun, to) < dragPx)) return;
      if (this.begun) this.hold();
      this.pan({ x: to.x - from.x, y: to.y - from.y });
    } else {
      this.pan({ x: (to.x - from.x) / 2, y: (to.y - from.y) / 2 });
      this.zoom(distance(to, other) / Math.max(1, distance(from, other)), { x: (to.x + other.x) / 2, y: (to.y + other.y) / 2 });
    }
    this.pointers.set(event.pointerId, to);
  };

  /** The press is a gesture from here on, also outside the frame. */
  private hold(): void {
    this.begun = this.tapped = undefined;
    this.taken = true;
    this.frame.dataset.held = "";
    for (const id of this.pointers.keys()) this.frame.setPointerCapture(id);
  }

  private readonly lift = (event: PointerEvent): void => {
    if (!this.pointers.delete(event.pointerId)) return;
    const at = this.begun;
    this.begun = undefined;
    if (at && event.type === "pointerup" && distance(at, this.place(event)) < tapPx) this.tap(at, event.timeStamp);
    if (this.pointers.size > 0) return;
    delete this.frame.dataset.held;
    if (this.view.scale < almostWhole) this.show(whole);
  };

  private tap(at: Point, ms: number): void {
    const twice = this.tapped && ms - this.tapped.ms < tapMs && distance(at, this.tapped.at) < tapPx;
    this.tapped = twice ? undefined : { at, ms };
    if (!twice) return;
    if (this.isClose()) this.show(whole, true);
    else if (this.habits.doubleIn) this.zoom(doubleScale, at, true);
  }

  /** The click that a gesture ends with is none. */
  private readonly click = (event: MouseEvent): void => {
    if (this.taken && event.detail > 0) event.stopPropagation();
  };

  private readonly key = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !this.picture()) return;
    if ((event.target as Element).closest(typing) || !(this.fills() || this.frame.contains(document.activeElement))) return;
    const arrow = event.shiftKey && this.isClose() ? arrows[event.key] : undefined;
    const { width, height } = this.size();
    if (arrow) this.pan({ x: arrow.x * keyShare * width, y: arrow.y * keyShare * height }, true);
    else if (event.key === "+" || event.key === "=") this.zoom(keyTimes, middle, true);
    else if (event.key === "-" && this.isClose()) this.zoom(1 / keyTimes, middle, true);
    else if (event.key === "0" && this.isClose()) this.show(whole, true);
    else return;
    event.preventDefault();
  };
}

const middle: Point = { x: 0, y: 0 };
/** The way that the picture goes, for what lies where the arrow points to come into the frame. */
const arrows: Record<string, Point> = { ArrowLeft: { x: 1, y: 0 }, ArrowRight: { x: -1, y: 0 }, ArrowUp: { x: 0, y: 1 }, ArrowDown: { x: 0, y: -1 } };
const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);
