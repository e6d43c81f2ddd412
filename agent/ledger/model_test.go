package ledger

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// reference is what the outbox should hold, in plain slices.
type reference struct {
	queues map[int64]*refQueue
	live   int64
}

type refQueue struct {
	kept  []id.Event // unpurged rows; the first has seq gone+1
	gone  int64
	acked int64
}

func (q *refQueue) last() int64 { return q.gone + int64(len(q.kept)) }

func (r *reference) add(queue int64, e id.Event) {
	r.queues[queue].kept = append(r.queues[queue].kept, e)
}

func (r *reference) open() {
	if q := r.queues[r.live]; q.acked < q.last() {
		r.live++
		r.queues[r.live] = &refQueue{}
	}
}

func (r *reference) purge() {
	for n, q := range r.queues {
		q.kept = q.kept[q.acked-q.gone:]
		q.gone = q.acked
		if n != 0 && n != r.live && len(q.kept) == 0 {
			delete(r.queues, n)
		}
	}
}

// reconcile reports whether a new epoch is due.
func (r *reference) reconcile(marks map[int64]int64) bool {
	for n, seq := range marks {
		if q := r.queues[n]; n > r.live || q != nil && seq > q.last() {
			return true
		}
	}
	for n, q := range r.queues {
		if marks[n] < q.acked && marks[n] < q.gone {
			return true
		}
	}
	for n, q := range r.queues {
		q.acked = marks[n]
	}
	return false
}

func (r *reference) newEpoch() {
	for _, q := range r.queues {
		q.gone, q.acked = 0, 0
	}
}

