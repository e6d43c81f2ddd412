import type { LucideIcon } from "lucide-react";

import { words } from "../../api/errors";
import { useNow } from "../../lib/hooks";
import { ClipTile } from "../../video/ClipTile";
import type { Pictured } from "../../video/stage";
import type { Together } from "../../video/togetherTile";
import { useCopies } from "../../video/useCopies";

interface DarkTileProps {
  camera: { id: string; name: string; site: string };
  withheld: { icon: LucideIcon; words: string };
  together: Together & { zone: string };
  onPicture?: ((picture: Pictured) => () => void) | undefined;
}

/** A camera of a dark site on a wall that is played back: what the cloud has of it. */
export function DarkTile({ camera, withheld, together, onPicture }: DarkTileProps) {
  useNow(2000);
  const { copies, error } = useCopies(camera, together.conductor.momentUs(performance.now()) - together.offUs);
  return <ClipTile camera={camera} copies={copies} failed={copies || !error ? undefined : words(error)} withheld={withheld} together={together} onPicture={onPicture} />;
}
