-- +goose Up
-- Holds: ranges of video that nothing at a site may delete, by the wish of a person. They are part of the site's
-- desired configuration. Those that are made at the site itself are the site's, and not here.
-- Times are microseconds since 1970 by the site's clock (start, end) or the cloud's (until, created, released).

CREATE TABLE hold (
    id          TEXT PRIMARY KEY,
    org         TEXT NOT NULL,
    site        TEXT NOT NULL,
    camera      TEXT NOT NULL,
    start_us    INTEGER NOT NULL,            -- [start_us, end_us)
    end_us      INTEGER NOT NULL,
    until_us    INTEGER NOT NULL,            -- when it ends by itself; 0: when somebody releases it
    name        TEXT NOT NULL,             -- what it is for
    agreed      INTEGER NOT NULL CHECK (agreed IN (0, 1)), -- somebody agrees to hold more than half of a disk
    person      TEXT NOT NULL,             -- who made it
    person_name TEXT NOT NULL,             -- as it was then
    created_us  INTEGER NOT NULL,
    released_us INTEGER NOT NULL DEFAULT 0   -- 0: it is in force; the row stays, so that the past can be read
) STRICT;
CREATE INDEX hold_site ON hold (site, released_us);
CREATE INDEX hold_camera ON hold (camera, start_us);

ALTER TABLE camera ADD COLUMN share_pct INTEGER NOT NULL DEFAULT 0; -- wish: at most so many hundredths of the site's disks

-- +goose Down
ALTER TABLE camera DROP COLUMN share_pct;
DROP TABLE hold;
