package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"modernc.org/sqlite"

	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/bubble"
)

func TestMain(m *testing.M) {
	// Every check opens files and syncs them: a few are enough each time, more can be asked for by flag.
	for name, value := range map[string]string{"rapid.checks": "25", "rapid.steps": "40", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// tb is what testing.TB and rapid.T share.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func openAt(t tb, path string) *Ledger {
	t.Helper()
	l, err := Open(context.Background(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// quick spares a ledger the waiting for the disk, where a test makes thousands of commits.
func quick(t tb, l *Ledger) *Ledger {
	_, err := l.w.conn.ExecContext(context.Background(), `PRAGMA synchronous = off`)
	must(t, err)
	return l
}

func open(t testing.TB) *Ledger {
	t.Helper()
	l := openAt(t, filepath.Join(t.TempDir(), "ledger.db"))
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		sound(t, l.path)
	})
	return l
}

// sound checks that Examine finds nothing wrong.
func sound(t tb, path string) {
	t.Helper()
	found, err := Examine(context.Background(), path)
	must(t, err)
	if len(found) > 0 {
		t.Fatalf("the ledger is not sound:\n%s", strings.Join(found, "\n"))
	}
}

func must(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newStream() id.Stream { return id.Stream{Camera: id.New[id.Camera](), Kind: id.Main} }

func event(kind string) wire.EventFact {
	return wire.EventFact{ID: id.New[id.Event](), Kind: kind, Source: "local", AtUs: 1}
}

// facts returns everything pending, by queue in the order of Queues.
func facts(t tb, l *Ledger) map[int64][]wire.Fact {
	t.Helper()
	queues, err := l.Queues(context.Background())
	must(t, err)
	out := map[int64][]wire.Fact{}
	for _, q := range queues {
		b, err := l.Pending(context.Background(), q.Queue, 0, 1<<20, 1<<30)
		must(t, err)
		if int64(len(b.Facts)) != q.Rows || q.Rows > 0 && b.Epoch != l.Epoch() {
			t.Fatalf("queue %d says %d rows and yields %d of epoch %q", q.Queue, q.Rows, len(b.Facts), b.Epoch)
		}
		out[q.Queue] = b.Facts
	}
	return out
}

// bodies decodes the pending facts of one kind in a queue.
func bodies[T any](t tb, l *Ledger, queue int64, kind wire.FactKind) (out []T) {
	t.Helper()
	for _, f := range facts(t, l)[queue] {
		if f.Kind == kind {
			var v T
			must(t, json.Unmarshal(f.Body, &v))
			out = append(out, v)
		}
	}
	return out
}

func TestOpenRefusesWhatItCannotKeep(t *testing.T) {
	dir := t.TempDir()
	raw := func(path, script string) {
		db, err := sql.Open("sqlite", location(path))
		must(t, err)
		_, err = db.Exec(script)
		must(t, errors.Join(err, db.Close()))
	}
	newer, foreign := filepath.Join(dir, "a # b ? %41.db"), filepath.Join(dir, "foreign.db")
	must(t, openAt(t, newer).Close())
	raw(newer, `PRAGMA user_version = 99`)
	raw(foreign, `CREATE TABLE x (y)`)
	damaged, text := filepath.Join(dir, "damaged.db"), filepath.Join(dir, "text.db")
	l := openAt(t, damaged)
	for range 200 {
		must(t, l.PutEvent(t.Context(), event("motion")))
	}
	must(t, l.Close())
	data, err := os.ReadFile(damaged)
	must(t, err)
	for i := 4 * 4096; i < len(data); i += 4096 {
		copy(data[i:], "overwritten by something else")
	}
	must(t, os.WriteFile(damaged, data, 0o600))
	must(t, os.WriteFile(text, []byte(strings.Repeat("not a database at all. ", 100)), 0o600))
	for path, want := range map[string]string{
		newer:                                 "start the newer holdfast-agent",
		foreign:                               "not a ledger",
		damaged:                               "holdfast-agent check",
		text:                                  "holdfast-agent check",
		filepath.Join(dir, "missing", "x.db"): "does the folder exist",
	} {
		l, err := Open(t.Context(), path, slog.Default())
		if err == nil {
			_ = l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%s) = %v, want a sentence with %q", filepath.Base(path), err, want)
		}
	}
	for _, path := range []string{damaged, text} {
		if found, err := Examine(t.Context(), path); err != nil || len(found) == 0 {
			t.Errorf("Examine(%s) = %q, %v; want findings", filepath.Base(path), found, err)
		}
	}
}

func TestFileIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps access lists, not modes: the installer sets them on the folder")
	}
	l := open(t)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(l.path + suffix)
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("ledger.db%s has mode %v", suffix, info.Mode())
		}
	}
}

