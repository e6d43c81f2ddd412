-- +goose Up
-- Organisations and what belongs to them: regions, sites, cameras, people, portal sessions, links, the audit.
-- Every row of a tenant names its organisation in "org", and every query filters by it. IDs are those of
-- shared/id; times are microseconds since 1970; 0 in deleted_us, used_us and the like means "not (yet)".

-- A tenant. It is made by the first start's setup page.
CREATE TABLE org (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

-- A group of sites, for people who manage many.
CREATE TABLE region (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL REFERENCES org (id),
    name       TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    UNIQUE (org, name)
) STRICT;

-- One branch. A removed site stays as a row, so that what refers to it keeps its name.
CREATE TABLE site (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL REFERENCES org (id),
    region     TEXT REFERENCES region (id) ON DELETE SET NULL,
    name       TEXT NOT NULL,
    timezone   TEXT NOT NULL,              -- IANA name, for showing times as the site's people see them
    address    TEXT NOT NULL DEFAULT '',   -- for people; never used to reach anything
    config     INTEGER NOT NULL DEFAULT 0, -- version of the desired configuration; rises with every change of it
    created_us INTEGER NOT NULL,
    deleted_us INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX site_name ON site (org, name) WHERE deleted_us = 0;
CREATE INDEX site_region ON site (region);

-- A camera belongs to its site and survives a change of agent or device. Its ID is minted at the site; the row
-- appears with the first hello that names it.
CREATE TABLE camera (
    id            TEXT PRIMARY KEY,
    org           TEXT NOT NULL REFERENCES org (id),
    site          TEXT NOT NULL REFERENCES site (id),
    name          TEXT NOT NULL DEFAULT '',   -- given in the portal; empty: as the site says
    site_name     TEXT NOT NULL,              -- as the site's configuration says
    channel       TEXT NOT NULL DEFAULT '',   -- the recorder's own word for it
    disabled      INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)), -- wish: do not record
    keep_days     INTEGER NOT NULL DEFAULT 0, -- wish: retention by age; 0: as the site says
    first_seen_us INTEGER NOT NULL,
    reported      INTEGER NOT NULL DEFAULT 1 CHECK (reported IN (0, 1)), -- named by the site's newest hello
    deleted_us    INTEGER NOT NULL DEFAULT 0  -- removed by a person while the site did not report it
) STRICT;
CREATE INDEX camera_site ON camera (site, deleted_us);
CREATE INDEX camera_org ON camera (org);

-- Somebody who signs in. One e-mail address is one account in the whole installation. A removed person stays
-- as a row, so that the audit keeps a name; the address is free again.
CREATE TABLE person (
    id           TEXT PRIMARY KEY,
    org          TEXT NOT NULL REFERENCES org (id),
    email        TEXT NOT NULL,               -- trimmed, lower case
    name         TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('owner', 'manager', 'viewer', 'support')),
    all_sites    INTEGER NOT NULL CHECK (all_sites IN (0, 1)), -- 1: every site, now and later; 0: those of person_site
    password     TEXT NOT NULL DEFAULT '',    -- argon2id as a PHC string; empty while invited
    created_us   INTEGER NOT NULL,
    last_seen_us INTEGER NOT NULL DEFAULT 0,
    deleted_us   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX person_email ON person (email) WHERE deleted_us = 0;
CREATE INDEX person_org ON person (org);

-- The sites of a person without all_sites.
CREATE TABLE person_site (
    org    TEXT NOT NULL REFERENCES org (id),
    person TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    site   TEXT NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    PRIMARY KEY (person, site)
) STRICT, WITHOUT ROWID;
CREATE INDEX person_site_site ON person_site (site);

-- A signed-in browser. The row goes with the rights: a change of role, sites or password and a removal delete it.
CREATE TABLE portal_session (
    token_hash BLOB PRIMARY KEY,   -- SHA-256 of the cookie's token; the token itself is kept nowhere
    id         TEXT NOT NULL UNIQUE,
    org        TEXT NOT NULL REFERENCES org (id),
    person     TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    created_us INTEGER NOT NULL,
    seen_us    INTEGER NOT NULL,   -- last use, moved at most once a minute
    expires_us INTEGER NOT NULL,   -- the end, used or not
    ip         TEXT NOT NULL
) STRICT;
CREATE INDEX portal_session_person ON portal_session (person);

-- A one-time link: an invitation or a reset of a password.
CREATE TABLE link (
    token_hash BLOB PRIMARY KEY,   -- SHA-256 of the link's token
    org        TEXT NOT NULL REFERENCES org (id),
    person     TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    purpose    TEXT NOT NULL CHECK (purpose IN ('invite', 'reset')),
    made_by    TEXT NOT NULL REFERENCES person (id),
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    used_us    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX link_person ON link (person);

-- Failed sign-ins by key: the account, the address, or both. Keys are SHA-256 sums in hex, so that a copy of
-- the table names nobody. Not a tenant's table: it is read before the tenant is known.
CREATE TABLE login_failure (
    key       TEXT PRIMARY KEY,
    failures  INTEGER NOT NULL,
    until_us  INTEGER NOT NULL     -- the count is forgotten then
) STRICT;

-- Who did what: append-only, one chain per organisation. hash = SHA-256 over prev and all other columns.
CREATE TABLE audit (
    org         TEXT NOT NULL REFERENCES org (id),
    seq         INTEGER NOT NULL,  -- from 1 without a hole
    at_us       INTEGER NOT NULL,
    person      TEXT NOT NULL,     -- empty: nobody was signed in
    person_name TEXT NOT NULL,     -- as it was then
    action      TEXT NOT NULL,
    target      TEXT NOT NULL,     -- ID of what was seen or changed
    site        TEXT NOT NULL,     -- the site of it, or empty
    detail      TEXT NOT NULL,     -- for a person
    ip          TEXT NOT NULL,
    prev        BLOB NOT NULL,     -- hash of the row before; 32 zero bytes for the first
    hash        BLOB NOT NULL,
    PRIMARY KEY (org, seq)
) STRICT;
CREATE INDEX audit_person ON audit (org, person, seq);

-- The newest row of each chain, so that rows missing from its end are noticed too.
CREATE TABLE audit_head (
    org  TEXT PRIMARY KEY REFERENCES org (id),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE (ABORT, 'the audit is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE (ABORT, 'the audit is append-only');
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE audit_head;
DROP TABLE audit;
DROP TABLE login_failure;
DROP TABLE link;
DROP TABLE portal_session;
DROP TABLE person_site;
DROP TABLE person;
DROP TABLE camera;
DROP TABLE site;
DROP TABLE region;
DROP TABLE org;
