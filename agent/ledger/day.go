package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"strconv"
	"sync"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// dayCache holds the digests of days that were computed and have not changed since.
type dayCache struct {
	mu      sync.Mutex
	sums    map[int64]wire.Digest
	reading map[int64]bool // days that are being computed; true: changed meanwhile
	watched map[wire.DayItem]bool
}

func newDayCache() *dayCache {
	return &dayCache{sums: map[int64]wire.Digest{}, reading: map[int64]bool{}, watched: map[wire.DayItem]bool{}}
}

// touch says that an item has changed.
func (c *dayCache) touch(k wire.DayItem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sums, k.Day)
	if _, on := c.reading[k.Day]; on {
		c.reading[k.Day] = true
	}
	if _, on := c.watched[k]; on {
		c.watched[k] = true
	}
}

// touchAll says that anything may have changed.
func (c *dayCache) touchAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.sums)
	for d := range c.reading {
		c.reading[d] = true
	}
	for k := range c.watched {
		c.watched[k] = true
	}
}

func (c *dayCache) get(day int64) (wire.Digest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.sums[day]
	if !ok {
		c.reading[day] = false
	}
	return d, ok
}

func (c *dayCache) put(day int64, d wire.Digest, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reading[day] && err == nil {
		c.sums[day] = d
	}
	delete(c.reading, day)
}

// touchRange says that the coverage of a stream has changed in [startUs, endUs).
func (t *tx) touchRange(stream id.Stream, startUs, endUs int64) {
	for day := (startUs - 2*toleranceUs) / wire.DayUs; day*wire.DayUs < endUs+2*toleranceUs; day++ {
		t.touch(wire.DayItem{Day: day, Stream: stream, Kind: wire.KindCoverage})
	}
}

// touch says that an item has changed, once that is committed.
func (t *tx) touch(k wire.DayItem) {
	t.after = append(t.after, func() { t.w.days.touch(k) })
}

// Watch returns a function that ends the watch and reports whether the item has changed since.
func (l *Ledger) Watch(k wire.DayItem) (changed func() bool) {
	c := l.w.days
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched[k] = false
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		is := c.watched[k]
		delete(c.watched, k)
		return is
	}
}

// AccordMeta is the name under which it is kept on which days cloud and ledger agree. It is forgotten when the cloud
// has lost facts.
const AccordMeta = "accord"

// Claim is the time of which the ledger can say what the site holds.
type Claim struct {
	FromDay int64 // coverage, events and clips: from this UTC day on
	GapsDay int64 // gaps: from this one on
}

const (
	claimBack = 30                   // days before the oldest video: what was told to be gone there may not have arrived
	rebuiltUs = int64(3_600_000_000) // video that is so much older than the ledger was found on the disk by a rebuild
)

// Claim returns it. A ledger knows nothing of what another one recorded before it was made, unless it was rebuilt from
// the media files: then it knows the coverage.
func (l *Ledger) Claim(ctx context.Context) (c Claim, err error) {
	text, err := l.Meta(ctx, "created_us")
	if err != nil {
		return c, err
	}
	created, _ := strconv.ParseInt(text, 10, 64) // it is there since version 1
	var first, gapUs, gaps int64
	err = l.read.QueryRowContext(ctx, `SELECT coalesce((SELECT min(first) FROM (SELECT (SELECT min(start_us) FROM segment e
			WHERE e.stream = s.id) AS first FROM stream s)), 0),
		coalesce((SELECT start_us FROM gap ORDER BY id LIMIT 1), 0),
		coalesce((SELECT max(id) FROM gap), 0) - coalesce((SELECT min(id) FROM gap), 0)`).Scan(&first, &gapUs, &gaps)
	if err != nil {
		return c, explain("read the oldest facts", err)
	}
	born := created/wire.DayUs + 1
	c.FromDay, c.GapsDay = born, born
	switch {
	case first > 0 && first < created-rebuiltUs:
		c.FromDay = first/wire.DayUs - claimBack
	case first > 0:
		c.FromDay = max(born, first/wire.DayUs-claimBack)
	default:
		c.FromDay = max(born, nowUs()/wire.DayUs-claimBack)
	}
	if gaps >= l.history-1 { // older ones were trimmed
		c.GapsDay = max(c.GapsDay, gapUs/wire.DayUs+1)
	}
	return c, nil
}

