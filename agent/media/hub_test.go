package media

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

func testParams() *Params {
	return &Params{Tracks: []mp4.Track{{Codec: mp4.H264, Timescale: 90000}, {Codec: mp4.PCMU, Timescale: 8000}}}
}

func write(h *Hub, p *Params, keys ...bool) {
	for _, k := range keys {
		h.Write(Frame{Params: p, Key: k, Bytes: 10})
	}
}

// seqs drains what waits; a Break is said as 0.
func seqs(r *Reader) []uint64 {
	var out []uint64
	for {
		it, ok := r.Try()
		switch {
		case !ok:
			return out
		case it.Break != nil:
			out = append(out, 0)
		default:
			out = append(out, it.Frame.Seq)
		}
	}
}

func assertSeqs(t *testing.T, r *Reader, want ...uint64) {
	t.Helper()
	got := seqs(r)
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func newHub() *Hub { return NewHub(id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}) }

func TestReaderStartsAtTheNewestKeyFrame(t *testing.T) {
	h, p := newHub(), testParams()
	write(h, p, true, false, true, false, false)
	r := h.Reader(Limit{Frames: 100, Bytes: 1000})
	defer r.Close()
	assertSeqs(t, r, 3, 4, 5)
	write(h, p, false)
	assertSeqs(t, r, 6)
}

func TestReleaseLeavesTheRestToTheDisk(t *testing.T) {
	h, p := newHub(), testParams()
	write(h, p, true, false, false, false)
	h.Release(2)
	r := h.Reader(Limit{Frames: 100, Bytes: 1000})
	defer r.Close()
	assertSeqs(t, r, 3, 4)
}

func TestNewParamsEmptyTheTail(t *testing.T) {
	h := newHub()
	write(h, testParams(), true, false)
	write(h, testParams(), false, false)
	r := h.Reader(Limit{Frames: 100, Bytes: 1000})
	defer r.Close()
	assertSeqs(t, r, 3, 4)
}

func TestTailIsBounded(t *testing.T) {
	h, p := newHub(), testParams()
	h.Write(Frame{Params: p, Key: true, Bytes: maxTailBytes})
	h.Write(Frame{Params: p, Bytes: 1})
	r := h.Reader(Limit{Frames: 100, Bytes: 1 << 30})
	defer r.Close()
	assertSeqs(t, r, 2)
}

func TestSlowReaderLosesWholeGroupsAndIsTold(t *testing.T) {
	h, p := newHub(), testParams()
	r := h.Reader(Limit{Frames: 4, Bytes: 1000})
	defer r.Close()
	fast := h.Reader(Limit{Frames: 100, Bytes: 10000})
	defer fast.Close()
	assertSeqs(t, r, 0) // the Break that a new Hub starts with
	assertSeqs(t, fast, 0)
	write(h, p, true, false, false, false, false, false) // 5 and 6 don't fit
	h.Write(Frame{Params: p, Key: true, Bytes: 10})      // a key frame while the queue is still full
	assertSeqs(t, r, 1, 2, 3, 4, 0)
	write(h, p, false)
	assertSeqs(t, r)
	write(h, p, true, false)
	assertSeqs(t, r, 9, 10)
	if r.Dropped() != 4 {
		t.Fatalf("dropped %d frames, want 4 (5 to 8)", r.Dropped())
	}
	assertSeqs(t, fast, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
}

func TestDownIsSaidInPlaceAndToNewcomers(t *testing.T) {
	h, p := newHub(), testParams()
	write(h, p, true)
	r := h.Reader(Limit{Frames: 10, Bytes: 1000})
	defer r.Close()
	h.Down(Break{Reason: wire.Unreachable, Text: "no route", MonoUs: 7})
	late := h.Reader(Limit{Frames: 10, Bytes: 1000})
	defer late.Close()
	write(h, p, true)
	assertSeqs(t, r, 1, 0, 2)
	it, _ := late.Try()
	if it.Break == nil || it.Break.Reason != wire.Unreachable || it.Break.MonoUs != 7 {
		t.Fatalf("newcomer got %+v, want the Break", it)
	}
	assertSeqs(t, late, 2)
	if _, b := h.State(); b != nil {
		t.Fatalf("Break %+v is still in force after a frame", b)
	}
}

func TestNextWakesAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := newHub(), testParams()
		write(h, p, true)
		r := h.Reader(Limit{Frames: 10, Bytes: 1000})
		assertSeqs(t, r, 1)
		got := make(chan error, 1)
		next := func(ctx context.Context) {
			_, err := r.Next(ctx)
			got <- err
		}
		go next(t.Context())
		synctest.Wait()
		write(h, p, false)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go next(ctx)
		synctest.Wait()
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Fatalf("Next = %v after cancel", err)
		}
		go next(t.Context())
		synctest.Wait()
		r.Close()
		r.Close()
		if err := <-got; !errors.Is(err, ErrClosed) {
			t.Fatalf("Next = %v after Close", err)
		}
	})
}

