-- +goose Up
-- Agents: the codes that enrol them, their identities, and the sessions that are open now.

-- An enrolment code of a site. The code's secret is kept nowhere: "key" is derived from it and proves it. A
-- used code stays for a month, so that an agent whose last reply was lost gets the same identity again.
CREATE TABLE enrol_code (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL REFERENCES org (id),
    site       TEXT NOT NULL REFERENCES site (id),
    lookup     TEXT NOT NULL UNIQUE,       -- first four characters of the code: finds it, proves nothing
    key        BYTEA NOT NULL,             -- 32 bytes, HKDF-SHA-256 of the secret
    made_by    TEXT NOT NULL,              -- person; empty: made on the server's command line
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,            -- an hour later
    used_us    BIGINT NOT NULL DEFAULT 0,
    agent      TEXT NOT NULL DEFAULT ''    -- who used it
);
CREATE INDEX enrol_code_site ON enrol_code (site, created_us);

-- One enrolled installation of the agent. A revoked one stays as a row: what it signed can still be verified.
CREATE TABLE agent (
    id           TEXT PRIMARY KEY,
    org          TEXT NOT NULL REFERENCES org (id),
    site         TEXT NOT NULL REFERENCES site (id),
    code         TEXT NOT NULL,               -- enrol_code.id, which may be gone
    key          BYTEA NOT NULL,              -- Ed25519 public key: every request and frame is signed with it
    seal_key     BYTEA NOT NULL,              -- X25519 public key: passwords typed in the portal are sealed to it
    evidence_key BYTEA NOT NULL,              -- Ed25519 public key: segments are sealed with it
    host         TEXT NOT NULL,               -- name of the machine, as it said at enrolment
    os           TEXT NOT NULL,
    enrolled_us  BIGINT NOT NULL,
    last_seen_us BIGINT NOT NULL DEFAULT 0,   -- end of the last session; while one is open, see agent_session
    revoked_us   BIGINT NOT NULL DEFAULT 0,
    revoked_why  TEXT NOT NULL DEFAULT '' CHECK (revoked_why IN ('', 'person', 'replaced'))
);
CREATE UNIQUE INDEX agent_of_site ON agent (site) WHERE revoked_us = 0;
CREATE INDEX agent_org ON agent (org);

-- The one session of an agent, and which replica of the cloud holds it. A replica renews the lease of its
-- sessions; a row whose lease has ended belongs to nobody.
CREATE TABLE agent_session (
    agent     TEXT PRIMARY KEY REFERENCES agent (id),
    org       TEXT NOT NULL REFERENCES org (id),
    session   TEXT NOT NULL,
    replica   TEXT NOT NULL,
    opened_us BIGINT NOT NULL,
    lease_us  BIGINT NOT NULL
);
CREATE INDEX agent_session_replica ON agent_session (replica);

-- +goose Down
DROP TABLE agent_session;
DROP TABLE agent;
DROP TABLE enrol_code;
