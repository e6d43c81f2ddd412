package pace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const kib = 1 << 10

// capped returns a plan with one cap, bytes per second, at all hours.
func capped(up int64) Plan { return Plan{Week: Flat(Cap{Up: up})} }

// within reports whether d is at least low and at most high.
func within(d, low, high time.Duration) bool { return d >= low && d <= high }

func TestUnlimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := New(Plan{}), time.Now()
		if err := p.Take(t.Context(), Stills, 1<<30); err != nil {
			t.Fatal(err)
		}
		if p.Rate(Stills) == 0 || p.Rate(Clips) != 0 || p.Total() != p.Rate(Stills) {
			t.Fatal("the bytes were not counted in their class")
		}
		week := Flat(Cap{Up: 100 * kib})
		p.Wish(&week)
		if err := p.Take(t.Context(), Clips, kib); err != nil || time.Since(start) > time.Second {
			t.Fatalf("a cap that is set later makes up for what went before it: %v after %v", err, time.Since(start))
		}
	})
}

func TestCapHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := New(capped(100*kib)), time.Now()
		if err := p.Take(t.Context(), Clips, 1000*kib); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); !within(d, 9500*time.Millisecond, 10500*time.Millisecond) {
			t.Fatalf("1,000 KiB at 100 KiB/s took %v", d)
		}
		if r := p.Rate(Clips); r < 85*kib || r > 115*kib {
			t.Fatalf("measured rate %.0f", r)
		}
		<-time.After(time.Hour)
		start = time.Now()
		if err := p.Take(t.Context(), Clips, 110*kib); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); !within(d, 900*time.Millisecond, 1200*time.Millisecond) {
			t.Fatalf("after an idle hour 110 KiB took %v: the burst is not a tenth of a second", d)
		}
	})
}

// TestControlNeverWaits has everybody else wait behind a narrow cap.
func TestControlNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(capped(32_000))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for c := Live; c < classes; c++ {
			for range 4 {
				go func() { _ = p.Take(ctx, c, 1<<30) }()
			}
		}
		for range 20 {
			<-time.After(15 * time.Second)
			start := time.Now()
			if err := p.Take(ctx, Control, 8*kib); err != nil || time.Since(start) > 0 {
				t.Fatalf("a heartbeat of 8 KiB waited %v, %v", time.Since(start), err)
			}
		}
		// A flood of control is no heartbeat any more: it waits too, but for nobody else.
		start := time.Now()
		if err := p.Take(ctx, Control, 320_000); err != nil || !within(time.Since(start), 8*time.Second, 11*time.Second) {
			t.Fatalf("320 kB of control at 32 kB/s took %v, %v", time.Since(start), err)
		}
		cancel()
		synctest.Wait()
		for _, c := range p.State().Classes {
			if c.Waiting != 0 || c.Bytes != 0 {
				t.Fatalf("after everyone has left: %+v", c)
			}
		}
	})
}

// TestOrder has each class want more than there is: the most urgent gets most, and none of them nothing.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(capped(100 * kib))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
		defer cancel()
		var got [classes]atomic.Int64
		for c := Live; c < classes; c++ {
			for range 2 {
				go func() {
					for p.Take(ctx, c, 4*kib) == nil {
						got[c].Add(4)
					}
				}()
			}
		}
		<-ctx.Done()
		synctest.Wait()
		sum := int64(0)
		for c := Live; c < classes; c++ {
			sum += got[c].Load()
			// A sixteenth goes by age, to the four others in turn.
			if c > Live && !within(time.Duration(got[c].Load()), 200, 500) {
				t.Errorf("in 200 s %v got %d KiB, want about 310", c, got[c].Load())
			}
		}
		if sum < 19_800 || sum > 20_200 {
			t.Errorf("in 200 s %d KiB went at 100 KiB/s", sum)
		}
	})
}

func TestEarliestDeadlineFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, now := New(capped(100*kib)), time.Now()
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		_ = p.Take(t.Context(), Clips, 100*kib) // from now on everybody waits
		for name, due := range map[string]time.Time{
			"whenever": {}, "tomorrow": now.Add(24 * time.Hour), "long past": now.Add(-24 * time.Hour), "soon": now.Add(time.Hour),
		} {
			all.Go(func() {
				_ = p.Flow(Clips, due).Take(t.Context(), 50*kib)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			})
		}
		all.Wait()
		if want := []string{"long past", "soon", "tomorrow", "whenever"}; !slices.Equal(order, want) {
			t.Fatalf("served in the order %v, want %v", order, want)
		}
	})
}

// TestFlowsShareEvenly has a viewer who asks for large pieces beside those who ask for small ones, and one who comes
// late.
func TestFlowsShareEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(capped(1000 * kib))
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		var flows []*Flow
		for i, size := range []int{16 * kib, 1200, 1200, 5000, 1200} {
			f := p.Flow(Live, time.Time{})
			flows = append(flows, f)
			go func() {
				if i == 4 {
					<-time.After(30 * time.Second)
				}
				for f.Take(ctx, size) == nil {
				}
			}()
		}
		<-ctx.Done()
		synctest.Wait()
		want := 1000 * kib * 30 * (1.0/4 + 1.0/5)
		for i, f := range flows {
			if i == 4 {
				want = 1000 * kib * 30 / 5.0
			}
			if got := float64(f.Taken()); got < 0.95*want || got > 1.05*want {
				t.Errorf("viewer %d got %.0f, want %.0f", i, got, want)
			}
		}
	})
}

func TestTakeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(capped(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.Take(ctx, Live, 1<<20); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Take = %v", err)
		}
		if err := p.Take(ctx, Control, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Take after the end = %v", err)
		}
	})
}

func TestSpendDelaysTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := New(capped(100*kib)), time.Now()
		p.Spend(Live, 500*kib)
		if time.Since(start) != 0 {
			t.Fatal("Spend waited")
		}
		if err := p.Take(t.Context(), Urgent, 1); err != nil || !within(time.Since(start), 4900*time.Millisecond, 5100*time.Millisecond) {
			t.Fatalf("after 500 KiB at 100 KiB/s the next byte waited %v, %v", time.Since(start), err)
		}
	})
}

func TestConn(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	p := New(Plan{})
	c := p.Conn(Clips, near)
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(far)
		got <- b
	}()
	want := bytes.Repeat([]byte("x"), 100*kib)
	if n, err := c.Write(want[:50*kib]); n != 50*kib || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	c.ask(p.Flow(Backlog, time.Time{}))
	if n, err := c.Write(want[50*kib:]); n != 50*kib || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	for _, class := range []Class{Clips, Backlog} {
		if taken := p.State().Classes[class].Taken; taken < 50*kib*102/100 || taken > 50*kib*108/100 {
			t.Errorf("50 KiB of %v are %d bytes on the line", class, taken)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(<-got, want) {
		t.Fatal("the bytes changed on the way")
	}
	if _, err := c.Write(want); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("write on a closed connection: %v", err)
	}
}

func TestCloseEndsTheWait(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	p := New(capped(1))
	p.Spend(Live, 1000)
	c := p.Conn(Clips, near)
	done := make(chan error, 1)
	go func() {
		_, err := c.Write([]byte("x"))
		done <- err
	}()
	for p.State().Classes[Clips].Waiting == 0 {
		if err := c.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Write = %v", err)
	}
}

func TestClassNames(t *testing.T) {
	if Control.String() != "control" || Stills.String() != "stills" || Class(9).String() != "class 9" {
		t.Fatal("a class has a wrong name")
	}
}

func BenchmarkTake(b *testing.B) {
	p := New(capped(1 << 50))
	f := p.Flow(Live, time.Time{})
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Take(b.Context(), 1200); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTakeWaiting measures a request that has to wait for its turn behind others.
func BenchmarkTakeWaiting(b *testing.B) {
	p := New(capped(50_000_000))
	b.ReportAllocs()
	b.SetParallelism(10)
	b.RunParallel(func(pb *testing.PB) {
		f := p.Flow(Live, time.Time{})
		for pb.Next() {
			if err := f.Take(b.Context(), 1200); err != nil {
				b.Fatal(err)
			}
		}
	})
}
