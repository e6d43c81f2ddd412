// Who plays on a camera's stage: the site, by a video session, or the cloud, from its clips.
import type { VideoSession } from "./session";

/** What the stage, its controls and its page need of who plays there. */
export type Staged = Pick<
  VideoSession, "subscribe" | "snapshot" | "again" | "pause" | "resume" | "pace" | "turn" | "aloud" | "positionUs" | "moment" | "seek" | "scrub" | "step" | "shownForMs"
>;