func TestMetaAndEpoch(t *testing.T) {
	l := open(t)
	if v, err := l.Meta(t.Context(), "none"); v != "" || err != nil {
		t.Fatalf("Meta(none) = %q, %v", v, err)
	}
	must(t, l.SetMeta(t.Context(), "a", "1"))
	must(t, l.SetMeta(t.Context(), "a", "2"))
	if v, err := l.Meta(t.Context(), "a"); v != "2" || err != nil {
		t.Fatalf("Meta(a) = %q, %v", v, err)
	}
	other := openAt(t, filepath.Join(t.TempDir(), "other.db"))
	defer func() { must(t, other.Close()) }()
	if l.Epoch() == "" || l.Epoch() == other.Epoch() {
		t.Fatalf("epochs %q and %q", l.Epoch(), other.Epoch())
	}
}

func TestConcurrentWritersShareACommit(t *testing.T) {
	l := open(t)
	var commits int
	must(t, l.w.conn.Raw(func(c any) error {
		c.(sqlite.HookRegisterer).RegisterCommitHook(func() int32 { commits++; return 0 })
		return nil
	}))
	holding, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		must(t, l.write(t.Context(), "hold", func(tx *tx) error {
			close(holding)
			<-release
			return tx.setMeta("held", "1")
		}))
	})
	<-holding
	const cameras = 80
	boom := errors.New("boom")
	for i := range cameras {
		wg.Go(func() {
			s := Segment{ID: l.NextSegment(), Stream: newStream(), StartUs: 1, EndUs: 2_000_000, Bytes: 10}
			_, err := l.CloseSegment(context.Background(), s, nil)
			must(t, err)
		})
		if i%10 == 0 { // one that fails is undone alone
			wg.Go(func() {
				err := l.write(context.Background(), "fail", func(t *tx) error { return errors.Join(t.setMeta("bad", "1"), boom) })
				if !errors.Is(err, boom) {
					t.Errorf("write = %v, want boom", err)
				}
			})
		}
	}
	for waiting := 0; waiting < cameras+cameras/10; {
		l.w.mu.Lock()
		waiting = len(l.w.jobs)
		l.w.mu.Unlock()
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	if commits > 3 {
		t.Errorf("%d commits for %d cameras, want at most 3", commits, cameras)
	}
	if v, err := l.Meta(t.Context(), "bad"); v != "" || err != nil {
		t.Errorf("a failed write left %q, %v", v, err)
	}
	if n := len(bodies[wire.CoverageFact](t, l, 1, wire.KindCoverage)); n != cameras {
		t.Errorf("%d coverage facts, want %d", n, cameras)
	}
}

