package clips

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
)

// Settings is what an organisation says of its clips.
type Settings struct {
	KeepDays    int    // of clips that say ByDefault; ForEver
	PriceMicros int64  // of a GB (10^9 bytes) for a month, in millionths of the currency
	Currency    string // ISO 4217
	LineKbps    int    // of a site whose line has not been measured; 0: not given
}

// Unset are the settings of an organisation that has said nothing: what was kept for ever stays so, and a GB costs what
// the large providers ask for.
func Unset() Settings { return Settings{PriceMicros: 23_000, Currency: "USD"} }

// GetSettings returns what an organisation says of its clips.
func GetSettings(ctx context.Context, q store.Querier, scope store.Scope) (Settings, error) {
	s := Unset()
	err := q.QueryRowContext(ctx, `SELECT keep_days, price_micros, currency, line_kbps FROM clip_setting WHERE org = $1`, scope.OrgID()).
		Scan(&s.KeepDays, &s.PriceMicros, &s.Currency, &s.LineKbps)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("read clip settings: %w", err)
	}
	return s, nil
}

// PutSettings replaces what an organisation says, and works out anew when its clips are removed. Those of deleted sites
// keep their date.
func PutSettings(ctx context.Context, q store.Querier, org id.Org, s Settings) error {
	_, err := q.ExecContext(ctx, `INSERT INTO clip_setting (org, keep_days, price_micros, currency, line_kbps) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (org) DO UPDATE SET keep_days = excluded.keep_days, price_micros = excluded.price_micros,
			currency = excluded.currency, line_kbps = excluded.line_kbps`, org, s.KeepDays, s.PriceMicros, s.Currency, s.LineKbps)
	if err == nil {
		_, err = q.ExecContext(ctx, `UPDATE clip SET expires_us = `+expiry("keep_days", "clip.org", "end_us", "created_us")+`
			WHERE org = $1 AND keep_days = -1 AND deleted_us = 0 AND site NOT IN (SELECT id FROM site WHERE org = $1 AND deleted_us > 0)`, org)
	}
	if err != nil {
		return fmt.Errorf("store clip settings: %w", err)
	}
	return nil
}

// Shorter returns how many clips other settings would remove by nowUs, and their bytes.
func Shorter(ctx context.Context, q store.Querier, org id.Org, keepDays int, nowUs int64) (count, bytes int64, err error) {
	if keepDays <= 0 {
		return 0, 0, nil
	}
	err = q.QueryRowContext(ctx, `SELECT count(*), COALESCE(sum(bytes), 0) FROM clip WHERE org = $1 AND keep_days = -1 AND deleted_us = 0
			AND state IN ('stored', 'unavailable', 'lost')
			AND (CASE WHEN end_us > created_us THEN end_us ELSE created_us END) < $2`,
		org, nowUs-int64(keepDays)*86_400_000_000).Scan(&count, &bytes)
	if err != nil {
		return 0, 0, fmt.Errorf("count clips that would expire: %w", err)
	}
	return count, bytes, nil
}

