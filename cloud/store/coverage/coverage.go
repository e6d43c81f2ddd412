// Package coverage holds the SQL of where video is: merged spans of recorded and of removed time, and declared
// gaps, for each stream of each camera.
//
// Facts may come twice: saying the same again changes nothing. Writers hold the site's lock (marks.Lock), for
// merging reads before it writes. Nothing is invented here: a moment that no span and no gap covers is not
// answered, and the caller says "unknown".
package coverage

import (
	"cmp"
	"container/heap"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"sort"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Lasts is the end of a gap that is still open.
const Lasts = math.MaxInt64

// maxRows bounds how many spans and how many gaps one question reads.
const maxRows = 20000

// ErrTooMany says that the asked time range holds more ranges than one answer carries.
var ErrTooMany = errors.New("the time range holds too many pieces: ask for a shorter one")

// Gap says why a range has no video.
type Gap struct {
	StartUs, EndUs int64 // of the whole gap, which may begin before the range; EndUs is Lasts while it is open
	Reason         wire.Reason
	Detail         string // for a person; may be empty

	ledger string // agent and epoch
	id     int64  // in the ledger
}

// Range is one piece of an answer: recorded, or a gap.
type Range struct {
	StartUs, EndUs int64
	Recorded       bool
	Origin         string // of a recorded range: empty, or the source it was filled from
	Gap            *Gap   // nil if recorded
}

// Coverage returns what is known of [fromUs, toUs) of a stream: disjoint ranges, sorted, cut to the question.
// Where they overlap on the wall clock video wins, then the newer gap, then what was removed, which is a gap with
// the reason of the removal. An open gap ends at the next recorded span, and reaches no further than
// now. ErrTooMany if the time range holds more than 20,000 spans or gaps.
func Coverage(ctx context.Context, q store.Querier, scope store.Scope, camera id.Camera, kind id.StreamKind,
	fromUs, toUs int64,
) ([]Range, error) {
	if fromUs >= toUs {
		return []Range{}, nil
	}
	spans, err := readSpans(ctx, q, scope, camera, kind, fromUs, toUs)
	if err != nil {
		return nil, err
	}
	gaps, err := readGaps(ctx, q, scope, camera, kind, fromUs, toUs)
	if err != nil {
		return nil, err
	}
	return combine(spans, gaps, fromUs, toUs, time.Now().UnixMicro()), nil
}

func readSpans(ctx context.Context, q store.Querier, scope store.Scope, camera id.Camera, kind id.StreamKind,
	fromUs, toUs int64,
) (pieces, error) {
	rows, err := q.QueryContext(ctx, `SELECT start_us, end_us, origin, gone FROM span
		WHERE ($1 = '*' OR org = $1) AND camera = $2 AND stream = $3 AND start_us < $5 AND start_us >= COALESCE(
			(SELECT max(start_us) FROM span WHERE camera = $2 AND stream = $3 AND start_us <= $4), $4)
		ORDER BY start_us LIMIT $6`, scope.Filter(), camera, kind, fromUs, toUs, maxRows+1)
	out, err := bulk.Collect(rows, err, "spans", func(rows *sql.Rows) (p piece, err error) {
		return p, rows.Scan(&p.start, &p.end, &p.origin, &p.gone)
	})
	if len(out) > maxRows {
		return nil, ErrTooMany
	}
	return out, err
}

func readGaps(ctx context.Context, q store.Querier, scope store.Scope, camera id.Camera, kind id.StreamKind,
	fromUs, toUs int64,
) ([]Gap, error) {
	rows, err := q.QueryContext(ctx, `SELECT start_us, end_us, reason, detail, agent || epoch, id FROM gap
		WHERE ($1 = '*' OR org = $1) AND camera = $2 AND stream = $3 AND end_us > $4 AND start_us < $5 AND end_us > start_us
		LIMIT $6`, scope.Filter(), camera, kind, fromUs, toUs, maxRows+1)
	out, err := bulk.Collect(rows, err, "gaps", func(rows *sql.Rows) (g Gap, err error) {
		return g, rows.Scan(&g.StartUs, &g.EndUs, &g.Reason, &g.Detail, &g.ledger, &g.id)
	})
	if len(out) > maxRows {
		return nil, ErrTooMany
	}
	return out, err
}

// combine lays removed spans, gaps (oldest first) and recorded spans over each other, in that order.
func combine(spans pieces, gaps []Gap, fromUs, toUs, nowUs int64) []Range {
	b := board{fromUs: fromUs, toUs: toUs}
	for _, s := range spans {
		if s.gone != "" {
			b.lay(Range{
				StartUs: s.start, EndUs: s.end,
				Gap: &Gap{StartUs: s.start, EndUs: s.end, Reason: wire.Reason(s.gone)},
			})
		}
	}
	byAge(gaps)
	for i := range gaps {
		end := gaps[i].EndUs
		if end == Lasts {
			end = min(spans.nextRecorded(gaps[i].StartUs), nowUs)
		}
		b.lay(Range{StartUs: gaps[i].StartUs, EndUs: end, Gap: &gaps[i]})
	}
	for _, s := range spans {
		if s.gone == "" {
			b.lay(Range{StartUs: s.start, EndUs: s.end, Recorded: true, Origin: s.origin})
		}
	}
	return b.ranges()
}

// byAge sorts gaps, older ones first: by ID inside a ledger, and a ledger after those whose gaps began before its
// newest one, for an agent that was replaced or restored counts anew.
func byAge(gaps []Gap) {
	newest := map[string]int64{}
	for _, g := range gaps {
		newest[g.ledger] = max(newest[g.ledger], g.StartUs)
	}
	slices.SortFunc(gaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(newest[a.ledger], newest[b.ledger]), cmp.Compare(a.ledger, b.ledger), cmp.Compare(a.id, b.id))
	})
}

