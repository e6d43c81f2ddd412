import type { Site } from "../../api/types";
import { EventList } from "../EventList";

/** The events of one site. */
export function SiteEvents({ site }: { site: Site }) {
  return <EventList filter={{ site: site.id }} />;
}
