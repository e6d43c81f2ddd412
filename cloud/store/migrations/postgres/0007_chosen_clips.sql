-- +goose Up
-- Chosen clips: merged ranges and the events that they show, priority, keep-for, parts in pieces, what rules cost.

-- 1: before others, -1: after others.
ALTER TABLE clip ADD COLUMN priority BIGINT NOT NULL DEFAULT 0;
-- Days that it is kept, counted from its end or from the wish, whichever is later; 0: for ever; -1: as the
-- organisation says.
ALTER TABLE clip ADD COLUMN keep_days BIGINT NOT NULL DEFAULT -1;
-- When it is removed, worked out from keep_days; 0: never. A site that is deleted takes its clips along a month later.
ALTER TABLE clip ADD COLUMN expires_us BIGINT NOT NULL DEFAULT 0;
-- When the agent took the order as it is now; 0: it does not know it yet.
ALTER TABLE clip ADD COLUMN ordered_us BIGINT NOT NULL DEFAULT 0;
-- When its upload began and when it was stored: between them lies the speed of the site's line.
ALTER TABLE clip ADD COLUMN began_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clip ADD COLUMN stored_us BIGINT NOT NULL DEFAULT 0;
DROP INDEX clip_event;
CREATE INDEX clip_expires ON clip (expires_us) WHERE expires_us > 0 AND deleted_us = 0;

-- The events that a clip shows, each with the rule that chose it and the range that it wanted. An event whose range
-- lies partly in a clip that was cut already is shown by two.
CREATE TABLE clip_event (
    org      TEXT NOT NULL,
    site     TEXT NOT NULL,
    clip     TEXT NOT NULL,
    event    TEXT NOT NULL,
    rule     TEXT NOT NULL,
    kind     TEXT NOT NULL,
    text     TEXT NOT NULL,
    at_us    BIGINT NOT NULL,
    start_us BIGINT NOT NULL,
    end_us   BIGINT NOT NULL,
    PRIMARY KEY (clip, event, rule)
);
CREATE INDEX clip_event_event ON clip_event (event, rule);
INSERT INTO clip_event (org, site, clip, event, rule, kind, text, at_us, start_us, end_us)
SELECT c.org, c.site, c.id, c.event, c.rule, COALESCE(e.kind, ''), COALESCE(e.text, ''), COALESCE(e.at_us, c.start_us), c.start_us, c.end_us
FROM clip c LEFT JOIN event e ON e.site = c.site AND e.id = c.event WHERE c.event <> '';

-- Pieces of a part that is not whole yet, for lines that break before a part has passed. They go when the part is
-- stored, and with the clip.
CREATE TABLE clip_piece (
    org   TEXT NOT NULL,
    clip  TEXT NOT NULL,
    part  BIGINT NOT NULL,
    piece BIGINT NOT NULL,     -- from 1
    body  BYTEA NOT NULL,        -- at most 256 KiB
    at_us BIGINT NOT NULL,
    PRIMARY KEY (clip, part, piece)
);

-- 168 bits as 42 hexadecimal digits, six for each day from Monday, the lowest bit being the hour from 0:00 in the
-- site's time zone; empty: every hour.
ALTER TABLE clip_rule ADD COLUMN hours TEXT NOT NULL DEFAULT '';
ALTER TABLE clip_rule ADD COLUMN priority BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clip_rule ADD COLUMN keep_days BIGINT NOT NULL DEFAULT -1;

-- What an organisation says of its clips.
CREATE TABLE clip_setting (
    org          TEXT PRIMARY KEY REFERENCES org (id),
    keep_days    BIGINT NOT NULL,  -- of clips that say -1; 0: for ever
    price_micros BIGINT NOT NULL,  -- of a GB (10^9 bytes) for a month, in millionths of the currency
    currency     TEXT NOT NULL,     -- ISO 4217
    line_kbps    BIGINT NOT NULL   -- of a site whose line has not been measured; 0: not given
);

-- How much video a stream made on a day: the bitrate that it really has.
CREATE TABLE stream_day (
    org         TEXT NOT NULL,
    camera      TEXT NOT NULL,
    stream      TEXT NOT NULL,
    day         BIGINT NOT NULL,   -- since 1970, UTC
    bytes       BIGINT NOT NULL,
    recorded_us BIGINT NOT NULL,
    PRIMARY KEY (camera, stream, day)
);

-- The events of past days, packed: a rule's preview reads a month of them, and a million rows would take seconds. A
-- site's day is packed whole or not at all: the row without a kind says that it is, and an event that comes late removes
-- the rows of its day, which are then made again.
CREATE TABLE event_pack (
    org    TEXT NOT NULL,
    site   TEXT NOT NULL,
    kind   TEXT NOT NULL,
    day    BIGINT NOT NULL,   -- since 1970, UTC
    camera TEXT NOT NULL,       -- empty: of the site
    body   BYTEA NOT NULL,      -- for each event, by time: microseconds since the one before (at first: since the
                                -- day began), and how long it lasted; unsigned varints
    PRIMARY KEY (site, day, kind, camera)
);

-- +goose Down
DROP TABLE event_pack;
DROP TABLE stream_day;
DROP TABLE clip_setting;
DROP TABLE clip_piece;
DROP TABLE clip_event;
DROP INDEX clip_expires;
CREATE UNIQUE INDEX clip_event ON clip (event, rule) WHERE event <> '';
ALTER TABLE clip_rule DROP COLUMN keep_days;
ALTER TABLE clip_rule DROP COLUMN priority;
ALTER TABLE clip_rule DROP COLUMN hours;
ALTER TABLE clip DROP COLUMN stored_us;
ALTER TABLE clip DROP COLUMN began_us;
ALTER TABLE clip DROP COLUMN ordered_us;
ALTER TABLE clip DROP COLUMN expires_us;
ALTER TABLE clip DROP COLUMN keep_days;
ALTER TABLE clip DROP COLUMN priority;
