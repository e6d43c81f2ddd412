-- +goose Up
-- What the sites report, and what Holdfast makes of it: facts (coverage, gaps, events, runs, conditions, outages),
-- the marks that make each fact count once, the last known state of a site, incidents, and who is told of them.
-- Every row names its organisation in "org", and every query filters by it. Times are microseconds since 1970 by
-- the clock of whoever speaks: the site's in facts, the cloud's in moved_us, seen_us, incidents and deliveries.
-- 9223372036854775807 as an end means "lasts", so that an index on the end finds what lasts too.
-- Facts carry no foreign key: ingest checks camera and site in the same transaction, once a batch.

-- How far a queue of facts has been applied. It moves in the transaction of the facts that it counts.
CREATE TABLE mark (
    org      TEXT NOT NULL,
    site     TEXT NOT NULL,
    agent    TEXT NOT NULL,
    epoch    TEXT NOT NULL,     -- of the agent's ledger
    queue    BIGINT NOT NULL,
    seq      BIGINT NOT NULL,  -- every fact up to here is applied or parked; 0: none yet
    moved_us BIGINT NOT NULL,
    PRIMARY KEY (agent, epoch, queue)
);

-- Facts that could not be applied, kept aside so that the queue behind them goes on.
CREATE TABLE parked (
    org    TEXT NOT NULL,
    site   TEXT NOT NULL,
    agent  TEXT NOT NULL,
    epoch  TEXT NOT NULL,
    queue  BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    kind   TEXT NOT NULL,
    body   BYTEA NOT NULL,       -- as it came: it may be anything
    reason TEXT NOT NULL,       -- for a person
    at_us  BIGINT NOT NULL,
    PRIMARY KEY (agent, epoch, queue, seq)
);
CREATE INDEX parked_site ON parked (site, at_us);

-- Where the video of a stream lies or lay at the site: disjoint ranges, in which neighbours less than 1 ms apart
-- and of one nature are one row.
CREATE TABLE span (
    org      TEXT NOT NULL,
    camera   TEXT NOT NULL,
    stream   TEXT NOT NULL,            -- main or sub
    start_us BIGINT NOT NULL,
    end_us   BIGINT NOT NULL,
    origin   TEXT NOT NULL DEFAULT '', -- empty: recorded by the agent; else the source it was filled from
    gone     TEXT NOT NULL DEFAULT '', -- empty: it is there; else why it is gone: expired, deleted_by_person, lost
    PRIMARY KEY (camera, stream, start_us)
);

-- Declared time without video. The row of the newest (queue, seq) stands.
CREATE TABLE gap (
    org      TEXT NOT NULL,
    camera   TEXT NOT NULL,
    stream   TEXT NOT NULL,
    agent    TEXT NOT NULL,
    epoch    TEXT NOT NULL,
    id       BIGINT NOT NULL,  -- the ledger's
    run      BIGINT NOT NULL,
    start_us BIGINT NOT NULL,
    end_us   BIGINT NOT NULL,  -- the same as start_us: the gap is no more
    reason   TEXT NOT NULL,     -- one of the closed list
    detail   TEXT NOT NULL,     -- for a person
    queue    BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    PRIMARY KEY (agent, epoch, id)
);
CREATE INDEX gap_stream ON gap (camera, stream, end_us);

-- Things that happened. The key names the site, so that no site can touch another's event by its ID.
CREATE TABLE event (
    org    TEXT NOT NULL,
    site   TEXT NOT NULL,
    id     TEXT NOT NULL,
    camera TEXT NOT NULL,       -- empty: of the site
    kind   TEXT NOT NULL,
    source TEXT NOT NULL,
    at_us  BIGINT NOT NULL,
    end_us BIGINT NOT NULL,    -- 0: has no length, or lasts
    text   TEXT NOT NULL,
    data   TEXT NOT NULL,       -- a JSON object, or empty
    PRIMARY KEY (site, id)
);
CREATE INDEX event_org ON event (org, at_us, id);
CREATE INDEX event_kind ON event (org, kind, at_us, id);
CREATE INDEX event_site ON event (site, at_us, id);
CREATE INDEX event_camera ON event (camera, at_us, id) WHERE camera <> '';

-- Runs of the agents. The row of the newest (queue, seq) stands.
CREATE TABLE run (
    org         TEXT NOT NULL,
    site        TEXT NOT NULL,
    agent       TEXT NOT NULL,
    epoch       TEXT NOT NULL,
    run         BIGINT NOT NULL,
    boot_id     TEXT NOT NULL,
    wall_us     BIGINT NOT NULL,  -- wall time of the run's zero
    end_mono_us BIGINT NOT NULL,  -- on the run's own timeline; 0 while it lasts
    ended_by    TEXT NOT NULL,     -- empty while it lasts
    version     TEXT NOT NULL,     -- of the agent
    queue       BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    PRIMARY KEY (agent, epoch, run)
);
CREATE INDEX run_site ON run (site, wall_us);

