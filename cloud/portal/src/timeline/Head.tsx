import { type HTMLAttributes, useEffect, useRef } from "react";

import { type View, xOf } from "./scale";

interface HeadProps extends HTMLAttributes<HTMLDivElement> {
  /** The moment that it stands at, asked for every picture of the screen. */
  us: () => number;
  view: View;
  width: number;
}

/** A playhead on a band so wide: it moves by its own clock, past React. */
export function Head({ us, view, width, ...rest }: HeadProps) {
  const head = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let frame = 0;
    const place = () => {
      const x = xOf(us(), view, width);
      if (head.current) {
        head.current.style.translate = `${x}px 0`;
        head.current.hidden = x < -1 || x > width + 1;
      }
      frame = requestAnimationFrame(place);
    };
    place();
    return () => cancelAnimationFrame(frame);
  }, [us, view, width]);
  return <div ref={head} {...rest} />;
}
