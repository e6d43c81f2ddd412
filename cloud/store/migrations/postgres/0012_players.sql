-- +goose Up
-- Players: programs outside the portal (a player, a control room's own page) that show live video with a token. A player
-- has no rights of its own: it may watch while who made it may watch and may make players. Times are microseconds since 1970.

CREATE TABLE player (
    id         TEXT PRIMARY KEY,
    token_hash BYTEA NOT NULL UNIQUE,       -- SHA-256 of the token; the token itself is kept nowhere
    org        TEXT NOT NULL REFERENCES org (id),
    site       TEXT NOT NULL REFERENCES site (id),
    camera     TEXT REFERENCES camera (id), -- the one camera that it shows; NULL: every camera of the site
    name       TEXT NOT NULL,
    made_by    TEXT NOT NULL REFERENCES person (id),
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    used_us    BIGINT NOT NULL DEFAULT 0,   -- last use, moved at most once a minute
    revoked_us BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX player_site ON player (site);
CREATE INDEX player_expires ON player (expires_us);

-- +goose Down
DROP TABLE player;
