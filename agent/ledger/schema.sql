-- The ledger of one agent: what was recorded at the site, what was not and why, what happened, and what the
-- cloud has not yet been told. This file is the reference: it makes a new ledger, and upgrade.go brings an
-- older one to the same shape. PRAGMA user_version holds the version, PRAGMA application_id says whose file
-- it is ("Hold" in ASCII).
--
-- Columns named ..._us are int64 microseconds: since 1970 on the wall clock as the run saw it, except
-- mono_us and last_mono_us, which count from the run's own zero. A bool is 0 or 1.

-- Facts about the file itself: "epoch" (random; a copy that went its own way gets a new one), "created_us",
-- and what other parts of the agent keep here by name.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A run is the time between a start of the agent (or a step of its clock) and its end. ended_by is empty
-- while it lasts. (queue, seq) is the outbox row that told of its beginning.
CREATE TABLE run (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    boot_id      TEXT    NOT NULL,           -- of the host's start: another one means that the host was off
    wall_us      INTEGER NOT NULL,           -- wall time of the run's zero
    last_mono_us INTEGER NOT NULL DEFAULT 0, -- newest flush round, or the end
    ended_by     TEXT    NOT NULL DEFAULT '',-- a reason of the closed list
    version      TEXT    NOT NULL,           -- of the agent
    queue        INTEGER NOT NULL DEFAULT 0,
    seq          INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX run_lasting ON run (id) WHERE ended_by = '';

-- Streams of cameras by a small number, with what would be slow to add up.
CREATE TABLE stream (
    id         INTEGER PRIMARY KEY,
    camera     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,            -- main or sub
    bytes      INTEGER NOT NULL DEFAULT 0,  -- sum over its closed segments
    durable_us INTEGER NOT NULL DEFAULT 0,  -- end of the segment closed last
    UNIQUE (camera, kind)
) STRICT;

-- Closed segments: one media file each. AUTOINCREMENT keeps the highest ID ever used, so that none returns.
-- (queue, seq) is the outbox row that told the cloud of it: what takes it back must not overtake that row. A seq
-- below 1 is that of a row which was acked and removed before its queue was numbered anew.
CREATE TABLE segment (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    volume    TEXT    NOT NULL,
    stream    INTEGER NOT NULL REFERENCES stream (id),
    run       INTEGER NOT NULL,
    mono_us   INTEGER NOT NULL,   -- start on the run's timeline
    start_us  INTEGER NOT NULL,
    end_us    INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    parts     INTEGER NOT NULL,
    root      BLOB    NOT NULL,   -- Merkle root over the parts, 32 bytes
    recovered INTEGER NOT NULL,   -- closed at a start after a crash
    origin    TEXT    NOT NULL,   -- empty: recorded by the agent; else where it was fetched from
    queue     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    CHECK (end_us > start_us)
) STRICT;
CREATE INDEX segment_start ON segment (stream, start_us);
-- In the order in which a volume's segments were told: retention takes those first that the cloud knows of.
CREATE INDEX segment_told ON segment (volume, queue, seq);
-- The few that are longer than ten minutes: with them apart, a lookup by time need not look back further.
CREATE INDEX segment_long ON segment (stream) WHERE end_us - start_us > 600000000;

-- Volumes, with what would be slow to add up.
CREATE TABLE volume (
    id    TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL   -- sum over its closed segments
) STRICT, WITHOUT ROWID;

-- Segments being written: the file exists, and everything before durable_us survives a power cut.
CREATE TABLE open_segment (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    volume     TEXT    NOT NULL,
    stream     INTEGER NOT NULL REFERENCES stream (id),
    run        INTEGER NOT NULL,
    mono_us    INTEGER NOT NULL,
    start_us   INTEGER NOT NULL,
    durable_us INTEGER NOT NULL,            -- equal to start_us before the first flush
    bytes      INTEGER NOT NULL DEFAULT 0   -- of the durable part
) STRICT;
CREATE INDEX open_segment_stream ON open_segment (stream);

-- Coverage, merged: abutting segments (within 1 ms) of one stream, run and origin are one row until it is
-- six hours long. Derived from segment alone. Rows of different runs may overlap after a backward step of
-- the clock; readers take the union.
CREATE TABLE span (
    id       INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL REFERENCES stream (id),
    run      INTEGER NOT NULL,
    origin   TEXT    NOT NULL,
    start_us INTEGER NOT NULL,
    end_us   INTEGER NOT NULL,
    CHECK (end_us > start_us)
) STRICT;
CREATE INDEX span_start ON span (stream, start_us);
CREATE INDEX span_long ON span (stream) WHERE end_us - start_us > 21600000000;

-- Ranges of a stream without video, each with its reason. end_us 0: it lasts.
CREATE TABLE gap (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    stream   INTEGER NOT NULL REFERENCES stream (id),
    run      INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    end_us   INTEGER NOT NULL DEFAULT 0,
    reason   TEXT    NOT NULL,
    detail   TEXT    NOT NULL DEFAULT '',
    queue    INTEGER NOT NULL DEFAULT 0,    -- the outbox row that told of its beginning
    seq      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX gap_start ON gap (stream, start_us);
CREATE INDEX gap_open ON gap (stream) WHERE end_us = 0;
CREATE INDEX gap_long ON gap (stream) WHERE end_us - start_us > 21600000000;

-- What was recorded and has been deleted since, with the reason that the cloud was told. What is deleted in one go
-- is one row until it is six hours long.
CREATE TABLE gone (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    stream   INTEGER NOT NULL REFERENCES stream (id),
    start_us INTEGER NOT NULL,
    end_us   INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    CHECK (end_us > start_us AND end_us - start_us <= 21600000000)
) STRICT;
CREATE INDEX gone_start ON gone (stream, start_us);

-- Files whose rows are gone and whose names may still be on disk: deleted files leave in the order
-- row, garbage row, unlink, fsync of the folder, garbage row dropped.
CREATE TABLE garbage (
    id     INTEGER PRIMARY KEY,   -- the segment's
    volume TEXT NOT NULL
) STRICT;

-- What happened at the site, as it was told to the cloud.
CREATE TABLE event (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    id     TEXT    NOT NULL UNIQUE,
    camera TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    source TEXT    NOT NULL,
    at_us  INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    text   TEXT    NOT NULL,
    data   TEXT    NOT NULL       -- JSON, or empty
) STRICT;
CREATE INDEX event_at ON event (at_us);

-- Clips that the cloud has asked for and does not have yet.
CREATE TABLE clip (
    id     TEXT PRIMARY KEY,
    state  TEXT    NOT NULL,
    wish   TEXT    NOT NULL,            -- JSON of the order
    file   TEXT    NOT NULL DEFAULT '', -- of the cut clip
    bytes  INTEGER NOT NULL DEFAULT 0,
    sent   INTEGER NOT NULL DEFAULT 0,
    sha256 BLOB,
    fact   TEXT    NOT NULL DEFAULT ''  -- JSON of what was last reported, or would be
) STRICT, WITHOUT ROWID;

-- Changes of named conditions of health; the newest row of a name, camera and kind is its present state.
CREATE TABLE condition (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT    NOT NULL,
    camera   TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    since_us INTEGER NOT NULL
) STRICT;
CREATE INDEX condition_key ON condition (name, camera, kind, seq);

-- Times without a session with the cloud, as the agent saw them.
CREATE TABLE outage (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    start_us INTEGER NOT NULL,
    end_us   INTEGER NOT NULL,
    text     TEXT    NOT NULL,
    UNIQUE (start_us, end_us)
) STRICT;

-- Facts on their way to the cloud, written in the transaction of what they tell. seq rises by one without a
-- hole inside a queue. A row is acked when queue.acked has reached its seq, and removed a day later.
CREATE TABLE outbox (
    queue    INTEGER NOT NULL REFERENCES queue (id),
    seq      INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    body     TEXT    NOT NULL,    -- JSON
    added_us INTEGER NOT NULL,
    PRIMARY KEY (queue, seq)
) STRICT, WITHOUT ROWID;

-- Queues: 0 is the urgent one, the highest is the live one, those between are backlog.
CREATE TABLE queue (
    id    INTEGER PRIMARY KEY,
    last  INTEGER NOT NULL DEFAULT 0,  -- highest seq given
    sent  INTEGER NOT NULL DEFAULT 0,  -- none above has ever left the site; written before the first one does, so
                                       -- that a copy of this file can tell its own facts from its twin's
    acked INTEGER NOT NULL DEFAULT 0,  -- the cloud has everything up to here
    CHECK (acked <= sent AND sent <= last)
) STRICT;
INSERT INTO queue (id) VALUES (0), (1);

-- When the cloud acked: everything in a queue up to seq, at the latest at at_us.
CREATE TABLE ack (
    queue INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    PRIMARY KEY (queue, seq)
) STRICT, WITHOUT ROWID;
