package events

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const dayUs = int64(86_400_000_000)

// Moment is when an event happened, and when it ended; EndUs is AtUs for one without a length.
type Moment struct{ AtUs, EndUs int64 }

// settled is how long after a day its events are packed at the earliest: what comes later than that unpacks it again.
const settled = int64(3_600_000_000)

// Unpacked returns the days of a site since sinceUs that are over and not packed.
func Unpacked(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, sinceUs, nowUs int64) ([]int64, error) {
	packed, err := packedDays(ctx, q, scope, site, sinceUs/dayUs)
	var out []int64
	for day := sinceUs / dayUs; (day+1)*dayUs+settled <= nowUs; day++ {
		if !packed[day] {
			out = append(out, day)
		}
	}
	return out, err
}

func packedDays(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, fromDay int64) (map[int64]bool, error) {
	rows, err := q.QueryContext(ctx, `SELECT day FROM event_pack WHERE ($1 = '*' OR org = $1) AND site = $2 AND kind = '' AND day >= $3`,
		scope.Filter(), site, fromDay)
	days, err := bulk.Collect(rows, err, "packed days", func(rows *sql.Rows) (d int64, err error) { return d, rows.Scan(&d) })
	out := map[int64]bool{}
	for _, d := range days {
		out[d] = true
	}
	return out, err
}

// pile names the events of one pack.
type pile struct {
	kind   string
	camera id.Camera
}

// Pack packs a day of a site. The caller holds the site's lock (marks.Lock), as every writer of events does.
func Pack(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, day int64) error {
	var org id.Org
	err := q.QueryRowContext(ctx, `SELECT org FROM site WHERE ($1 = '*' OR org = $1) AND id = $2`, scope.Filter(), site).Scan(&org)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("pack events: %w", err)
	}
	rows, err := q.QueryContext(ctx, `SELECT kind, camera, at_us, end_us FROM event
		WHERE org = $1 AND site = $2 AND at_us >= $3 AND at_us < $4 ORDER BY at_us, id`, org, site, day*dayUs, (day+1)*dayUs)
	type event struct {
		pile
		Moment
	}
	all, err := bulk.Collect(rows, err, "events of a day", func(rows *sql.Rows) (e event, err error) {
		return e, rows.Scan(&e.kind, &e.camera, &e.AtUs, &e.EndUs)
	})
	if err != nil {
		return err
	}
	bodies, last := map[pile][]byte{}, map[pile]int64{}
	order := []pile{{}} // the row that says that the day is packed
	for _, e := range all {
		if bodies[e.pile] == nil {
			order, last[e.pile] = append(order, e.pile), day*dayUs
		}
		body := binary.AppendUvarint(bodies[e.pile], uint64(e.AtUs-last[e.pile]))
		bodies[e.pile] = binary.AppendUvarint(body, uint64(max(e.EndUs-e.AtUs, 0)))
		last[e.pile] = e.AtUs
	}
	packs := bulk.New(6, len(order))
	for _, p := range order {
		packs.Add(org, site, p.kind, day, p.camera, append([]byte{}, bodies[p]...))
	}
	err = packs.Exec(ctx, q, `INSERT INTO event_pack (org, site, kind, day, camera, body)`, `ON CONFLICT (site, day, kind, camera) DO NOTHING`)
	if err != nil {
		return fmt.Errorf("pack events: %w", err)
	}
	return nil
}

// unpack forgets the packs of the days that events have come late for.
func unpack(ctx context.Context, q store.Querier, org id.Org, site id.Site, changed []wire.EventFact) error {
	done := map[int64]bool{}
	now := time.Now().UnixMicro()
	for _, f := range changed {
		day := f.AtUs / dayUs
		if done[day] || (day+1)*dayUs+settled > now {
			continue
		}
		done[day] = true
		if _, err := q.ExecContext(ctx, `DELETE FROM event_pack WHERE org = $1 AND site = $2 AND day = $3`, org, site, day); err != nil {
			return fmt.Errorf("unpack events: %w", err)
		}
	}
	return nil
}

// SweepPacks forgets the packs of days before beforeUs.
func SweepPacks(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, beforeUs int64) error {
	_, err := q.ExecContext(ctx, `DELETE FROM event_pack WHERE ($1 = '*' OR org = $1) AND site = $2 AND day < $3`,
		scope.Filter(), site, beforeUs/dayUs)
	if err != nil {
		return fmt.Errorf("sweep packed events: %w", err)
	}
	return nil
}

var errPack = errors.New("a pack of events is damaged")

// Moments returns the moments of one kind of event at a site from fromUs on, by camera and time; those without a camera
// under "". A million of them take a tenth of a second where their days are packed.
func Moments(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, kind string, fromUs int64) (map[id.Camera][]Moment, error) {
	out := map[id.Camera][]Moment{}
	packed, err := packedDays(ctx, q, scope, site, fromUs/dayUs)
	if err != nil {
		return nil, err
	}
	rows, err := q.QueryContext(ctx, `SELECT day, camera, body FROM event_pack
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND kind = $3 AND kind <> '' AND day >= $4 ORDER BY day`, scope.Filter(), site, kind, fromUs/dayUs)
	type pack struct {
		day    int64
		camera id.Camera
		body   []byte
	}
	packs, err := bulk.Collect(rows, err, "packs", func(rows *sql.Rows) (p pack, err error) {
		return p, rows.Scan(&p.day, &p.camera, &p.body)
	})
	if err != nil {
		return nil, err
	}
	for day, end := fromUs/dayUs, int64(0); ; day = end {
		end = day + 1
		for packed[day] == packed[end] && end-day < 400 {
			end++ // days alike are read together
		}
		if packed[day] {
			for len(packs) > 0 && packs[0].day < end {
				if out[packs[0].camera], err = decode(out[packs[0].camera], packs[0].day*dayUs, packs[0].body, fromUs); err != nil {
					return nil, err
				}
				packs = packs[1:]
			}
			continue
		}
		last := end-day >= 400 // nothing is packed any more: today, and what the clocks of sites say of tomorrow
		until := end * dayUs
		if last {
			until = 1 << 62
		}
		if err := raw(ctx, q, scope, site, kind, max(fromUs, day*dayUs), until, out); err != nil || last {
			return out, err
		}
	}
}

func decode(to []Moment, at int64, body []byte, fromUs int64) ([]Moment, error) {
	for len(body) > 0 {
		delta, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, errPack
		}
		length, m := binary.Uvarint(body[n:])
		if m <= 0 {
			return nil, errPack
		}
		body = body[n+m:]
		if at += int64(delta); at >= fromUs {
			to = append(to, Moment{at, at + int64(length)})
		}
	}
	return to, nil
}

func raw(ctx context.Context, q store.Querier, scope store.Scope, site id.Site, kind string, fromUs, toUs int64, out map[id.Camera][]Moment) (err error) {
	rows, err := q.QueryContext(ctx, `SELECT camera, at_us, end_us FROM event
		WHERE ($1 = '*' OR org = $1) AND site = $2 AND kind = $3 AND at_us >= $4 AND at_us < $5 ORDER BY at_us, id`,
		scope.Filter(), site, kind, fromUs, toUs)
	if err != nil {
		return fmt.Errorf("list moments of events: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var camera id.Camera
		var m Moment
		if err := rows.Scan(&camera, &m.AtUs, &m.EndUs); err != nil {
			return fmt.Errorf("read moment of event: %w", err)
		}
		m.EndUs = max(m.EndUs, m.AtUs)
		out[camera] = append(out[camera], m)
	}
	return rows.Err()
}
