// How a picture lies in its frame when it is looked at closely. The picture fills its frame as object-fit: contain has it,
// and what is seen of it is a view of it: no view leaves a part of the frame empty that the picture could fill.

/** So many times as large as the whole picture in its frame, at most. */
export const closest = 8;

export interface Size {
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

export type Part = Point & Size;

/** `scale` times as large as the whole picture, with the point of the picture (0 to 1 each way) that lies in the middle of
 *  the frame. */
export interface View extends Point {
  scale: number;
}

export const whole: View = { scale: 1, x: 0.5, y: 0.5 };

/** How large a picture is in its frame when the whole of it is seen. */
export function fitted(picture: Size, frame: Size): Size {
  const times = Math.min(frame.width / picture.width, frame.height / picture.height);
  return { width: picture.width * times, height: picture.height * times };
}

/** Which share of the picture's length the frame spans at most; above 1 there is an empty margin. */
function spans(scale: number, picture: Size, frame: Size): Size {
  const fit = fitted(picture, frame);
  return { width: frame.width / (scale * fit.width), height: frame.height / (scale * fit.height) };
}

const held = (middle: number, span: number): number => (span >= 1 ? 0.5 : Math.min(Math.max(middle, span / 2), 1 - span / 2));

/** The nearest view that there may be: from 1 to 8 times, and the picture stays in its frame. */
export function bounded(view: View, picture: Size, frame: Size): View {
  const scale = Math.min(Math.max(view.scale, 1), closest);
  const span = spans(scale, picture, frame);
  return { scale, x: held(view.x, span.width), y: held(view.y, span.height) };
}

/** So many times as close; what lies at `at`, in pixels from the middle of the frame, stays there while it can. */
export function zoomed(view: View, times: number, at: Point, picture: Size, frame: Size): View {
  const fit = fitted(picture, frame);
  const scale = Math.min(Math.max(view.scale * times, 1), closest);
  const nearer = 1 / view.scale - 1 / scale;
  return bounded({ scale, x: view.x + (at.x / fit.width) * nearer, y: view.y + (at.y / fit.height) * nearer }, picture, frame);
}

/** The picture is drawn so many pixels further. */
export function moved(view: View, by: Point, picture: Size, frame: Size): View {
  const fit = fitted(picture, frame);
  return bounded({ scale: view.scale, x: view.x - by.x / (view.scale * fit.width), y: view.y - by.y / (view.scale * fit.height) }, picture, frame);
}

/** How far the enlarged picture's middle is off the middle of the frame, pixels. */
export function shift(view: View, picture: Size, frame: Size): Point {
  const fit = fitted(picture, frame);
  return { x: (0.5 - view.x) * view.scale * fit.width, y: (0.5 - view.y) * view.scale * fit.height };
}

/** What is seen of the picture, in whole pixels of its own. */
export function seen(view: View, picture: Size, frame: Size): Part {
  const span = spans(view.scale, picture, frame);
  const [x, width] = along(view.x, span.width, picture.width);
  const [y, height] = along(view.y, span.height, picture.height);
  return { x, y, width, height };
}

/** The first pixel that is seen and how many are, of `length` in a row. */
function along(middle: number, span: number, length: number): [number, number] {
  const half = Math.min(span, 1) / 2;
  const odd = 1e-6; // what arithmetic alone adds makes no further pixel
  const from = Math.max(0, Math.floor((middle - half) * length + odd));
  return [from, Math.min(length, Math.ceil((middle + half) * length - odd)) - from];
}
