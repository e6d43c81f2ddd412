// Which of the loaded data a change of the cloud makes old.
import type { QueryKey } from "@tanstack/react-query";

/** One message of the stream. */
export interface Change {
  kind: string;
  site?: string;
  camera?: string;
  id?: string;
}

/** The keys of what a change makes old. */
export function touched(change: Change): QueryKey[] {
  switch (change.kind) {
    case "site":
      return [["sites"], ...(change.site ? [["site", change.site], ["cameras", change.site], ["story", change.site]] : [["site"]]), ["walls"], ["wall"]];
    case "camera":
      return [["sites"], ...(change.camera ? [["camera", change.camera]] : []), ...(change.site ? [["site", change.site], ["cameras", change.site], ["holds", change.site]] : []), ["walls"], ["wall"]];
    case "coverage":
      return [change.camera ? ["coverage", change.camera] : ["coverage"]];
    case "event":
      return [["events"]];
    case "clip":
      return [["clips"], ...(change.id ? [["clip", change.id]] : []), ...(change.camera ? [["coverage", change.camera]] : []), ["coverages"]];
    case "wall":
      return [["walls"], ...(change.id ? [["wall", change.id]] : [])];
    case "turn":
    case "ptz":
    case "talk":
      return [change.camera ? [change.kind, change.camera] : [change.kind]];
    case "people":
      return [["people"], ["me"]];
    case "incident":
      return [["incidents"], ["sites"], ...(change.site ? [["site", change.site], ["story", change.site]] : [])];
    default:
      return [];
  }
}