// DaySum returns the digest of all that the ledger holds of a UTC day. It is computed once and kept until something of
// the day changes. It reads beside the writer, and does not hold it up.
func (l *Ledger) DaySum(ctx context.Context, day int64) (wire.DayDigest, error) {
	if d, ok := l.w.days.get(day); ok {
		return wire.DayDigest{Day: day, Digest: d}, nil
	}
	items, err := l.DayItems(ctx, day)
	sum := wire.SumDay(day, items)
	l.w.days.put(day, sum.Digest, err)
	return sum, err
}

// DayItems returns the digests of the items of a UTC day that hold something, in no order.
func (l *Ledger) DayItems(ctx context.Context, day int64) ([]wire.ItemDigest, error) {
	sums := map[wire.DayItem]wire.Digest{}
	add := func(stream id.Stream, kind wire.FactKind, hash uint64) {
		k := wire.DayItem{Day: day, Stream: stream, Kind: kind}
		d := sums[k]
		d.Add(hash)
		sums[k] = d
	}
	from, to := day*wire.DayUs, (day+1)*wire.DayUs
	covered, err := l.covered(ctx, "", from, to)
	if err != nil {
		return nil, err
	}
	for s, ranges := range covered {
		for _, r := range ranges {
			add(s, wire.KindCoverage, wire.HashRange(r))
		}
	}
	if err := l.gapsOf(ctx, "", from, to, func(g wire.GapFact) { add(g.Stream, wire.KindGap, wire.HashGap(g)) }); err != nil {
		return nil, err
	}
	err = l.eventsOf(ctx, from, to, func(e wire.EventFact) {
		add(id.Stream{Camera: e.Camera}, wire.KindEvent, wire.HashEvent(e))
	})
	if err != nil {
		return nil, err
	}
	err = l.clipsOf(ctx, from, to, func(camera id.Camera, f wire.ClipFact) {
		add(id.Stream{Camera: camera}, wire.KindClip, wire.HashClip(f.Clip, f.State))
	})
	out := make([]wire.ItemDigest, 0, len(sums))
	for k, d := range sums {
		out = append(out, wire.ItemDigest{DayItem: k, Digest: d})
	}
	return out, err
}

// DayFacts are the facts of one item.
type DayFacts struct {
	FirstUs int64 // where the oldest video of the stream begins; now when there is none
	Ranges  []wire.Covered
	Gaps    []wire.GapFact // by start
	Events  []wire.EventFact
	Clips   []wire.ClipFact
}

// DayFacts returns what the ledger holds of an item.
func (l *Ledger) DayFacts(ctx context.Context, k wire.DayItem) (f DayFacts, err error) {
	from, to := k.FromUs(), k.FromUs()+wire.DayUs
	switch k.Kind {
	case wire.KindCoverage:
		covered, err := l.covered(ctx, k.Stream.Camera, from, to)
		if err != nil {
			return f, err
		}
		f.Ranges = covered[k.Stream]
		err = l.read.QueryRowContext(ctx, `SELECT coalesce((SELECT min(start_us) FROM stream s JOIN segment e ON e.stream = s.id
			WHERE camera = ? AND s.kind = ?), ?)`, k.Stream.Camera, k.Stream.Kind, nowUs()).Scan(&f.FirstUs)
		return f, explain("read segments", err)
	case wire.KindGap:
		err = l.gapsOf(ctx, k.Stream.Camera, from, to, func(g wire.GapFact) {
			if g.Stream == k.Stream {
				f.Gaps = append(f.Gaps, g)
			}
		})
	case wire.KindEvent:
		err = l.eventsOf(ctx, from, to, func(e wire.EventFact) {
			if e.Camera == k.Stream.Camera {
				f.Events = append(f.Events, e)
			}
		})
	case wire.KindClip:
		err = l.clipsOf(ctx, from, to, func(camera id.Camera, c wire.ClipFact) {
			if camera == k.Stream.Camera {
				f.Clips = append(f.Clips, c)
			}
		})
	}
	return f, err
}

