package real

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/agent/ledger"
	"holdfast/cloud/api"
	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/bubble"
	"holdfast/testenv/house"
)

const (
	manyCameras = 40
	eventEvery  = 5 // minutes, of each camera
	lapseEvery  = 6 * 60
)

// TestTheBacklogOfDays has a site of forty cameras come back from an outage of three days. Its ledger is written minute by
// minute on a clock that does not wait. What waited drains, the oldest first; what happens meanwhile does not wait behind
// it; and in the end the cloud has what the site has. Its video lies on a disk that is not plugged in: this is about the
// facts.
func TestTheBacklogOfDays(t *testing.T) {
	length := time.Hour
	if *long {
		length = 72 * time.Hour
	}
	o := &outage{T: t, length: length}
	plan := house.BranchPlan{Name: "Days", Before: o.write, Cameras: []house.CameraPlan{{Key: "cam-0", Name: "Dock", Place: "dock", Mute: true}}}
	for i := 1; i < manyCameras; i++ {
		plan.Cameras = append(plan.Cameras, house.CameraPlan{
			Key: fmt.Sprintf("cam-%d", i), Name: fmt.Sprintf("Camera %d", i), Main: "rtsp://127.0.0.1:1/none", // long since gone
		})
	}
	b := start(t, house.Setup{Branches: []house.BranchPlan{plan}})
	b.known = "its volume is not here"
	b.waits(o)
	b.restore()
	b.drains(o)
	b.sound()
	b.sameBooks(time.Minute, o.begun.UnixMicro())
}

// outage is what a site has noted while its line was away.
type outage struct {
	*testing.T
	length  time.Duration
	begun   time.Time
	cameras []id.Camera
	facts   int64
	minutes []int // how many events there were before each minute
}

// write fills the ledger of a site whose agent has never run, as an agent does, and cuts its line.
func (o *outage) write(ctx context.Context, s *house.Site) error {
	s.Line.Cut()
	byKey := map[string]id.Camera{}
	for _, c := range s.BranchPlan.Cameras {
		byKey[c.Key] = id.New[id.Camera]()
		o.cameras = append(o.cameras, byKey[c.Key])
	}
	text, err := json.Marshal(byKey)
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(s.Data, 0o700), os.WriteFile(filepath.Join(s.Data, "cameras.json"), text, 0o600)); err != nil {
		return err
	}
	o.begun = time.Now().Add(-o.length).Truncate(time.Microsecond)
	took := time.Now()
	synctest.Test(o.T, func(t *testing.T) {
		bubble.Pass(time.Until(o.begun))
		err = o.pass(t.Context(), filepath.Join(s.Data, "ledger.db"))
	})
	o.Logf("backlog_written: %d facts of %v in %.1f s", o.facts, o.length, time.Since(took).Seconds())
	return err
}

