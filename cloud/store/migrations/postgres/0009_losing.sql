-- +goose Up
-- A second kind of incident: "losing", a site that says that retention will take chosen clips before the line can carry
-- them. Its start_us is since when the site says so, its end_us when it said so no more, its outcome "kept" or "lost".
-- It is told in the phases "losing" and "over".
ALTER TABLE incident DROP CONSTRAINT incident_kind_check;
ALTER TABLE incident ADD CONSTRAINT incident_kind_check CHECK (kind IN ('dark', 'losing'));
ALTER TABLE delivery DROP CONSTRAINT delivery_phase_check;
ALTER TABLE delivery ADD CONSTRAINT delivery_phase_check CHECK (phase IN ('dark', 'back', 'losing', 'over'));

-- +goose Down
DELETE FROM delivery WHERE phase IN ('losing', 'over');
DELETE FROM incident WHERE kind = 'losing';
ALTER TABLE delivery DROP CONSTRAINT delivery_phase_check;
ALTER TABLE delivery ADD CONSTRAINT delivery_phase_check CHECK (phase IN ('dark', 'back'));
ALTER TABLE incident DROP CONSTRAINT incident_kind_check;
ALTER TABLE incident ADD CONSTRAINT incident_kind_check CHECK (kind IN ('dark'));
