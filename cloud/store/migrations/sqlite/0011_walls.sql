-- +goose Up
-- Walls: pages of cameras of any sites that a person put together to look at. A wall belongs to who made it; one that is
-- shared is seen by everybody in the organisation who may watch, each with the cameras of their own sites.
-- Times are microseconds since 1970.

CREATE TABLE wall (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL REFERENCES org (id),
    owner      TEXT NOT NULL REFERENCES person (id),
    name       TEXT NOT NULL,
    shared     INTEGER NOT NULL CHECK (shared IN (0, 1)),
    layout     TEXT NOT NULL,              -- how many tiles stand on a page, and how: see cloud/store/walls
    cycle_s    INTEGER NOT NULL,           -- how long each page is shown before the next one; 0: until somebody turns it
    version    INTEGER NOT NULL DEFAULT 1, -- rises with every change, so that nobody overwrites what they have not seen
    created_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL
) STRICT;
CREATE INDEX wall_owner ON wall (owner);
CREATE INDEX wall_org ON wall (org, name);

-- What stands in which place of a wall; places without a row are empty. A camera that is removed stays here, because it
-- comes back when its site names it again.
CREATE TABLE wall_tile (
    org    TEXT NOT NULL REFERENCES org (id),
    wall   TEXT NOT NULL REFERENCES wall (id) ON DELETE CASCADE,
    place  INTEGER NOT NULL,               -- from 0, page after page
    camera TEXT NOT NULL REFERENCES camera (id),
    PRIMARY KEY (wall, place)
) STRICT;

-- +goose Down
DROP TABLE wall_tile;
DROP TABLE wall;