// pass lets the time of the outage pass; it runs in a bubble, which begins with it.
func (o *outage) pass(ctx context.Context, path string) (err error) {
	l, err := ledger.Open(ctx, path, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	run, _, err := l.BeginRun(ctx, ledger.RunStart{BootID: "before", WallUs: o.begun.UnixMicro(), Version: "test"})
	if err != nil {
		return err
	}
	events := 0
	for m := range int(o.length / time.Minute) {
		bubble.Pass(time.Minute)
		o.minutes = append(o.minutes, events)
		var all sync.WaitGroup
		errs := make([]error, len(o.cameras))
		for i := range o.cameras {
			if (m+i)%eventEvery == 0 {
				events++
			}
			all.Go(func() { errs[i] = o.minute(ctx, l, run.ID, m, i) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	o.minutes = append(o.minutes, events)
	o.facts = int64(events + len(o.cameras)*(len(o.minutes)-1))
	return l.EndRun(ctx, run.ID, o.length.Microseconds(), wire.AgentStopped)
}

// minute notes what a camera did in a minute: it was recorded, but for one minute in six hours, and now and then
// something moved.
func (o *outage) minute(ctx context.Context, l *ledger.Ledger, run int64, m, i int) error {
	const us = int64(time.Minute / time.Microsecond)
	stream := id.Stream{Camera: o.cameras[i], Kind: id.Main}
	start := o.begun.UnixMicro() + int64(m)*us
	var err error
	if (m+7*i)%lapseEvery == lapseEvery-1 {
		_, err = l.BeginGap(ctx, ledger.Gap{Stream: stream, Run: run, StartUs: start, EndUs: start + us, Reason: wire.Unreachable})
	} else {
		_, err = l.CloseSegment(ctx, ledger.Segment{
			ID: l.NextSegment(), Volume: "unplugged", Stream: stream, Run: run, MonoUs: int64(m) * us, StartUs: start, EndUs: start + us,
			Bytes: 15_000_000, Parts: 60,
		}, nil)
	}
	if err != nil || (m+i)%eventEvery != 0 {
		return err
	}
	return l.PutEvent(ctx, wire.EventFact{
		ID: id.New[id.Event](), Camera: o.cameras[i], Kind: "motion", Source: "nvr", AtUs: start + us/2 + int64(i),
		EndUs: start + us, Data: fmt.Appendf(nil, `{"zone":%d}`, i%4+1),
	})
}

// waits checks that the window tells how much waits, and for how long it has.
func (b *branch) waits(o *outage) {
	b.Helper()
	var queue map[string]any
	b.until(20*time.Second, "the window tells of all that waits", func(ctx context.Context) (bool, error) {
		status, err := b.site.Status(ctx)
		queue, _ = status["queue"].(map[string]any)
		facts, _ := queue["facts"].(float64)
		return int64(facts) >= o.facts, err
	})
	oldest, _ := queue["oldest_us"].(float64)
	if age := time.Since(time.UnixMicro(int64(oldest))); age < o.length-2*time.Minute || age > o.length+10*time.Minute {
		b.Errorf("the window says that the oldest of what waits is of %v ago, want %v", age, o.length)
	}
	if bytes, _ := queue["fact_bytes"].(float64); int64(bytes) < 50*o.facts {
		b.Errorf("the window says that %.0f bytes wait in %d facts", bytes, o.facts)
	}
}

// drains follows the backlog to its end while the door rings.
func (b *branch) drains(o *outage) {
	b.Helper()
	db, err := store.Open(b.Context(), filepath.Join(b.house.Dir, "cloud", "cloud.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }() // only read
	begun := time.Now()
	b.until(time.Minute, "the agent is back", func(ctx context.Context) (bool, error) { return connected(ctx, b.site) })
	rung := map[string]time.Time{}
	var delays []time.Duration
	var next time.Time
	all := o.minutes[len(o.minutes)-1]
	b.until(5*time.Minute, "the backlog drains", func(ctx context.Context) (bool, error) {
		if time.Now().After(next) {
			next = time.Now().Add(200 * time.Millisecond)
			b.ring(1)
			rung[b.rung[len(b.rung)-1]] = time.Now()
		}
		var page api.Events
		if err := b.house.Owner.Get(ctx, "/events?kind=door_opened&limit=100&site="+string(b.site.ID), &page); err != nil {
			return false, err
		}
		for _, e := range page.Events {
			if at, ok := rung[e.Text]; ok {
				delays = append(delays, time.Since(at))
				delete(rung, e.Text)
			}
		}
		n, err := o.inOrder(ctx, db, b.site.ID)
		return n == all && len(delays) >= 20, err
	})
	took := time.Since(begun)
	b.inOrder(30 * time.Second)
	slices.Sort(delays)
	p95 := delays[len(delays)*95/100]
	if p95 > 5*time.Second {
		b.Errorf("new events took %v while the backlog drained", p95)
	}
	b.Logf("backlog_drained: %.1f s for %d facts of %v, reconnecting counted", took.Seconds(), o.facts, o.length)
	b.Logf("backlog_live_p95: %.2f s (%d events, the slowest %.2f s)", p95.Seconds(), len(delays), delays[len(delays)-1].Seconds())
}

// inOrder checks that of what happened in the outage the cloud has the oldest, and returns how many events it has.
func (o *outage) inOrder(ctx context.Context, db *store.DB, site id.Site) (n int, err error) {
	var newest int64
	err = db.Read().QueryRowContext(ctx, `SELECT count(*), coalesce(max(at_us), 0) FROM event WHERE site = $1 AND kind = 'motion'`, site).Scan(&n, &newest)
	if err != nil || n == 0 {
		return n, err
	}
	m := int((newest - o.begun.UnixMicro()) / int64(time.Minute/time.Microsecond))
	if m < 0 || m+1 >= len(o.minutes) || n < o.minutes[m] || n > o.minutes[m+1] {
		return n, fmt.Errorf("the cloud has %d events up to minute %d, want the oldest first, without a hole", n, m)
	}
	return n, nil
}
