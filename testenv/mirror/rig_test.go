package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/agent/outbox"
	"holdfast/cloud/ingest"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/marks"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/line"
)

// rig is a site and its cloud.
type rig struct {
	t      testing.TB
	d      *store.DB
	in     *ingest.Ingest
	ref    agents.Ref
	l      *ledger.Ledger
	box    *outbox.Outbox
	path   string
	camera id.Camera

	mu       sync.Mutex
	answered int // bytes of messages that compared days, both ways
	asked    int
	restated []wire.Restatement
	before   func(wire.Restatement) // called before a restatement arrives
}

func newRig(t testing.TB, d *store.DB) *rig {
	t.Helper()
	r := &rig{t: t, d: d, camera: id.New[id.Camera](), path: filepath.Join(t.TempDir(), "ledger.db")}
	r.ref = agents.Ref{Org: id.New[id.Org](), Site: id.New[id.Site](), Agent: id.New[id.Agent]()}
	r.tx(func(q store.Querier) error {
		return errors.Join(orgs.Add(t.Context(), q, orgs.Org{ID: r.ref.Org, Name: "Org " + string(r.ref.Org), CreatedUs: 1}),
			orgs.AddSite(t.Context(), q, orgs.Site{ID: r.ref.Site, Org: r.ref.Org, Name: "North", Timezone: "Europe/Berlin", CreatedUs: 1}))
	})
	r.in = ingest.New(ingest.Config{}, d, ingest.Deps{})
	r.l, r.box = r.open(r.path)
	return r
}

// open opens a ledger that is old enough to speak of every past day, with a running outbox.
func (r *rig) open(path string) (*ledger.Ledger, *outbox.Outbox) {
	r.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	l, err := ledger.Open(r.t.Context(), path, quiet)
	r.must(err)
	r.must(l.SetMeta(r.t.Context(), "created_us", "1"))
	o := outbox.New(outbox.Config{Linger: -1}, l, link{r}, link{r}, quiet)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- o.Run(ctx) }()
	r.t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, l.Close()); err != nil {
			r.t.Error(err)
		}
	})
	return l, o
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tx(fn func(store.Querier) error) {
	r.t.Helper()
	r.must(r.d.Tx(r.t.Context(), fn))
}

// exec changes the cloud's database behind its back.
func (r *rig) exec(statement string, args ...any) {
	r.t.Helper()
	r.tx(func(q store.Querier) error {
		res, err := q.ExecContext(r.t.Context(), statement, args...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("%s changed %d rows, %w", statement, n, err)
		}
		return nil
	})
}

// over puts the site before another database.
func (r *rig) over(d *store.DB) {
	r.d, r.in = d, ingest.New(ingest.Config{}, d, ingest.Deps{})
}

// holds reports whether the cloud has an item as the site does.
func (r *rig) holds(own wire.ItemDigest) bool {
	r.t.Helper()
	answer, err := r.in.Days(r.t.Context(), r.ref, wire.DayAsk{Epoch: r.l.Epoch(), Open: []int64{own.Day}})
	r.must(err)
	return slices.Contains(answer.Days[0].Items, own)
}

// link is the line, without sockets.
type link struct{ *rig }

func (k link) SendBatch(ctx context.Context, b wire.Batch) (wire.Ack, error) {
	return k.in.Apply(ctx, k.ref, b)
}

func (k link) Days(ctx context.Context, ask wire.DayAsk) (wire.DayAnswer, error) {
	answer, err := k.in.Days(ctx, k.ref, ask)
	k.count(ask, answer)
	return answer, err
}

func (k link) Restate(ctx context.Context, s wire.Restatement) (wire.Restated, error) {
	k.mu.Lock()
	before := k.before
	k.restated = append(k.restated, s)
	k.mu.Unlock()
	if before != nil {
		before(s)
	}
	answer, err := k.in.Restate(ctx, k.ref, s)
	k.count(s, answer)
	return answer, err
}

func (k link) count(up, down any) {
	a, err := json.Marshal(up)
	b, err2 := json.Marshal(down)
	k.must(errors.Join(err, err2))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked, k.answered = k.asked+len(a), k.answered+len(b)
}

// connect opens a session and waits until everything is sent.
func (r *rig) connect() {
	r.t.Helper()
	list, err := r.in.Marks(r.t.Context(), r.ref, r.l.Epoch())
	r.must(err)
	r.box.Opened(list)
	r.event("", today()*wire.DayUs, "the line is there") // which goes once ledger and cloud agree about what was sent
	r.drained()
}