func TestReadersIsAnnounced(t *testing.T) {
	h := newHub()
	n, changed := h.Readers()
	if n != 0 {
		t.Fatalf("%d readers of a new hub", n)
	}
	r := h.Reader(Limit{Frames: 1, Bytes: 1})
	<-changed
	if n, changed = h.Readers(); n != 1 {
		t.Fatalf("%d readers, want 1", n)
	}
	r.Close()
	<-changed
	if n, _ = h.Readers(); n != 0 {
		t.Fatalf("%d readers after Close", n)
	}
}

func TestLongQueueKeepsOrder(t *testing.T) {
	h, p := newHub(), testParams()
	r := h.Reader(Limit{Frames: 1000, Bytes: 1 << 20})
	defer r.Close()
	seqs(r)
	var want uint64 = 1
	for i := range 2000 {
		write(h, p, i%50 == 0)
		if i%3 == 0 {
			continue
		}
		it, ok := r.Try()
		if !ok || it.Frame.Seq != want {
			t.Fatalf("got %d, %v; want %d", it.Frame.Seq, ok, want)
		}
		want++
	}
	for _, got := range seqs(r) {
		if got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		want++
	}
	if want != 2001 || r.Dropped() != 0 {
		t.Fatalf("read up to %d with %d dropped", want, r.Dropped())
	}
}

func BenchmarkHub(b *testing.B) {
	h, p := newHub(), testParams()
	r := h.Reader(Limit{Frames: 1000, Bytes: 1 << 20})
	defer r.Close()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Write(Frame{Params: p, Key: i%30 == 0, Bytes: 1000})
		r.Try()
	}
}

func TestReadyYieldsWhenSomethingWaits(t *testing.T) {
	h, p := newHub(), testParams()
	r := h.Reader(Limit{Frames: 100, Bytes: 1000})
	defer r.Close()
	<-r.Ready() // the Break that a new Hub is in
	assertSeqs(t, r, 0)
	select {
	case <-r.Ready():
		t.Fatal("ready without anything new")
	default:
	}
	write(h, p, true, false)
	<-r.Ready()
	assertSeqs(t, r, 1, 2)
}

func TestBatchIsWokenWhenItIsTime(t *testing.T) {
	h, p := newHub(), testParams()
	at := func(us int64) { h.Write(Frame{Params: p, MonoUs: us, Bytes: 10}) }
	r := h.Batch(Limit{Frames: 40, Bytes: 10_000})
	defer r.Close()
	woken := func() bool {
		select {
		case <-r.Ready():
			return true
		default:
			return false
		}
	}
	if !woken() || len(seqs(r)) != 1 {
		t.Fatal("a new reader does not see the break in force")
	}
	at(100)
	if !woken() {
		t.Fatal("not woken by new Params")
	}
	assertSeqs(t, r, 1)
	r.Until(200)
	at(150)
	at(199)
	if woken() {
		t.Fatal("woken before its time")
	}
	at(200)
	if !woken() {
		t.Fatal("not woken in time")
	}
	assertSeqs(t, r, 2, 3, 4)

	at(250)
	_ = woken()
	if r.Until(300); woken() {
		t.Fatal("woken for a frame before its time")
	}
	if r.Until(250); !woken() {
		t.Fatal("not woken for a frame that came before the call")
	}
	r.Until(1000)
	h.Down(Break{Reason: wire.Stalled})
	if !woken() {
		t.Fatal("not woken by a break")
	}
	assertSeqs(t, r, 5, 0)
	p = testParams()
	if at(10); !woken() {
		t.Fatal("not woken by new Params, whose time is another")
	}
	assertSeqs(t, r, 6)
	r.Until(1000)
	for i := range 9 {
		at(11 + int64(i))
	}
	if woken() {
		t.Fatal("woken before the queue is a quarter full")
	}
	if at(30); !woken() {
		t.Fatal("not woken by a queue that is a quarter full")
	}
}

func TestWatchedAndStill(t *testing.T) {
	h, p := newHub(), testParams()
	slow := h.Batch(Limit{Frames: 100, Bytes: 1000})
	if h.Watched() {
		t.Error("a batch reader is in a hurry")
	}
	quick := h.Reader(Limit{Frames: 100, Bytes: 1000})
	if !h.Watched() {
		t.Error("nobody seems to watch")
	}
	quick.Close()
	quick.Close()
	slow.Close()
	if h.Watched() {
		t.Error("somebody seems to watch still")
	}
	again := h.Batch(Limit{Frames: 100, Bytes: 1000})
	defer again.Close()
	_ = again.Still()
	if !again.Still() {
		t.Error("something came, it seems")
	}
	write(h, p, true)
	if again.Still() || !again.Still() {
		t.Error("a frame came once")
	}
}
