package ledger

import "database/sql"

// toleranceUs is how far apart two ranges may be that abut: timestamps of cameras are rounded.
const toleranceUs = 1000

// spanUs bounds a merged row, so that a lookup by time need not look back further. schema.sql and the
// queries hold the same number.
const spanUs = 6 * 3600 * 1_000_000

// segmentUs is the length above which a segment is looked up apart; schema.sql holds the same number.
const segmentUs = 600 * 1_000_000

// span is one row of merged coverage.
type span struct {
	id, stream, run int64
	origin          string
	startUs, endUs  int64
}

// touching returns the spans of the same stream, run and origin that overlap s or abut it within slack.
func (t *tx) touching(s span, slack int64) ([]span, error) {
	rows, err := t.query(`SELECT id, start_us, end_us FROM span WHERE stream = ? AND run = ? AND origin = ?
		AND end_us >= ? AND start_us <= ? AND start_us >= ?
		UNION ALL SELECT id, start_us, end_us FROM span INDEXED BY span_long WHERE stream = ?1 AND run = ?2 AND origin = ?3
		AND end_us >= ?4 AND start_us <= ?5 AND start_us < ?6 AND end_us - start_us > 21600000000 ORDER BY 2`,
		s.stream, s.run, s.origin, s.startUs-slack, s.endUs+slack, s.startUs-slack-spanUs)
	return list(rows, err, func(rows *sql.Rows) (x span, err error) {
		x = s
		return x, rows.Scan(&x.id, &x.startUs, &x.endUs)
	})
}

// cover adds s to the merged coverage.
func (t *tx) cover(s span) error {
	near, err := t.touching(s, toleranceUs)
	if err != nil {
		return err
	}
	into := int64(0)
	for _, x := range near {
		start, end := min(s.startUs, x.startUs), max(s.endUs, x.endUs)
		if end-start > spanUs {
			continue
		}
		s.startUs, s.endUs = start, end
		if into != 0 {
			if err := t.exec(`DELETE FROM span WHERE id = ?`, into); err != nil {
				return err
			}
		}
		into = x.id
	}
	if into != 0 {
		return t.exec(`UPDATE span SET start_us = ?, end_us = ? WHERE id = ?`, s.startUs, s.endUs, into)
	}
	return t.exec(`INSERT INTO span (stream, run, origin, start_us, end_us) VALUES (?, ?, ?, ?, ?)`,
		s.stream, s.run, s.origin, s.startUs, s.endUs)
}

// uncover takes s out of the merged coverage.
func (t *tx) uncover(s span) error {
	hit, err := t.touching(s, 0)
	if err != nil {
		return err
	}
	for _, x := range hit {
		if x.endUs <= s.startUs || x.startUs >= s.endUs {
			continue // it only touches
		}
		if err := t.exec(`DELETE FROM span WHERE id = ?`, x.id); err != nil {
			return err
		}
		for _, rest := range [][2]int64{{x.startUs, s.startUs}, {s.endUs, x.endUs}} {
			if rest[1]-rest[0] <= toleranceUs {
				continue // nothing, or a hole that merging had closed
			}
			if err := t.exec(`INSERT INTO span (stream, run, origin, start_us, end_us) VALUES (?, ?, ?, ?, ?)`,
				x.stream, x.run, x.origin, rest[0], rest[1]); err != nil {
				return err
			}
		}
	}
	return t.coverAgain(s)
}

// coverAgain restores what other segments of the same stream, run and origin hold of a range.
func (t *tx) coverAgain(s span) error {
	rows, err := t.query(`SELECT start_us, end_us FROM segment WHERE stream = ? AND run = ? AND origin = ?
		AND end_us > ? AND start_us < ? AND start_us >= ? AND end_us - start_us <= 600000000
		UNION ALL SELECT start_us, end_us FROM segment INDEXED BY segment_long WHERE stream = ?1 AND run = ?2 AND origin = ?3
		AND end_us > ?4 AND start_us < ?5 AND end_us - start_us > 600000000`,
		s.stream, s.run, s.origin, s.startUs, s.endUs, s.startUs-segmentUs)
	others, err := list(rows, err, func(rows *sql.Rows) (x span, err error) {
		x = s
		return x, rows.Scan(&x.startUs, &x.endUs)
	})
	for _, x := range others {
		if err := t.cover(x); err != nil {
			return err
		}
	}
	return err
}
