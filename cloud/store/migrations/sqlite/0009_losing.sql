-- +goose Up
-- A second kind of incident: "losing", a site that says that retention will take chosen clips before the line can carry
-- them. Its start_us is since when the site says so, its end_us when it said so no more, its outcome "kept" or "lost".
-- It is told in the phases "losing" and "over". SQLite changes no check: both tables are made anew, as they were but for
-- that, with every row.
DROP INDEX incident_org;
DROP INDEX incident_site;
DROP INDEX incident_open;
DROP INDEX delivery_target;
DROP INDEX delivery_due;
ALTER TABLE delivery RENAME TO delivery_old;
ALTER TABLE incident RENAME TO incident_old;

CREATE TABLE incident (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL,
    site       TEXT NOT NULL REFERENCES site (id),
    kind       TEXT NOT NULL CHECK (kind IN ('dark', 'losing')),
    start_us   INTEGER NOT NULL,
    said_us    INTEGER NOT NULL,
    end_us     INTEGER NOT NULL,
    settled_us INTEGER NOT NULL,
    silences   INTEGER NOT NULL,
    cause      TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    text       TEXT NOT NULL,
    report     TEXT NOT NULL
) STRICT;
CREATE TABLE delivery (
    org        TEXT NOT NULL,
    incident   TEXT NOT NULL REFERENCES incident (id),
    target     TEXT NOT NULL REFERENCES alert_target (id) ON DELETE CASCADE,
    phase      TEXT NOT NULL CHECK (phase IN ('dark', 'back', 'losing', 'over')),
    state      TEXT NOT NULL CHECK (state IN ('pending', 'accepted', 'superseded', 'failed')),
    tries      INTEGER NOT NULL,
    due_us     INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL,
    error      TEXT NOT NULL,
    PRIMARY KEY (incident, target, phase)
) STRICT, WITHOUT ROWID;
INSERT INTO incident (id, org, site, kind, start_us, said_us, end_us, settled_us, silences, cause, outcome, text, report)
SELECT id, org, site, kind, start_us, said_us, end_us, settled_us, silences, cause, outcome, text, report FROM incident_old;
INSERT INTO delivery (org, incident, target, phase, state, tries, due_us, created_us, changed_us, error)
SELECT org, incident, target, phase, state, tries, due_us, created_us, changed_us, error FROM delivery_old;
DROP TABLE delivery_old;
DROP TABLE incident_old;
CREATE INDEX incident_org ON incident (org, start_us, id);
CREATE INDEX incident_site ON incident (site, start_us, id);
CREATE INDEX incident_open ON incident (site) WHERE settled_us = 0;
CREATE INDEX delivery_target ON delivery (target, created_us);
CREATE INDEX delivery_due ON delivery (due_us) WHERE state = 'pending';

-- +goose Down
DELETE FROM delivery WHERE phase IN ('losing', 'over');
DELETE FROM incident WHERE kind = 'losing';
DROP INDEX incident_org;
DROP INDEX incident_site;
DROP INDEX incident_open;
DROP INDEX delivery_target;
DROP INDEX delivery_due;
ALTER TABLE delivery RENAME TO delivery_old;
ALTER TABLE incident RENAME TO incident_old;

CREATE TABLE incident (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL,
    site       TEXT NOT NULL REFERENCES site (id),
    kind       TEXT NOT NULL CHECK (kind IN ('dark')),
    start_us   INTEGER NOT NULL,
    said_us    INTEGER NOT NULL,
    end_us     INTEGER NOT NULL,
    settled_us INTEGER NOT NULL,
    silences   INTEGER NOT NULL,
    cause      TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    text       TEXT NOT NULL,
    report     TEXT NOT NULL
) STRICT;
CREATE TABLE delivery (
    org        TEXT NOT NULL,
    incident   TEXT NOT NULL REFERENCES incident (id),
    target     TEXT NOT NULL REFERENCES alert_target (id) ON DELETE CASCADE,
    phase      TEXT NOT NULL CHECK (phase IN ('dark', 'back')),
    state      TEXT NOT NULL CHECK (state IN ('pending', 'accepted', 'superseded', 'failed')),
    tries      INTEGER NOT NULL,
    due_us     INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL,
    error      TEXT NOT NULL,
    PRIMARY KEY (incident, target, phase)
) STRICT, WITHOUT ROWID;
INSERT INTO incident (id, org, site, kind, start_us, said_us, end_us, settled_us, silences, cause, outcome, text, report)
SELECT id, org, site, kind, start_us, said_us, end_us, settled_us, silences, cause, outcome, text, report FROM incident_old;
INSERT INTO delivery (org, incident, target, phase, state, tries, due_us, created_us, changed_us, error)
SELECT org, incident, target, phase, state, tries, due_us, created_us, changed_us, error FROM delivery_old;
DROP TABLE delivery_old;
DROP TABLE incident_old;
CREATE INDEX incident_org ON incident (org, start_us, id);
CREATE INDEX incident_site ON incident (site, start_us, id);
CREATE INDEX incident_open ON incident (site) WHERE settled_us = 0;
CREATE INDEX delivery_target ON delivery (target, created_us);
CREATE INDEX delivery_due ON delivery (due_us) WHERE state = 'pending';
