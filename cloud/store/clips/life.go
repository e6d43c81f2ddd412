package clips

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Open returns the clips of a site that are not in a final state, the most urgent and then the oldest first.
func Open(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) ([]Clip, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM clip WHERE ($1 = '*' OR org = $1) AND site = $2 AND deleted_us = 0
		AND state NOT IN ('stored', 'unavailable', 'lost') ORDER BY priority DESC, created_us, id LIMIT 500`, scope.Filter(), site)
	if err != nil {
		return nil, fmt.Errorf("list open clips: %w", err)
	}
	return collect(rows)
}

// Lost returns the clips of a site that became lost at sinceUs or later.
func Lost(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, sinceUs int64) ([]Clip, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM clip WHERE ($1 = '*' OR org = $1) AND site = $2 AND deleted_us = 0
		AND state = 'lost' AND changed_us >= $3 ORDER BY start_us, id LIMIT 500`, scope.Filter(), site, sinceUs)
	if err != nil {
		return nil, fmt.Errorf("list lost clips: %w", err)
	}
	return collect(rows)
}

// Report applies what an agent says of a clip of its own site. A final state stays; of a stored clip, whose bytes
// may be faster than the words about them, only the description is taken. An unknown or deleted clip is no error,
// since it may have been deleted meanwhile.
func Report(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, f wire.ClipFact, nowUs int64) error {
	gaps, err := json.Marshal(f.Gaps)
	if err != nil {
		return fmt.Errorf("report clip: %w", err)
	}
	if f.Gaps == nil {
		gaps = []byte("[]")
	}
	_, err = q.ExecContext(ctx, `UPDATE clip SET nearest_us = $6, codec = $7, changed_us = $8, gaps = $13,
			state = CASE WHEN state = 'stored' THEN state ELSE $4 END, reason = $5,
			bytes = CASE WHEN CAST($9 AS BIGINT) > 0 THEN $9 ELSE bytes END,
			sent = CASE WHEN sent < $10 THEN $10 ELSE sent END,
			cut_start_us = CASE WHEN CAST($11 AS BIGINT) > 0 THEN $11 ELSE cut_start_us END,
			cut_end_us = CASE WHEN CAST($12 AS BIGINT) > 0 THEN $12 ELSE cut_end_us END, cut_stream = $14
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND id = $3 AND deleted_us = 0 AND state NOT IN ('unavailable', 'lost')
			AND (state <> 'stored' OR $4 IN ('queued', 'uploading'))`,
		scope.Filter(), site, f.Clip, f.State, f.Reason, f.NearestUs, f.Codec, nowUs, f.Bytes, f.Sent, f.StartUs, f.EndUs, string(gaps),
		f.Stream)
	if err != nil {
		return fmt.Errorf("report clip: %w", err)
	}
	return nil
}

// SetUpload records that an upload began.
func SetUpload(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, u Upload, bytes, nowUs int64) error {
	var parts []byte
	for _, p := range u.Parts {
		parts = append(parts, p...)
	}
	return store.One(q.ExecContext(ctx, `UPDATE clip SET upload = $3, part_bytes = $4, sha256 = $5, parts = $6, bytes = $7, sent = 0,
			state = 'uploading', changed_us = $8, began_us = $8
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0 AND state NOT IN ('stored', 'unavailable', 'lost')`,
		scope.Filter(), clip, u.Handle, u.PartBytes, u.SHA256, parts, bytes, nowUs))
}

// SetSent records how many bytes have arrived.
func SetSent(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, sent, nowUs int64) error {
	_, err := q.ExecContext(ctx, `UPDATE clip SET sent = $3, changed_us = $4
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND state = 'uploading'`, scope.Filter(), clip, sent, nowUs)
	if err != nil {
		return fmt.Errorf("set progress of clip: %w", err)
	}
	return nil
}

