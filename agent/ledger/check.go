package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
)

// maxFindings bounds what Examine lists of one kind.
const maxFindings = 20

// Examine reads the ledger at path without changing it and returns what is wrong with it, one sentence for
// each finding: damage of the file, holes in the outbox, coverage that the segments do not bear out. It
// also reads a ledger that Open refuses, as far as that goes. The media files are the caller's to compare:
// SegmentsAfter, OpenSegments and Garbage list them.
func Examine(ctx context.Context, path string) (findings []string, err error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("examine ledger: %w", err)
	}
	db, err := sql.Open("sqlite", location(path)+readOnly)
	if err != nil {
		return nil, explain("examine ledger "+path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, look := range []func(context.Context, *sql.DB) ([]string, error){
		damages, numberings, outboxHoles, untold, wrongSums, wrongVolumes, wrongSpans,
	} {
		found, err := look(ctx, db)
		if err != nil {
			// A file that can't be read is itself the finding.
			return append(findings, explain("read the ledger", err).Error()), nil
		}
		findings = append(findings, found...)
	}
	return findings, nil
}

func texts(ctx context.Context, db *sql.DB, query string, args ...any) ([]string, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	return list(rows, err, func(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) })
}

func damages(ctx context.Context, db *sql.DB) ([]string, error) {
	found, err := texts(ctx, db, fmt.Sprintf(`PRAGMA integrity_check(%d)`, maxFindings))
	if len(found) == 1 && found[0] == "ok" {
		return nil, err
	}
	return found, err
}

func numberings(ctx context.Context, db *sql.DB) ([]string, error) {
	return texts(ctx, db, `SELECT format('segment %d is in more than one of: closed, open, garbage', id) FROM
		(SELECT id FROM segment UNION ALL SELECT id FROM open_segment UNION ALL SELECT id FROM garbage)
		GROUP BY id HAVING count(*) > 1 LIMIT ?`, maxFindings)
}

func outboxHoles(ctx context.Context, db *sql.DB) ([]string, error) {
	return texts(ctx, db, `SELECT format('queue %d of the outbox has a hole: it holds %d rows from %d to %d, its last is %d and acked are %d',
			q.id, count(seq), coalesce(min(seq), 0), coalesce(max(seq), 0), q.last, q.acked)
		FROM queue q LEFT JOIN outbox o ON o.queue = q.id GROUP BY q.id
		HAVING count(seq) <> coalesce(max(seq) - min(seq) + 1, 0)
			OR coalesce(max(seq), q.acked) <> q.last OR coalesce(min(seq), 0) > q.acked + 1 LIMIT ?`, maxFindings)
}

func wrongSums(ctx context.Context, db *sql.DB) ([]string, error) {
	return texts(ctx, db, `SELECT format('stream %s/%s says %d bytes, its segments have %d', camera, s.kind, s.bytes, coalesce(sum(e.bytes), 0))
		FROM stream s LEFT JOIN segment e ON e.stream = s.id GROUP BY s.id HAVING s.bytes <> coalesce(sum(e.bytes), 0) LIMIT ?`, maxFindings)
}

func wrongVolumes(ctx context.Context, db *sql.DB) ([]string, error) {
	return texts(ctx, db, `SELECT format('volume %s says %d bytes, its segments have %d', id, coalesce(v.bytes, 0), coalesce(e.bytes, 0))
		FROM volume v FULL JOIN (SELECT volume, sum(bytes) AS bytes FROM segment GROUP BY volume) e ON e.volume = v.id
		WHERE coalesce(v.bytes, 0) <> coalesce(e.bytes, 0) LIMIT ?`, maxFindings)
}

// wrongSpans compares the merged coverage with what the segments say.
func wrongSpans(ctx context.Context, db *sql.DB) ([]string, error) {
	return wrongSpansIn(func(query string, args ...any) (*sql.Rows, error) { return db.QueryContext(ctx, query, args...) })
}
