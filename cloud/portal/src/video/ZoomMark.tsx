import { X } from "lucide-react";
import { type RefObject, useEffect, useState } from "react";

import { text } from "../text";
import { IconButton } from "../ui/button";
import { type Habits, Zoom } from "./zoomGestures";

/** Lets the video in a frame be looked at closely, as long as `on`. Renders again only when it becomes close, or whole. */
export function useZoom(frame: RefObject<HTMLElement | null>, on: boolean, habits: Habits): { zoom: Zoom | undefined; close: boolean } {
  const [zoom, setZoom] = useState<Zoom>();
  const [close, setClose] = useState(false);
  useEffect(() => {
    if (!on || !frame.current) return;
    const made = new Zoom(frame.current, habits, setClose);
    setZoom(made);
    return () => {
      made.close();
      setZoom(undefined);
    };
  }, [frame, on, habits]);
  return { zoom, close };
}

/** How close the picture is, and the way back. */
export function ZoomMark({ zoom }: { zoom: Zoom }) {
  return (
    <span className="zoom-mark" data-testid="zoom-mark">
      <span className="num" ref={zoom.labelled} data-testid="zoom-scale" />
      <IconButton small look="stage" label={text.live.zoomOut} keys="0" onPress={() => zoom.reset()} data-testid="zoom-reset"><X size={14} aria-hidden /></IconButton>
    </span>
  );
}