-- The history of conditions: one row for each time between two changes; the newest one lasts.
CREATE TABLE condition (
    org      TEXT NOT NULL,
    site     TEXT NOT NULL,
    name     TEXT NOT NULL,     -- disk, ledger, clock, camera, stream, uplink, ...
    camera   TEXT NOT NULL,     -- empty: of the site
    stream   TEXT NOT NULL,     -- main, sub or empty
    since_us BIGINT NOT NULL,
    end_us   BIGINT NOT NULL,
    state    TEXT NOT NULL,     -- ok, failing, unknown
    reason   TEXT NOT NULL,
    text     TEXT NOT NULL,     -- for a person
    PRIMARY KEY (site, name, camera, stream, since_us)
);
CREATE INDEX condition_end ON condition (site, end_us);

-- Times without a session, as the agent saw them.
CREATE TABLE outage (
    org      TEXT NOT NULL,
    site     TEXT NOT NULL,
    agent    TEXT NOT NULL,
    start_us BIGINT NOT NULL,
    end_us   BIGINT NOT NULL,
    text     TEXT NOT NULL,     -- the last error while dialling
    PRIMARY KEY (site, agent, start_us)
);
CREATE INDEX outage_end ON outage (site, end_us);

-- When a site was last heard of and what changes with every heartbeat; written at most once a minute.
CREATE TABLE site_state (
    site    TEXT PRIMARY KEY REFERENCES site (id),
    org     TEXT NOT NULL,
    agent   TEXT NOT NULL,
    seen_us BIGINT NOT NULL,
    body    TEXT NOT NULL       -- JSON of package fleet
);

-- What a site last said of itself in full; written when it changes and at the end of a session.
CREATE TABLE site_report (
    site  TEXT PRIMARY KEY REFERENCES site (id),
    org   TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    body  TEXT NOT NULL         -- JSON of package fleet
);

-- One problem as people see it. It settles when the site has been back for a while; until then a new silence
-- belongs to it.
CREATE TABLE incident (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL,
    site       TEXT NOT NULL REFERENCES site (id),
    kind       TEXT NOT NULL CHECK (kind IN ('dark')),
    start_us   BIGINT NOT NULL, -- when the site was last heard of
    said_us    BIGINT NOT NULL, -- when Holdfast said so
    end_us     BIGINT NOT NULL, -- when it was heard of again; 0 while it is silent
    settled_us BIGINT NOT NULL, -- 0 until the incident is closed
    silences   BIGINT NOT NULL, -- how many times it was silent, from 1
    cause      TEXT NOT NULL,
    outcome    TEXT NOT NULL,    -- what the agent did meanwhile: up, restarted, rebooted; empty while unknown
    text       TEXT NOT NULL,    -- for a person
    report     TEXT NOT NULL     -- JSON: sentences, what the site said last
);
CREATE INDEX incident_org ON incident (org, start_us, id);
CREATE INDEX incident_site ON incident (site, start_us, id);
CREATE INDEX incident_open ON incident (site) WHERE settled_us = 0;

-- Who is told of incidents.
CREATE TABLE alert_target (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL REFERENCES org (id),
    kind       TEXT NOT NULL CHECK (kind IN ('email', 'webhook')),
    address    TEXT NOT NULL,    -- e-mail address or URL
    secret     TEXT NOT NULL,    -- key of a webhook's signature; needed in clear to sign
    created_us BIGINT NOT NULL,
    UNIQUE (org, kind, address)
);

-- One row for each incident, target and phase, made in the incident's transaction; "accepted" is final.
CREATE TABLE delivery (
    org        TEXT NOT NULL,
    incident   TEXT NOT NULL REFERENCES incident (id),
    target     TEXT NOT NULL REFERENCES alert_target (id) ON DELETE CASCADE,
    phase      TEXT NOT NULL CHECK (phase IN ('dark', 'back')),
    state      TEXT NOT NULL CHECK (state IN ('pending', 'accepted', 'superseded', 'failed')),
    tries      BIGINT NOT NULL,
    due_us     BIGINT NOT NULL, -- not before
    created_us BIGINT NOT NULL,
    changed_us BIGINT NOT NULL,
    error      TEXT NOT NULL,    -- of the last try, for a person
    PRIMARY KEY (incident, target, phase)
);
CREATE INDEX delivery_target ON delivery (target, created_us);
CREATE INDEX delivery_due ON delivery (due_us) WHERE state = 'pending';

-- +goose Down
DROP TABLE delivery;
DROP TABLE alert_target;
DROP TABLE incident;
DROP TABLE site_report;
DROP TABLE site_state;
DROP TABLE outage;
DROP TABLE condition;
DROP TABLE run;
DROP TABLE event;
DROP TABLE gap;
DROP TABLE span;
DROP TABLE parked;
DROP TABLE mark;
