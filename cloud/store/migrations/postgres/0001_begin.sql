-- +goose Up
-- Facts about the installation itself, one row each: "cloud_id", "created_us".
CREATE TABLE installation (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- +goose Down
DROP TABLE installation;
