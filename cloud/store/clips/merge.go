package clips

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// longest is more than any clip is long: a clip that overlaps a moment does not begin earlier before it.
const longest = int64(24 * 3_600_000_000)

// Around returns the clips of a stream that overlap or touch [fromUs, toUs] and have not come to nothing, by their
// start.
func Around(ctx context.Context, q store.Querier, scope store.Scope, stream id.Stream, fromUs, toUs int64) ([]Clip, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM clip WHERE ($1 = '*' OR org = $1) AND camera = $2 AND stream = $3
			AND start_us >= $4 AND start_us <= $6 AND end_us >= $5 AND deleted_us = 0 AND state NOT IN ('unavailable', 'lost')
		ORDER BY start_us, id LIMIT 1000`, scope.Filter(), stream.Camera, stream.Kind, fromUs-longest, fromUs, toUs)
	if err != nil {
		return nil, fmt.Errorf("find clips of the same time: %w", err)
	}
	return collect(rows)
}

// Change gives a clip another range, priority and keep-for. One whose order changes by it is ordered anew.
func Change(ctx context.Context, q store.Querier, c Clip, nowUs int64) error {
	return store.One(q.ExecContext(ctx, `UPDATE clip SET start_us = $3, end_us = $4, priority = $5, keep_days = $6, changed_us = $7,
			ordered_us = CASE WHEN start_us = $3 AND end_us = $4 AND priority = $5 THEN ordered_us ELSE 0 END,
			expires_us = `+expiry("$6", "clip.org", "$4", "created_us")+`
		WHERE org = $1 AND id = $2 AND deleted_us = 0`, c.Org, c.ID, c.StartUs, c.EndUs, c.Priority, c.KeepDays, nowUs))
}

// Shown is an event that a clip shows.
type Shown struct {
	Event   id.Event
	Rule    id.Rule
	Kind    string
	Text    string
	AtUs    int64
	StartUs int64 // what the rule wanted of it
	EndUs   int64
}

// Show records that a clip shows events; what is known already stays.
func Show(ctx context.Context, q store.Querier, c Clip, list []Shown) error {
	rows := bulk.New(10, len(list))
	for _, s := range list {
		rows.Add(c.Org, c.Site, c.ID, s.Event, s.Rule, s.Kind, s.Text, s.AtUs, s.StartUs, s.EndUs)
	}
	err := rows.Exec(ctx, q, `INSERT INTO clip_event (org, site, clip, event, rule, kind, text, at_us, start_us, end_us)`,
		`ON CONFLICT (clip, event, rule) DO NOTHING`)
	if err != nil {
		return fmt.Errorf("record events of clip: %w", err)
	}
	return nil
}

// Chosen reports whether a rule has chosen a clip for an event of a site before.
func Chosen(ctx context.Context, q store.Querier, org id.Org, site id.Site, event id.Event, rule id.Rule) (bool, error) {
	var n int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM clip_event WHERE org = $1 AND site = $2 AND event = $3 AND rule = $4`,
		org, site, event, rule).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look for the clip of an event: %w", err)
	}
	return n > 0, nil
}

// shownOf bounds the events that are told of one clip.
const shownOf = 100

// Events returns what each of the clips shows, by time, at most 100 of each.
func Events(ctx context.Context, q store.Querier, scope store.Scope, list []Clip) (map[id.Clip][]Shown, error) {
	out := map[id.Clip][]Shown{}
	if len(list) == 0 {
		return out, nil
	}
	var marks []string
	args := []any{scope.Filter(), shownOf}
	for _, c := range list {
		args = append(args, c.ID)
		marks = append(marks, fmt.Sprintf("$%d", len(args)))
	}
	rows, err := q.QueryContext(ctx, `SELECT clip, event, rule, kind, text, at_us, start_us, end_us FROM (
			SELECT clip, event, rule, kind, text, at_us, start_us, end_us, row_number() OVER (PARTITION BY clip ORDER BY at_us, event) AS n
			FROM clip_event WHERE ($1 = '*' OR org = $1) AND clip IN (`+strings.Join(marks, ", ")+`)) AS e
		WHERE n <= $2 ORDER BY clip, n`, args...)
	type named struct {
		clip id.Clip
		Shown
	}
	all, err := bulk.Collect(rows, err, "events of clips", func(rows *sql.Rows) (s named, err error) {
		return s, rows.Scan(&s.clip, &s.Event, &s.Rule, &s.Kind, &s.Text, &s.AtUs, &s.StartUs, &s.EndUs)
	})
	for _, s := range all {
		out[s.clip] = append(out[s.clip], s.Shown)
	}
	return out, err
}

// EventsOf returns all that a clip shows, by time.
func EventsOf(ctx context.Context, q store.Querier, scope store.Scope, clip id.Clip) ([]Shown, error) {
	rows, err := q.QueryContext(ctx, `SELECT event, rule, kind, text, at_us, start_us, end_us FROM clip_event
		WHERE ($1 = '*' OR org = $1) AND clip = $2 ORDER BY at_us, event LIMIT 100000`, scope.Filter(), clip)
	return bulk.Collect(rows, err, "events of a clip", func(rows *sql.Rows) (s Shown, err error) {
		return s, rows.Scan(&s.Event, &s.Rule, &s.Kind, &s.Text, &s.AtUs, &s.StartUs, &s.EndUs)
	})
}

// MoveEvents lets a clip show what another one shows.
func MoveEvents(ctx context.Context, q store.Querier, from, into Clip) error {
	_, err := q.ExecContext(ctx, `INSERT INTO clip_event (org, site, clip, event, rule, kind, text, at_us, start_us, end_us)
		SELECT org, site, $3, event, rule, kind, text, at_us, start_us, end_us FROM clip_event WHERE org = $1 AND clip = $2
		ON CONFLICT (clip, event, rule) DO NOTHING`, from.Org, from.ID, into.ID)
	if err != nil {
		return fmt.Errorf("move events of clip: %w", err)
	}
	return nil
}

// OfEvents returns the clip that shows each of these events best: one that is stored before one that is on its way.
func OfEvents(ctx context.Context, q store.Querier, scope store.Scope, list []id.Event) (map[id.Event]id.Clip, error) {
	out := map[id.Event]id.Clip{}
	if len(list) == 0 {
		return out, nil
	}
	var marks []string
	args := []any{scope.Filter()}
	for _, e := range list {
		args = append(args, e)
		marks = append(marks, fmt.Sprintf("$%d", len(args)))
	}
	rows, err := q.QueryContext(ctx, `SELECT e.event, c.id, c.state FROM clip_event e JOIN clip c ON c.id = e.clip
		WHERE ($1 = '*' OR e.org = $1) AND e.event IN (`+strings.Join(marks, ", ")+`) AND c.deleted_us = 0
		ORDER BY c.created_us DESC, c.id`, args...)
	type found struct {
		event id.Event
		clip  id.Clip
		state wire.ClipState
	}
	all, err := bulk.Collect(rows, err, "clips of events", func(rows *sql.Rows) (f found, err error) {
		return f, rows.Scan(&f.event, &f.clip, &f.state)
	})
	rank := map[id.Event]int{}
	for _, f := range all {
		n := 2
		switch f.state {
		case wire.ClipStored:
			n = 3
		case wire.ClipUnavailable, wire.ClipLost:
			n = 1
		}
		if n >= rank[f.event] {
			rank[f.event], out[f.event] = n, f.clip
		}
	}
	return out, err
}