// SetStored records that the bytes are complete and verified. Why they are of another stream is still said.
func SetStored(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, nowUs int64) error {
	return store.One(q.ExecContext(ctx, `UPDATE clip SET state = 'stored', reason = CASE WHEN cut_stream = '' THEN '' ELSE reason END,
			upload = '', sent = bytes, changed_us = $3, stored_us = $3
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`, scope.Filter(), clip, nowUs))
}

// ResetUpload forgets an upload that failed verification, so that it begins anew.
func ResetUpload(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, reason string, nowUs int64) error {
	return store.One(q.ExecContext(ctx, `UPDATE clip SET state = 'queued', reason = $3, upload = '', sent = 0, changed_us = $4
		WHERE ($1 = '*' OR org = $1) AND id = $2 AND state = 'uploading'`, scope.Filter(), clip, reason, nowUs))
}

// Rename gives a clip another title.
func Rename(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, title string) error {
	return store.One(q.ExecContext(ctx, `UPDATE clip SET title = $3 WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`,
		scope.Filter(), clip, title))
}

// Delete hides a clip; Remove drops the row when its bytes are gone.
func Delete(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, nowUs int64) error {
	return store.One(q.ExecContext(ctx, `UPDATE clip SET deleted_us = $3 WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us = 0`,
		scope.Filter(), clip, nowUs))
}

// Deleted returns deleted clips whose bytes may still be there.
func Deleted(ctx context.Context, q store.Querier, scope store.Scope) ([]Clip, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM clip WHERE ($1 = '*' OR org = $1) AND deleted_us > 0
		ORDER BY deleted_us LIMIT 200`, scope.Filter())
	if err != nil {
		return nil, fmt.Errorf("list deleted clips: %w", err)
	}
	return collect(rows)
}

// Remove drops the row of a deleted clip, and what belongs to it.
func Remove(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip) error {
	for _, table := range []string{"clip_piece", "clip_event"} {
		_, err := q.ExecContext(ctx, `DELETE FROM `+table+` WHERE ($1 = '*' OR org = $1) AND clip IN (SELECT id FROM clip WHERE id = $2 AND deleted_us > 0)`,
			scope.Filter(), clip)
		if err != nil {
			return fmt.Errorf("remove what belongs to a clip: %w", err)
		}
	}
	_, err := q.ExecContext(ctx, `DELETE FROM clip WHERE ($1 = '*' OR org = $1) AND id = $2 AND deleted_us > 0`, scope.Filter(), clip)
	if err != nil {
		return fmt.Errorf("remove clip: %w", err)
	}
	return nil
}

// WaitingSites returns the sites whose agents do not know an order as it is now.
func WaitingSites(ctx context.Context, q store.Querier, scope store.Scope) ([]id.Site, error) {
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT site FROM clip WHERE ($1 = '*' OR org = $1) AND deleted_us = 0
		AND state NOT IN ('stored', 'unavailable', 'lost') AND ordered_us = 0 LIMIT 10000`, scope.Filter())
	return bulk.Collect(rows, err, "sites with new orders", func(rows *sql.Rows) (s id.Site, err error) { return s, rows.Scan(&s) })
}

// Ordered records that the agent took the order c, unless the clip was changed meanwhile.
func Ordered(ctx context.Context, q store.Querier, c Clip, nowUs int64) error {
	_, err := q.ExecContext(ctx, `UPDATE clip SET ordered_us = $6 WHERE org = $1 AND id = $2 AND start_us = $3 AND end_us = $4 AND priority = $5`,
		c.Org, c.ID, c.StartUs, c.EndUs, c.Priority, nowUs)
	if err != nil {
		return fmt.Errorf("record order of clip: %w", err)
	}
	return nil
}

// Explain tells people why a clip that is wanted is not cut.
func Explain(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip, reason string) error {
	_, err := q.ExecContext(ctx, `UPDATE clip SET reason = $3 WHERE ($1 = '*' OR org = $1) AND id = $2 AND state = 'wanted'`,
		scope.Filter(), clip, reason)
	if err != nil {
		return fmt.Errorf("explain clip: %w", err)
	}
	return nil
}
