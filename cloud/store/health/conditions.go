package health

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Condition is the time between two changes of a condition.
type Condition struct {
	wire.ConditionFact
	EndUs int64 // the next change, or Lasts
}

// PutCondition stores a change at its place in time, wherever the other changes of the same condition lie: the
// row before it ends where it begins. The same change again replaces the words.
func PutCondition(ctx context.Context, q store.Querier, ref agents.Ref, c wire.ConditionFact) error {
	key := []any{ref.Org, ref.Site, c.Name, c.Camera, c.Kind, c.SinceUs}
	var next sql.NullInt64
	err := q.QueryRowContext(ctx, `SELECT min(since_us) FROM condition
		WHERE org = $1 AND site = $2 AND name = $3 AND camera = $4 AND stream = $5 AND since_us > $6`, key...).Scan(&next)
	if err != nil {
		return fmt.Errorf("find next change of condition: %w", err)
	}
	end := int64(Lasts)
	if next.Valid {
		end = next.Int64
	}
	_, err = q.ExecContext(ctx, `UPDATE condition SET end_us = $6
		WHERE org = $1 AND site = $2 AND name = $3 AND camera = $4 AND stream = $5 AND since_us < $6 AND end_us > $6`, key...)
	if err != nil {
		return fmt.Errorf("end former condition: %w", err)
	}
	_, err = q.ExecContext(ctx, `INSERT INTO condition (org, site, name, camera, stream, since_us, end_us, state, reason, text)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (site, name, camera, stream, since_us) DO UPDATE
		SET state = excluded.state, reason = excluded.reason, text = excluded.text`,
		append(key, end, string(c.State), string(c.Reason), c.Text)...)
	if err != nil {
		return fmt.Errorf("store condition: %w", err)
	}
	return nil
}

const conditionColumns = `name, camera, stream, state, reason, text, since_us, end_us`

func scanCondition(rows *sql.Rows) (c Condition, err error) {
	return c, rows.Scan(&c.Name, &c.Camera, &c.Kind, &c.State, &c.Reason, &c.Text, &c.SinceUs, &c.EndUs)
}

// Failures returns the times in [fromUs, toUs) in which a condition of a site failed, newest first.
func Failures(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, fromUs, toUs int64) ([]Condition, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+conditionColumns+` FROM condition
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND end_us > $3 AND since_us < $4 AND state = 'failing'
		ORDER BY end_us DESC, since_us DESC LIMIT $5`, scope.Filter(), site, fromUs, toUs, maxRows)
	return bulk.Collect(rows, err, "failures", scanCondition)
}

// Sweep removes the runs, conditions and outages of a site that ended before beforeUs.
func Sweep(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, beforeUs int64) error {
	var errs []error
	for _, statement := range []string{
		`DELETE FROM run WHERE ($1 = '*' OR org = $1) AND site = $2 AND wall_us < $3 AND ended_by <> '' AND wall_us + end_mono_us < $3`,
		`DELETE FROM condition WHERE ($1 = '*' OR org = $1) AND site = $2 AND end_us < $3`,
		`DELETE FROM outage WHERE ($1 = '*' OR org = $1) AND site = $2 AND end_us < $3`,
	} {
		if _, err := q.ExecContext(ctx, statement, scope.Filter(), site, beforeUs); err != nil {
			errs = append(errs, fmt.Errorf("sweep history: %w", err))
		}
	}
	return errors.Join(errs...)
}