func TestWriteAfterCloseAndCancelled(t *testing.T) {
	l := openAt(t, filepath.Join(t.TempDir(), "ledger.db"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.SetMeta(ctx, "a", "1"); !errors.Is(err, context.Canceled) {
		t.Fatalf("SetMeta with a cancelled context = %v", err)
	}
	must(t, l.Close())
	if err := l.SetMeta(t.Context(), "a", "1"); !errors.Is(err, errClosed) {
		t.Fatalf("SetMeta after Close = %v", err)
	}
}

func TestRuns(t *testing.T) {
	l := open(t)
	ctx := t.Context()
	first, prev, err := l.BeginRun(ctx, RunStart{BootID: "a", WallUs: 1000, Version: "1"})
	must(t, err)
	if prev != nil {
		t.Fatalf("the first run has a predecessor: %+v", prev)
	}
	must(t, l.Flushed(ctx, 500, nil))
	second, prev, err := l.BeginRun(ctx, RunStart{BootID: "a", WallUs: 2000, Version: "1"})
	must(t, err)
	if prev.ID != first.ID || prev.EndedBy != wire.AgentCrashed || prev.LastMonoUs != 500 {
		t.Fatalf("after a crash prev = %+v", prev)
	}
	must(t, l.EndRun(ctx, second.ID, 700, wire.ClockStep))
	must(t, l.EndRun(ctx, second.ID, 900, wire.AgentStopped))
	third, prev, err := l.BeginRun(ctx, RunStart{BootID: "a", WallUs: 3000, Version: "2"})
	must(t, err)
	if prev.EndedBy != wire.ClockStep || prev.LastMonoUs != 700 {
		t.Fatalf("after a clock step prev = %+v", prev)
	}
	_, prev, err = l.BeginRun(ctx, RunStart{BootID: "b", WallUs: 4000, Version: "2"})
	must(t, err)
	if prev.ID != third.ID || prev.EndedBy != wire.HostOff {
		t.Fatalf("after a reboot prev = %+v", prev)
	}
	if err := l.EndRun(ctx, 99, 1, wire.AgentStopped); !errors.Is(err, ErrNotFound) {
		t.Fatalf("EndRun of an unknown run = %v", err)
	}
	var told []string
	for _, f := range bodies[wire.RunFact](t, l, 1, wire.KindRun) {
		told = append(told, string(rune('0'+f.Run))+string(f.EndedBy))
		if (f.EndedBy == "") != (f.EndMono == 0) {
			t.Errorf("run fact %+v has an end without a reason or the reverse", f)
		}
	}
	want := "1 1agent_crashed 2 2clock_step 3 3host_off 4"
	if got := strings.Join(told, " "); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestEvents(t *testing.T) {
	l := open(t)
	ctx := t.Context()
	appended := l.Appended()
	e := event("door_opened")
	e.Data = json.RawMessage(`{"door":3}`)
	for range 2 {
		must(t, l.PutEvent(ctx, e))
	}
	select {
	case <-appended:
	default:
		t.Error("nobody was told of the new fact")
	}
	appended = l.Appended()
	must(t, l.PutEvent(ctx, e))
	select {
	case <-appended:
		t.Error("a repeated event was announced")
	default:
	}
	for _, kind := range []string{"alarm_zone_1", "tamper", "panic_button", "disk_failed"} {
		must(t, l.PutEvent(ctx, event(kind)))
	}
	if n, m := len(facts(t, l)[1]), len(facts(t, l)[0]); n != 1 || m != 4 {
		t.Errorf("%d live and %d urgent facts, want 1 and 4", n, m)
	}
	for name, bad := range map[string]wire.EventFact{
		"ID": {Kind: "x", Source: "y", AtUs: 1}, "kind": {ID: e.ID, Source: "y", Kind: "Door Opened", AtUs: 1},
		"time": {ID: e.ID, Source: "y", Kind: "x"}, "source": {ID: e.ID, Kind: "x", AtUs: 1},
		"JSON object": {ID: e.ID, Source: "y", Kind: "x", AtUs: 1, Data: json.RawMessage(`{`)},
		"data has":    {ID: e.ID, Source: "y", Kind: "x", AtUs: 1, Data: json.RawMessage(`{"x":"` + strings.Repeat("x", maxData) + `"}`)},
	} {
		if err := l.PutEvent(ctx, bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("PutEvent(%+v) = %v, want a word about its %s", bad, err, name)
		}
	}
	got, err := l.Events(ctx, 0, 10, 100)
	must(t, err)
	if len(got) != 5 || got[4].ID != e.ID || string(got[4].Data) != `{"door":3}` {
		t.Errorf("Events = %+v", got)
	}
}

func TestClips(t *testing.T) {
	l := open(t)
	ctx := t.Context()
	o := wire.ClipOrder{Clip: id.New[id.Clip](), Camera: id.New[id.Camera](), Stream: id.Main, StartUs: 1, EndUs: 2}
	for _, want := range []bool{true, false} {
		if fresh, err := l.PutClip(ctx, o); err != nil || fresh != want {
			t.Fatalf("PutClip = %v, %v; want %v", fresh, err, want)
		}
	}
	c := Clip{Order: o, State: wire.ClipUploading, File: "x.mp4", Bytes: 100, SHA256: []byte{1}, Fact: wire.ClipFact{Sent: 40}}
	c.Fact.Gaps = make([]wire.GapFact, 1000)
	must(t, l.SetClip(ctx, c, true))
	got, err := l.Clips(ctx, wire.ClipUploading)
	must(t, err)
	if len(got) != 1 || got[0].Order != o || got[0].File != "x.mp4" || got[0].Fact.Sent != 40 {
		t.Fatalf("Clips = %+v", got)
	}
	if s, err := l.QueueState(ctx); err != nil || s.Clips != 1 || s.ClipBytes != 60 || s.Facts != 1 || s.OldestUs == 0 {
		t.Fatalf("QueueState = %+v, %v", s, err)
	}
	c.State = wire.ClipLost
	must(t, l.SetClip(ctx, c, true))
	if f := bodies[wire.ClipFact](t, l, 0, wire.KindClip); len(f) != 1 || f[0].State != wire.ClipLost || f[0].Clip != o.Clip {
		t.Fatalf("urgent clip facts = %+v", f)
	}
	must(t, l.DropClip(ctx, o.Clip))
	if err := l.SetClip(ctx, c, false); !errors.Is(err, ErrNotFound) {
		t.Fatalf("SetClip of a dropped clip = %v", err)
	}
}

func TestConditionsDoNotFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t)
		ctx := t.Context()
		c := wire.ConditionFact{Name: "stream", Camera: id.New[id.Camera](), Kind: "main", State: wire.OK, Text: "fine"}
		for range 5 {
			must(t, l.PutCondition(ctx, c))
		}
		if n, m := len(facts(t, l)[1]), len(facts(t, l)[0]); n != 1 || m != 0 {
			t.Fatalf("%d live and %d urgent facts, want 1 and 0", n, m)
		}
		for i := range 1000 { // ends ok; the last that is told is failing
			c.State, c.Reason = wire.Failing, wire.Stalled
			if i%2 == 1 {
				c.State, c.Reason = wire.OK, ""
			}
			must(t, l.PutCondition(ctx, c))
		}
		if n := len(facts(t, l)[0]); n >= flapLimit {
			t.Fatalf("%d urgent facts of a flapping condition, want fewer than %d", n, flapLimit)
		}
		bubble.Pass(flapWindow + time.Second)
		must(t, l.Flushed(ctx, 1, nil))
		all := bodies[wire.ConditionFact](t, l, 0, wire.KindCondition)
		last := all[len(all)-1]
		if last.State != wire.OK || !strings.Contains(last.Text, "times in between") {
			t.Fatalf("after flapping the last word is %+v, want where it came to", last)
		}
		c.State, c.Reason = wire.Failing, wire.AuthFailed
		must(t, l.PutCondition(ctx, c))
		history, err := l.Conditions(ctx, 0, 1)
		must(t, err)
		if len(history) != 1 || history[0].Reason != wire.AuthFailed {
			t.Fatalf("Conditions = %+v, want the newest first", history)
		}
		if l.damper.held != 0 {
			t.Fatalf("%d held back, want none", l.damper.held)
		}
	})
}

func TestOutages(t *testing.T) {
	l := open(t)
	for range 2 {
		must(t, l.PutOutage(t.Context(), wire.OutageFact{StartUs: 1, EndUs: 5, Text: "no route"}))
	}
	if f := bodies[wire.OutageFact](t, l, 0, wire.KindOutage); len(f) != 1 || f[0].EndUs != 5 {
		t.Fatalf("outage facts = %+v", f)
	}
	if got, err := l.Outages(t.Context(), 5, 10); err != nil || len(got) != 1 {
		t.Fatalf("Outages = %+v, %v", got, err)
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func equal(a, b []int64) bool { return slices.Equal(a, b) }