// nextRecorded returns the start of the first recorded span at or after us, or Lasts.
func (ps pieces) nextRecorded(us int64) int64 {
	from := sort.Search(len(ps), func(i int) bool { return ps[i].start >= us })
	for _, p := range ps[from:] {
		if p.gone == "" {
			return p.start
		}
	}
	return Lasts
}

// board finds for each moment the range that was laid last.
type board struct {
	fromUs, toUs int64
	laid         []Range
}

func (b *board) lay(r Range) {
	r.StartUs, r.EndUs = max(r.StartUs, b.fromUs), min(r.EndUs, b.toUs)
	if r.StartUs < r.EndUs {
		b.laid = append(b.laid, r)
	}
}

// ranges sweeps over the edges in time; topmost is what was laid last of what is open.
func (b *board) ranges() []Range {
	type edge struct {
		at    int64
		index int
		opens bool
	}
	edges := make([]edge, 0, 2*len(b.laid))
	for i, r := range b.laid {
		edges = append(edges, edge{r.StartUs, i, true}, edge{r.EndUs, i, false})
	}
	sort.Slice(edges, func(i, j int) bool { return edges[i].at < edges[j].at })
	closed := make([]bool, len(b.laid))
	open := &topmost{}
	out := []Range{}
	for i := 0; i < len(edges); {
		at := edges[i].at
		for ; i < len(edges) && edges[i].at == at; i++ {
			if edges[i].opens {
				heap.Push(open, edges[i].index)
			} else {
				closed[edges[i].index] = true
			}
		}
		for open.Len() > 0 && closed[(*open)[0]] {
			heap.Pop(open)
		}
		if open.Len() > 0 {
			out = join(out, b.laid[(*open)[0]], at, edges[i].at)
		}
	}
	return out
}

// topmost is a heap with the greatest index first.
type topmost []int

func (t topmost) Len() int           { return len(t) }
func (t topmost) Less(i, j int) bool { return t[i] > t[j] }
func (t topmost) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push appends x, as container/heap wants it.
func (t *topmost) Push(x any) { *t = append(*t, x.(int)) }

// Pop removes the last one, as container/heap wants it.
func (t *topmost) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}

// join appends [start, end) of r, or lengthens the last range if it is the same one.
func join(out []Range, r Range, start, end int64) []Range {
	if n := len(out); n > 0 {
		last := &out[n-1]
		if last.EndUs == start && last.Recorded == r.Recorded && last.Origin == r.Origin && last.Gap == r.Gap {
			last.EndUs = end
			return out
		}
	}
	r.StartUs, r.EndUs = start, end
	return append(out, r)
}
