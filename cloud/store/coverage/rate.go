package coverage

import (
	"context"
	"database/sql"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
)

const (
	dayUs = int64(86_400_000_000)
	// rateDays is how many days a bitrate is worked out from.
	rateDays = 30
)

// Made says how many bytes of video a stream made of a time range.
type Made struct {
	Stream         id.Stream
	StartUs, EndUs int64
	Bytes          int64
}

// Count adds what streams made to their days. The same said twice counts twice in bytes and in time, so that the rate
// stays right.
func Count(ctx context.Context, q store.Querier, org id.Org, list []Made) error {
	type key struct {
		stream id.Stream
		day    int64
	}
	sums := map[key]*Made{}
	var order []key
	for _, m := range list {
		if m.Bytes <= 0 || m.EndUs <= m.StartUs {
			continue
		}
		k := key{m.Stream, m.StartUs / dayUs}
		if sums[k] == nil {
			sums[k] = &Made{}
			order = append(order, k)
		}
		sums[k].Bytes += m.Bytes
		sums[k].EndUs += m.EndUs - m.StartUs
	}
	rows := bulk.New(6, len(order))
	for _, k := range order {
		rows.Add(org, k.stream.Camera, k.stream.Kind, k.day, sums[k].Bytes, sums[k].EndUs)
	}
	err := rows.Exec(ctx, q, `INSERT INTO stream_day (org, camera, stream, day, bytes, recorded_us)`,
		`ON CONFLICT (camera, stream, day) DO UPDATE
		SET bytes = stream_day.bytes + excluded.bytes, recorded_us = stream_day.recorded_us + excluded.recorded_us`)
	if err != nil {
		return fmt.Errorf("count video: %w", err)
	}
	return nil
}

// Rates returns the bytes a second that streams of one kind made in the last 30 days before nowUs, by camera; a camera
// of which nothing is known is left out.
func Rates(ctx context.Context, q store.Querier, scope store.Scope, kind id.StreamKind, nowUs int64) (map[id.Camera]float64, error) {
	rows, err := q.QueryContext(ctx, `SELECT camera, sum(bytes), sum(recorded_us) FROM stream_day
		WHERE ($1 = '*' OR org = $1) AND stream = $2 AND day >= $3 GROUP BY camera`, scope.Filter(), kind, nowUs/dayUs-rateDays)
	type rate struct {
		camera    id.Camera
		bytes, us int64
	}
	all, err := bulk.Collect(rows, err, "bitrates", func(rows *sql.Rows) (r rate, err error) {
		return r, rows.Scan(&r.camera, &r.bytes, &r.us)
	})
	out := map[id.Camera]float64{}
	for _, r := range all {
		if r.us > 0 {
			out[r.camera] = float64(r.bytes) / float64(r.us) * 1e6
		}
	}
	return out, err
}

// Nearest returns the moments of recorded video that lie nearest before fromUs and after toUs; 0 where there is none.
// A moment inside the range counts for both.
func Nearest(ctx context.Context, q store.Querier, scope store.Scope, stream id.Stream, fromUs, toUs int64) (before, after int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT COALESCE((SELECT end_us FROM span WHERE ($1 = '*' OR org = $1) AND camera = $2 AND stream = $3
				AND start_us < $4 AND gone = '' ORDER BY start_us DESC LIMIT 1), 0),
			COALESCE((SELECT start_us FROM span WHERE ($1 = '*' OR org = $1) AND camera = $2 AND stream = $3
				AND start_us >= $5 AND gone = '' ORDER BY start_us LIMIT 1), 0)`,
		scope.Filter(), stream.Camera, stream.Kind, fromUs, toUs).Scan(&before, &after)
	if err != nil {
		return 0, 0, fmt.Errorf("find the nearest video: %w", err)
	}
	return min(before, fromUs), after, nil
}
