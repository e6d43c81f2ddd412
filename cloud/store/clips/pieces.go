package clips

import (
	"context"
	"database/sql"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
)

// PutPiece keeps one piece of a part; the same piece again replaces it.
func PutPiece(ctx context.Context, q store.Querier, c Clip, part, piece int, body []byte, nowUs int64) error {
	_, err := q.ExecContext(ctx, `INSERT INTO clip_piece (org, clip, part, piece, body, at_us) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (clip, part, piece) DO UPDATE SET body = excluded.body, at_us = excluded.at_us`, c.Org, c.ID, part, piece, body, nowUs)
	if err != nil {
		return fmt.Errorf("keep piece of a part: %w", err)
	}
	return nil
}

// Pieces returns the sizes of the pieces that are kept, by part and number.
func Pieces(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip) (map[int]map[int]int64, error) {
	rows, err := q.QueryContext(ctx, `SELECT part, piece, length(body) FROM clip_piece WHERE ($1 = '*' OR org = $1) AND clip = $2`,
		scope.Filter(), clip)
	type size struct {
		part, piece int
		bytes       int64
	}
	all, err := bulk.Collect(rows, err, "pieces", func(rows *sql.Rows) (s size, err error) {
		return s, rows.Scan(&s.part, &s.piece, &s.bytes)
	})
	out := map[int]map[int]int64{}
	for _, s := range all {
		if out[s.part] == nil {
			out[s.part] = map[int]int64{}
		}
		out[s.part][s.piece] = s.bytes
	}
	return out, err
}

// Part returns all that is kept of a part, in the order of its pieces.
func Part(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, part int) ([]byte, error) {
	rows, err := q.QueryContext(ctx, `SELECT body FROM clip_piece WHERE ($1 = '*' OR org = $1) AND clip = $2 AND part = $3 ORDER BY piece`,
		scope.Filter(), clip, part)
	all, err := bulk.Collect(rows, err, "pieces", func(rows *sql.Rows) (b []byte, err error) { return b, rows.Scan(&b) })
	var out []byte
	for _, b := range all {
		out = append(out, b...)
	}
	return out, err
}

// DropPieces forgets the pieces of a part, or of all parts for 0.
func DropPieces(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, part int) error {
	_, err := q.ExecContext(ctx, `DELETE FROM clip_piece WHERE ($1 = '*' OR org = $1) AND clip = $2 AND ($3 = 0 OR part = $3)`,
		scope.Filter(), clip, part)
	if err != nil {
		return fmt.Errorf("drop pieces: %w", err)
	}
	return nil
}