// covered returns what is recorded in [fromUs, toUs), in canonical form, of one camera's streams or, without one, of all.
func (l *Ledger) covered(ctx context.Context, camera id.Camera, fromUs, toUs int64) (map[id.Stream][]wire.Covered, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT camera, s.kind, start_us, end_us, origin FROM stream s JOIN span x ON x.stream = s.id
			WHERE (?1 = '' OR camera = ?1) AND start_us >= ?2 - 21600000000 AND start_us < ?3 AND end_us > ?2 AND end_us - start_us <= 21600000000
		UNION ALL SELECT camera, s.kind, start_us, end_us, origin FROM stream s JOIN span x INDEXED BY span_long ON x.stream = s.id
			WHERE (?1 = '' OR camera = ?1) AND end_us - start_us > 21600000000 AND start_us < ?3 AND end_us > ?2`,
		camera, fromUs-2*toleranceUs, toUs+2*toleranceUs)
	type row struct {
		stream id.Stream
		wire.Covered
	}
	all, err := list(rows, err, func(rows *sql.Rows) (r row, err error) {
		return r, rows.Scan(&r.stream.Camera, &r.stream.Kind, &r.StartUs, &r.EndUs, &r.Origin)
	})
	if err != nil {
		return nil, explain("read coverage", err)
	}
	out := map[id.Stream][]wire.Covered{}
	for _, r := range all {
		out[r.stream] = append(out[r.stream], r.Covered)
	}
	for s, ranges := range out {
		out[s] = wire.Canon(ranges, fromUs, toUs)
	}
	return out, nil
}

// gapsOf calls each for the gaps that begin in [fromUs, toUs), by start, of one camera's streams or of all.
func (l *Ledger) gapsOf(ctx context.Context, camera id.Camera, fromUs, toUs int64, each func(wire.GapFact)) error {
	rows, err := l.read.QueryContext(ctx, `SELECT g.id, camera, kind, run, start_us, end_us, reason, detail FROM stream s
		JOIN gap g ON g.stream = s.id WHERE (?1 = '' OR camera = ?1) AND start_us >= ?2 AND start_us < ?3 ORDER BY start_us, g.id`, camera, fromUs, toUs)
	_, err = list(rows, err, func(rows *sql.Rows) (none struct{}, err error) {
		var g Gap
		err = rows.Scan(&g.ID, &g.Stream.Camera, &g.Stream.Kind, &g.Run, &g.StartUs, &g.EndUs, &g.Reason, &g.Detail)
		if err == nil {
			each(gapFact(g))
		}
		return none, err
	})
	return explain("read gaps", err)
}

// eventsOf calls each for the events of [fromUs, toUs).
func (l *Ledger) eventsOf(ctx context.Context, fromUs, toUs int64, each func(wire.EventFact)) error {
	rows, err := l.read.QueryContext(ctx, `SELECT id, camera, kind, source, at_us, end_us, text, data FROM event
		WHERE at_us >= ? AND at_us < ?`, fromUs, toUs)
	if err != nil {
		return explain("read events", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var e wire.EventFact
		var data string
		if err := rows.Scan(&e.ID, &e.Camera, &e.Kind, &e.Source, &e.AtUs, &e.EndUs, &e.Text, &data); err != nil {
			return explain("read events", err)
		}
		if data != "" {
			e.Data = json.RawMessage(data)
		}
		each(e)
	}
	return explain("read events", rows.Err())
}

// clipsOf calls each for the clips that begin in [fromUs, toUs) and of which the cloud was told.
func (l *Ledger) clipsOf(ctx context.Context, fromUs, toUs int64, each func(id.Camera, wire.ClipFact)) error {
	clips, err := l.Clips(ctx)
	for _, c := range clips {
		if c.State != wire.ClipWanted && c.Order.StartUs >= fromUs && c.Order.StartUs < toUs {
			c.Fact.State = c.State
			each(c.Order.Camera, c.Fact)
		}
	}
	return err
}
