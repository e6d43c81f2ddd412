-- +goose Up
-- Clips that step down to the sub stream where the line is too slow for the main one.

-- Wish: a clip of the main stream that the line can't carry in time is cut from the sub stream instead.
ALTER TABLE camera ADD COLUMN step_down INTEGER NOT NULL DEFAULT 0 CHECK (step_down IN (0, 1));
-- The stream that the site cuts in place of the one that was wanted; empty: the one that was wanted.
ALTER TABLE clip ADD COLUMN cut_stream TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE clip DROP COLUMN cut_stream;
ALTER TABLE camera DROP COLUMN step_down;
