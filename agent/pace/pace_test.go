package pace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const kib = 1 << 10

// within reports whether d is at least low and at most high.
func within(d, low, high time.Duration) bool { return d >= low && d <= high }

func TestUnlimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := New(0), time.Now()
		if err := p.Take(t.Context(), Stills, 1<<30); err != nil {
			t.Fatal(err)
		}
		if p.Rate(Stills) == 0 || p.Rate(Clips) != 0 || p.Total() != p.Rate(Stills) {
			t.Fatal("the bytes were not counted in their class")
		}
		p.SetLimit(100 * kib)
		if err := p.Take(t.Context(), Control, kib); err != nil || time.Since(start) > time.Second {
			t.Fatalf("a limit set later makes up for what went before it: %v after %v", err, time.Since(start))
		}
	})
}

func TestLimitHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := New(100*kib), time.Now()
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
		if err := p.Take(t.Context(), Clips, 125*kib); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); !within(d, 800*time.Millisecond, 1200*time.Millisecond) {
			t.Fatalf("after an idle hour 125 KiB took %v: the burst is not a quarter of a second", d)
		}
	})
}

func TestUrgentGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(100 * kib)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 4 {
			go func() { _ = p.Take(ctx, Clips, 1<<30) }()
		}
		<-time.After(10 * time.Second)
		start := time.Now()
		if err := p.Take(ctx, Control, kib); err != nil {
			t.Fatal(err)
		}
		// One quantum may be under way, and by age one of the clips' may come first.
		if d := time.Since(start); d > 400*time.Millisecond {
			t.Fatalf("a heartbeat waited %v behind clips", d)
		}
		cancel()
		synctest.Wait()
		if n := p.Waiting(); n != 0 {
			t.Fatalf("%d bytes wait after everyone has left", n)
		}
	})
}

func TestNothingStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(100 * kib)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		var live, stills atomic.Int64
		loop := func(class Class, count *atomic.Int64) {
			for p.Take(ctx, class, 4*kib) == nil {
				count.Add(4 * kib)
			}
		}
		for range 2 {
			go loop(Live, &live)
		}
		go loop(Stills, &stills)
		<-ctx.Done()
		synctest.Wait()
		if stills.Load() < 100*kib || stills.Load() > live.Load()/8 {
			t.Fatalf("in 100 s: live %d KiB, stills %d KiB", live.Load()/kib, stills.Load()/kib)
		}
		if sum := live.Load() + stills.Load(); sum < 9900*kib || sum > 10100*kib {
			t.Fatalf("in 100 s %d KiB went at 100 KiB/s", sum/kib)
		}
	})
}

func TestTakeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.Take(ctx, Live, 1<<20); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Take = %v", err)
		}
	})
}

func TestSetLimitFreesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := New(1), time.Now()
		done := make(chan error, 1)
		go func() { done <- p.Take(t.Context(), Live, 1<<20) }()
		<-time.After(time.Minute)
		p.SetLimit(0)
		if err := <-done; err != nil || time.Since(start) != time.Minute || p.Limit() != 0 {
			t.Fatalf("Take = %v after %v", err, time.Since(start))
		}
	})
}

func TestReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := New(10*kib), time.Now()
		want := strings.Repeat("0123456789abcdef", 6400) // 100 KiB
		got, err := io.ReadAll(p.Reader(t.Context(), Clips, strings.NewReader(want)))
		if err != nil || string(got) != want {
			t.Fatalf("read %d bytes, %v", len(got), err)
		}
		// The last quantum of 16 KiB may go on credit.
		if d := time.Since(start); !within(d, 8*time.Second, 10*time.Second) {
			t.Fatalf("100 KiB at 10 KiB/s took %v", d)
		}
	})
}

func TestConn(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	p := New(0)
	c := p.Conn(t.Context(), Control, near)
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(far)
		got <- b
	}()
	want := bytes.Repeat([]byte("x"), 100*kib)
	if n, err := c.Write(want); n != len(want) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
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

func TestClassNames(t *testing.T) {
	if Control.String() != "control" || Stills.String() != "stills" || Class(9).String() != "class 9" {
		t.Fatal("a class has a wrong name")
	}
}