// Expired returns clips whose time is over, at most 200: only those in a final state, for what is still wanted is not
// kept yet.
func Expired(ctx context.Context, q store.Querier, scope store.Scope, nowUs int64) ([]Clip, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM clip WHERE ($1 = '*' OR org = $1) AND expires_us > 0 AND deleted_us = 0
		AND expires_us < $2 AND state IN ('stored', 'unavailable', 'lost') ORDER BY expires_us LIMIT 200`, scope.Filter(), nowUs)
	if err != nil {
		return nil, fmt.Errorf("list clips whose time is over: %w", err)
	}
	return collect(rows)
}

// SiteRemoved lets the clips of a site go by untilUs at the latest, and ends those that its agent has not sent: it is
// revoked.
func SiteRemoved(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, untilUs, nowUs int64) error {
	_, err := q.ExecContext(ctx, `UPDATE clip SET state = 'unavailable', reason = 'The site was deleted before the clip was in the cloud.',
			changed_us = $3
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND deleted_us = 0 AND state NOT IN ('stored', 'unavailable', 'lost')`,
		scope.Filter(), site, nowUs)
	if err == nil {
		_, err = q.ExecContext(ctx, `UPDATE clip SET changed_us = $3, expires_us = CASE WHEN expires_us = 0 OR expires_us > $4 THEN $4 ELSE expires_us END
			WHERE ($1 = '*' OR org = $1) AND site = $2 AND deleted_us = 0`, scope.Filter(), site, nowUs, untilUs)
	}
	if err != nil {
		return fmt.Errorf("let the clips of a site go: %w", err)
	}
	return nil
}

// Names are what people call the places of a clip.
type Names struct {
	Camera, Site string
	SiteDeleted  bool
}

// Named returns the names for clips, also of cameras and sites that were deleted.
func Named(ctx context.Context, q store.Querier, scope store.Scope, list []Clip) (map[id.Clip]Names, error) {
	out := map[id.Clip]Names{}
	if len(list) == 0 {
		return out, nil
	}
	var marks []string
	args := []any{scope.Filter()}
	for _, c := range list {
		args = append(args, c.ID)
		marks = append(marks, fmt.Sprintf("$%d", len(args)))
	}
	rows, err := q.QueryContext(ctx, `SELECT c.id, COALESCE(CASE WHEN k.name = '' THEN k.site_name ELSE k.name END, ''), COALESCE(s.name, ''),
			COALESCE(s.deleted_us, 0)
		FROM clip c LEFT JOIN camera k ON k.id = c.camera AND k.org = c.org LEFT JOIN site s ON s.id = c.site AND s.org = c.org
		WHERE ($1 = '*' OR c.org = $1) AND c.id IN (`+strings.Join(marks, ", ")+`)`, args...)
	type named struct {
		clip    id.Clip
		deleted int64
		Names
	}
	all, err := bulk.Collect(rows, err, "names of clips", func(rows *sql.Rows) (n named, err error) {
		return n, rows.Scan(&n.clip, &n.Camera, &n.Site, &n.deleted)
	})
	for _, n := range all {
		n.SiteDeleted = n.deleted > 0
		out[n.clip] = n.Names
	}
	return out, err
}

// Handles returns the uploads that clips have under way.
func Handles(ctx context.Context, q store.Querier, scope store.Scope) (map[string]bool, error) {
	rows, err := q.QueryContext(ctx, `SELECT upload FROM clip WHERE ($1 = '*' OR org = $1) AND upload <> ''
		AND state NOT IN ('stored', 'unavailable', 'lost')`, scope.Filter())
	all, err := bulk.Collect(rows, err, "uploads", func(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) })
	out := map[string]bool{}
	for _, h := range all {
		out[h] = true
	}
	return out, err
}

// Ahead returns how many open clips of a site are sent before this one: more urgent, or as urgent and of older video.
func Ahead(ctx context.Context, q store.Querier, c Clip) (int, error) {
	var n int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM clip WHERE org = $1 AND site = $2 AND deleted_us = 0 AND id <> $3
			AND state NOT IN ('stored', 'unavailable', 'lost') AND (priority > $4 OR (priority = $4 AND start_us < $5))`,
		c.Org, c.Site, c.ID, c.Priority, c.StartUs).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count clips ahead: %w", err)
	}
	return n, nil
}

// Line returns how many bytes a second the newest uploads of a site made, 0 when none tells: the best of the last 20
// that are large enough to measure.
func Line(ctx context.Context, q store.Querier, scope store.Scope, site id.Site) (int64, error) {
	var rate int64
	err := q.QueryRowContext(ctx, `SELECT COALESCE(max(bytes * 1000000 / (stored_us - began_us)), 0) FROM (
			SELECT bytes, stored_us, began_us FROM clip WHERE ($1 = '*' OR org = $1) AND site = $2 AND state = 'stored'
				AND bytes >= 1000000 AND began_us > 0 AND stored_us > began_us ORDER BY created_us DESC LIMIT 20) AS u`,
		scope.Filter(), site).Scan(&rate)
	if err != nil {
		return 0, fmt.Errorf("measure the line of a site: %w", err)
	}
	return rate, nil
}