func (r *rig) drained() {
	r.t.Helper()
	line.Until(r.t, "an empty outbox", func() bool {
		s, err := r.l.QueueState(r.t.Context())
		r.must(err)
		return s.Facts == 0
	})
}

// round compares once, and returns how many restatements that took.
func (r *rig) round() int {
	r.t.Helper()
	r.mu.Lock()
	before := len(r.restated)
	r.mu.Unlock()
	r.must(r.box.Compare(r.t.Context()))
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.restated) - before
}

// forget has the next round ask of every day, as it would after a while.
func (r *rig) forget() {
	r.t.Helper()
	r.must(r.l.SetMeta(r.t.Context(), ledger.AccordMeta, ""))
}

// equal fails unless cloud and site hold the same of every day.
func (r *rig) equal() {
	r.t.Helper()
	for day := today() - days; day < today(); day++ {
		sum, err := r.l.DaySum(r.t.Context(), day)
		r.must(err)
		answer, err := r.in.Days(r.t.Context(), r.ref, wire.DayAsk{Epoch: r.l.Epoch(), Days: []wire.DayDigest{sum}})
		r.must(err)
		if len(answer.Days) > 0 {
			own, err := r.l.DayItems(r.t.Context(), day)
			r.must(err)
			open, err := r.in.Days(r.t.Context(), r.ref, wire.DayAsk{Epoch: r.l.Epoch(), Open: []int64{day}})
			r.must(err)
			r.t.Fatalf("day %d differs:\n the site holds %v\n the cloud      %v", day, own, open.Days[0].Items)
		}
	}
}

func (r *rig) parked() int {
	r.t.Helper()
	list, err := marks.ListParked(r.t.Context(), r.d.Read(), r.ref.Scope(), r.ref.Site, 100)
	r.must(err)
	return len(list)
}

const (
	days   = 5
	second = int64(1_000_000)
	hour   = 3600 * second
)

// today is the UTC day of which nothing is compared yet: a day counts as over an hour after its end.
func today() int64 { return time.Now().Add(-time.Hour).UnixMicro() / wire.DayUs }

// fill records five days: some segments each day in two streams, gaps, events of the camera and of the site.
func (r *rig) fill() {
	r.t.Helper()
	for n := range int64(days) {
		start := (today()-days+n)*wire.DayUs + 3*hour
		for _, kind := range []id.StreamKind{id.Main, id.Sub} {
			r.record(kind, start, 6)
			r.gap(kind, start+hour, start+2*hour, wire.Unreachable)
		}
		r.record(id.Main, start+20*hour+58*60*second, 4) // past midnight
		for k := range int64(5) {
			r.event(r.camera, start+k*60*second, fmt.Sprintf("motion %d", k))
		}
		r.event("", start, "back door")
	}
}

func (r *rig) record(kind id.StreamKind, startUs int64, minutes int64) (last ledger.Segment) {
	r.t.Helper()
	for m := range minutes {
		at := startUs + m*60*second
		last = ledger.Segment{
			ID: r.l.NextSegment(), Volume: "v", Stream: id.Stream{Camera: r.camera, Kind: kind}, Run: 1, StartUs: at, EndUs: at + 60*second,
			Bytes: 1000, Parts: 60,
		}
		_, err := r.l.CloseSegment(r.t.Context(), last, nil)
		r.must(err)
	}
	return last
}

func (r *rig) gap(kind id.StreamKind, from, to int64, reason wire.Reason) int64 {
	r.t.Helper()
	n, err := r.l.BeginGap(r.t.Context(), ledger.Gap{
		Stream: id.Stream{Camera: r.camera, Kind: kind}, Run: 1, StartUs: from, EndUs: to, Reason: reason, Detail: "No answer from the camera.",
	})
	r.must(err)
	return n
}

func (r *rig) event(camera id.Camera, at int64, text string) wire.EventFact {
	r.t.Helper()
	e := wire.EventFact{ID: id.New[id.Event](), Camera: camera, Kind: "motion", Source: "nvr", AtUs: at, Text: text, Data: json.RawMessage(`{"zone": 3}`)}
	r.must(r.l.PutEvent(r.t.Context(), e))
	return e
}
