-- +goose Up
-- Clips: chosen ranges of video that are kept in the cloud, and the rules that choose them by event.
-- Times are microseconds since 1970 by the site's clock (start, end, cut) or the cloud's (created, changed, deleted).

CREATE TABLE clip (
    id           TEXT PRIMARY KEY,
    org          TEXT NOT NULL,
    site         TEXT NOT NULL,
    camera       TEXT NOT NULL,
    stream       TEXT NOT NULL,              -- main or sub
    title        TEXT NOT NULL DEFAULT '',
    start_us     BIGINT NOT NULL,           -- what was wanted: [start_us, end_us)
    end_us       BIGINT NOT NULL,
    audio        BIGINT NOT NULL DEFAULT 1, -- 0: leave the sound out
    state        TEXT NOT NULL,              -- wanted, cutting, queued, uploading, stored, unavailable, lost
    reason       TEXT NOT NULL DEFAULT '',   -- for a person
    nearest_us   BIGINT NOT NULL DEFAULT 0, -- nearest recorded moment of an unavailable clip
    cut_start_us BIGINT NOT NULL DEFAULT 0, -- what was cut, which may be less
    cut_end_us   BIGINT NOT NULL DEFAULT 0,
    bytes        BIGINT NOT NULL DEFAULT 0,
    sent         BIGINT NOT NULL DEFAULT 0, -- bytes that have arrived
    codec        TEXT NOT NULL DEFAULT '',   -- RFC 6381
    gaps         TEXT NOT NULL DEFAULT '[]', -- JSON list of wire.GapFact: ranges inside the clip without video
    rule         TEXT NOT NULL DEFAULT '',   -- the rule that chose it
    event        TEXT NOT NULL DEFAULT '',   -- the event that it shows
    person       TEXT NOT NULL DEFAULT '',   -- the person who chose it
    upload       TEXT NOT NULL DEFAULT '',   -- handle of the upload under way in the clip store
    part_bytes   BIGINT NOT NULL DEFAULT 0, -- of every part but the last
    sha256       BYTEA,                       -- of the whole file, as the agent announced it
    parts        BYTEA,                       -- SHA-256 of each part, 32 bytes each
    created_us   BIGINT NOT NULL,
    changed_us   BIGINT NOT NULL,
    deleted_us   BIGINT NOT NULL DEFAULT 0  -- the row stays until object and upload are gone
);
CREATE INDEX clip_org ON clip (org, created_us);
CREATE INDEX clip_site ON clip (site, created_us);
CREATE INDEX clip_camera ON clip (camera, start_us);
-- Not a foreign key: one event chooses at most one clip by one rule, also when it is reported twice.
CREATE UNIQUE INDEX clip_event ON clip (event, rule) WHERE event <> '';
CREATE INDEX clip_open ON clip (state, site) WHERE state NOT IN ('stored', 'unavailable', 'lost');
CREATE INDEX clip_deleted ON clip (deleted_us) WHERE deleted_us > 0;

CREATE TABLE clip_rule (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL,
    name       TEXT NOT NULL,
    event_kind TEXT NOT NULL,
    site       TEXT NOT NULL DEFAULT '',  -- empty: every site
    camera     TEXT NOT NULL DEFAULT '',  -- empty: the camera of the event
    pre_s      BIGINT NOT NULL,          -- seconds before the event
    post_s     BIGINT NOT NULL,          -- seconds after it
    stream     TEXT NOT NULL,
    enabled    BIGINT NOT NULL,
    created_us BIGINT NOT NULL
);
CREATE INDEX clip_rule_org ON clip_rule (org, event_kind);

-- +goose Down
DROP TABLE clip_rule;
DROP TABLE clip;
