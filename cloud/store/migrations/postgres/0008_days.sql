-- +goose Up
-- Comparing what the sites hold of past days with what is here. A mark of queue -1 counts the restatements of a ledger.

-- The gaps that begin in a day.
CREATE INDEX gap_start ON gap (camera, stream, start_us);
-- Which ledgers of a site have spoken.
CREATE INDEX mark_site ON mark (site);

-- +goose Down
DROP INDEX mark_site;
DROP INDEX gap_start;