// copyFiles copies what a killed process leaves behind: the database and its log, not the shared memory.
func copyFiles(t tb, from, to string) {
	for _, suffix := range []string{"", "-wal"} {
		in, err := os.Open(from + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		must(t, err)
		out, err := os.Create(to + suffix)
		must(t, err)
		_, err = io.Copy(out, in)
		must(t, errors.Join(err, in.Close(), out.Close()))
	}
}

// machine drives a ledger and its reference side by side.
type machine struct {
	dir   string
	n     int // of the present copy
	l     *Ledger
	ref   reference
	known []id.Event
}

func (m *machine) path() string { return filepath.Join(m.dir, strconv.Itoa(m.n)+".db") }

func (m *machine) queue(t *rapid.T) int64 { return rapid.Int64Range(0, m.ref.live).Draw(t, "queue") }

func (m *machine) put(t *rapid.T) {
	e := event(rapid.SampledFrom([]string{"motion", "alarm"}).Draw(t, "kind"))
	if len(m.known) > 0 && rapid.IntRange(0, 9).Draw(t, "again") == 0 {
		e.ID = rapid.SampledFrom(m.known).Draw(t, "known")
		must(t, m.l.PutEvent(context.Background(), e))
		return
	}
	must(t, m.l.PutEvent(context.Background(), e))
	m.known = append(m.known, e.ID)
	if e.Kind == "alarm" {
		m.ref.add(0, e.ID)
	} else {
		m.ref.add(m.ref.live, e.ID)
	}
}

func (m *machine) ack(t *rapid.T) {
	n := m.queue(t)
	q := m.ref.queues[n]
	if q == nil { // purged long ago: a late ack changes nothing
		must(t, m.l.Acked(context.Background(), m.l.Epoch(), n, 1))
		return
	}
	seq := rapid.Int64Range(0, q.last()+1).Draw(t, "seq")
	must(t, m.l.Acked(context.Background(), "of another epoch", n, q.last()))
	for range 2 {
		err := m.l.Acked(context.Background(), m.l.Epoch(), n, seq)
		if seq > q.last() {
			if !errors.Is(err, ErrAhead) {
				t.Fatalf("Acked(%d, %d) of %d = %v, want ErrAhead", n, seq, q.last(), err)
			}
			continue
		}
		must(t, err)
		q.acked = max(q.acked, seq)
	}
}

// reconcile brings marks around what was acked; some runs leave a queue out or name one that never was.
func (m *machine) reconcile(t *rapid.T) {
	marks := map[int64]int64{}
	var sent []wire.Mark
	for n := range m.ref.live + 1 {
		q := m.ref.queues[n]
		if q == nil {
			marks[n] = 3 // purged here, and permanent in the cloud
		} else {
			low := max(q.acked-rapid.SampledFrom([]int64{0, 0, 0, 1, 3}).Draw(t, "lost by the cloud"), 0)
			marks[n] = min(low+rapid.SampledFrom([]int64{0, 0, 0, 1, 2}).Draw(t, "acks lost"), q.last()+1)
		}
		if marks[n] == 0 {
			delete(marks, n)
			continue
		}
		sent = append(sent, wire.Mark{Queue: n, Seq: marks[n]})
	}
	if rapid.IntRange(0, 19).Draw(t, "foreign queue") == 0 {
		marks[m.ref.live+1] = 1
		sent = append(sent, wire.Mark{Queue: m.ref.live + 1, Seq: 1})
	}
	old := m.l.Epoch()
	must(t, m.l.Reconcile(context.Background(), sent))
	if fresh := m.ref.reconcile(marks); fresh != (m.l.Epoch() != old) {
		t.Fatalf("marks %+v: a new epoch is due: %v", sent, fresh)
	} else if fresh {
		m.ref.newEpoch()
	}
}

func (m *machine) openQueue(t *rapid.T) {
	live, err := m.l.OpenQueue(context.Background())
	must(t, err)
	if m.ref.open(); live != m.ref.live {
		t.Fatalf("live queue %d, want %d", live, m.ref.live)
	}
}

func (m *machine) purge(t *rapid.T) {
	// Nothing was acked before an hour ago; everything before an hour from now.
	if n, err := m.l.Purge(context.Background(), time.Now().Add(-time.Hour)); err != nil || n != 0 {
		t.Fatalf("an early purge removed %d rows, %v", n, err)
	}
	_, err := m.l.Purge(context.Background(), time.Now().Add(time.Hour))
	must(t, err)
	m.ref.purge()
}

func (m *machine) newEpoch(t *rapid.T) {
	old := m.l.Epoch()
	epoch, err := m.l.NewEpoch(context.Background())
	must(t, err)
	if epoch == old || epoch != m.l.Epoch() {
		t.Fatalf("epochs %q, %q, %q", old, epoch, m.l.Epoch())
	}
	m.ref.newEpoch()
}

func (m *machine) reopen(t *rapid.T) {
	epoch := m.l.Epoch()
	must(t, m.l.Close())
	m.l = quick(t, openAt(t, m.path()))
	if m.l.Epoch() != epoch {
		t.Fatal("the epoch changed by a reopen")
	}
}

func (m *machine) crash(t *rapid.T) {
	old := m.path()
	m.n++
	copyFiles(t, old, m.path())
	must(t, m.l.Close())
	m.l = quick(t, openAt(t, m.path()))
}

// check compares all that shows; by reading every queue it also sends all there is.
func (m *machine) check(t *rapid.T) {
	queues, err := m.l.Queues(context.Background())
	must(t, err)
	for n, q := range m.ref.queues {
		shown := slices.ContainsFunc(queues, func(q Queue) bool { return q.Queue == n })
		if want := n == 0 || n == m.ref.live || q.acked < q.last(); shown != want {
			t.Fatalf("queue %d is shown: %v, want %v", n, shown, want)
		}
	}
	var waiting int64
	for i, q := range queues {
		ref := m.ref.queues[q.Queue]
		if ref == nil || q.Last != ref.last() || q.Acked != ref.acked || q.Rows != ref.last()-ref.acked || q.First != q.Acked+1 {
			t.Fatalf("queue %+v, want %+v", q, ref)
		}
		lane := []wire.Lane{wire.Urgent, wire.Live, wire.Backlog}[min(i, 2)]
		if q.Lane != lane || (q.OldestUs == 0) != (q.Rows == 0) || lane == wire.Live && q.Queue != m.ref.live {
			t.Fatalf("queue %+v at place %d, live is %d", q, i, m.ref.live)
		}
		waiting += q.Rows
	}
	if s, err := m.l.QueueState(context.Background()); err != nil || s.Facts != waiting || (s.OldestUs == 0) != (waiting == 0) {
		t.Fatalf("QueueState = %+v, %v; want %d facts", s, err, waiting)
	}
	for n := range m.ref.queues {
		m.checkRows(t, n)
	}
}

func (m *machine) checkRows(t *rapid.T, queue int64) {
	ref := m.ref.queues[queue]
	want := ref.kept[ref.acked-ref.gone:]
	got := bodies[wire.EventFact](t, m.l, queue, wire.KindEvent)
	if len(got) != len(want) {
		t.Fatalf("queue %d yields %d facts, want %d", queue, len(got), len(want))
	}
	for i, f := range facts(t, m.l)[queue] {
		if got[i].ID != want[i] || f.Seq != ref.acked+1+int64(i) {
			t.Fatalf("queue %d: fact %d is seq %d %s, want seq %d %s", queue, i, f.Seq, got[i].ID, ref.acked+1+int64(i), want[i])
		}
	}
}

// TestOutboxModel drives the outbox at random, through reopens and crashes, against the reference.
func TestOutboxModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "holdfast-ledger-*")
		must(t, err)
		defer func() { _ = os.RemoveAll(dir) }()
		m := &machine{dir: dir, ref: reference{queues: map[int64]*refQueue{0: {}, 1: {}}, live: 1}}
		m.l = quick(t, openAt(t, m.path()))
		defer func() {
			must(t, m.l.Close())
			sound(t, m.path())
		}()
		t.Repeat(map[string]func(*rapid.T){
			"put": m.put, "put more": m.put, "ack": m.ack, "ack more": m.ack, "open queue": m.openQueue, "reconcile": m.reconcile, "reconcile more": m.reconcile,
			"purge": m.purge, "new epoch": m.newEpoch, "reopen": m.reopen, "crash": m.crash, "": m.check,
		})
	})
}

// TestTornLog cuts the write-ahead log at every kind of place, as a power cut may: what is left is a prefix
// of what was written, whole and sound.
func TestTornLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := openAt(t, path)
	var ids []id.Event
	for range 40 {
		e := event("motion")
		must(t, l.PutEvent(t.Context(), e))
		ids = append(ids, e.ID)
	}
	defer func() { must(t, l.Close()) }()
	info, err := os.Stat(path + "-wal")
	must(t, err)
	survived := map[int]bool{}
	for cutAt := int64(0); cutAt <= info.Size(); cutAt += info.Size()/60 + 7 {
		torn := filepath.Join(t.TempDir(), "torn.db")
		copyFiles(t, path, torn)
		must(t, os.Truncate(torn+"-wal", cutAt))
		after := openAt(t, torn)
		got := bodies[wire.EventFact](t, after, 1, wire.KindEvent)
		for i, e := range got {
			if e.ID != ids[i] {
				t.Fatalf("cut at %d: event %d is another one", cutAt, i)
			}
		}
		survived[len(got)] = true
		must(t, after.Close())
		sound(t, torn)
	}
	if len(survived) < 10 {
		t.Fatalf("only %d different outcomes: the cuts did not bite", len(survived))
	}
}
