package record

import (
	"flag"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/testenv/crashfs"
)

var stride = flag.Int("stride", 37, "TestAnErrorAtEveryOperation fails each operation that is a multiple of this; 1 is all")

// fault is an error of the disk and which operations it hits.
type fault struct {
	name  string
	err   error
	kinds []string // none: all
	lasts time.Duration
}

func faults() []fault {
	changes := []string{"create", "mkdir", "mkdir-all", "write", "truncate", "remove", "replace-create", "replace-write", "replace-rename"}
	room := []string{"create", "mkdir", "mkdir-all", "write", "sync", "replace-create", "replace-write"}
	return []fault{
		{name: "EIO once", err: syscall.EIO},
		{name: "EIO for 8 s", err: syscall.EIO, lasts: 8 * time.Second},
		{name: "ENOSPC once", err: syscall.ENOSPC, kinds: room},
		{name: "ENOSPC for 8 s", err: syscall.ENOSPC, kinds: room, lasts: 8 * time.Second},
		{name: "EROFS for 8 s", err: syscall.EROFS, kinds: changes, lasts: 8 * time.Second},
		{name: "a short write", err: &crashfs.Short{Bytes: 700, Err: syscall.ENOSPC}, kinds: []string{"write"}},
	}
}

// TestAnErrorAtEveryOperation plays one story of starting, writing, rotating, deleting, being killed and recovering, and
// fails its n-th operation, for many n. Afterwards recording must have gone on, and the promises must hold.
func TestAnErrorAtEveryOperation(t *testing.T) {
	t.Parallel()
	began := time.Now()
	var runs atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d stories with an error in %v", runs.Load(), time.Since(began).Round(time.Millisecond))
	})
	for i, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for n := 1 + i*5%*stride; ; n += *stride {
				hit := false
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { hit = endure(t, f, n) })
				})
				runs.Add(1)
				if !hit {
					break
				}
			}
		})
	}
}

// endure plays the story with one fault from the n-th operation that it can hit on; it says whether there was one.
func endure(t *testing.T, f fault, n int) bool {
	v := newVictim(t, uint64(n), 2, 1+n%2)
	defer func() {
		if t.Failed() {
			t.Log(v.said.String())
		}
	}()
	var count atomic.Int64
	var until atomic.Int64
	hook := func(op crashfs.Op) error {
		if len(f.kinds) > 0 && !slices.Contains(f.kinds, op.Kind) {
			return nil
		}
		at := count.Add(1)
		if at == int64(n) {
			until.Store(time.Now().Add(f.lasts).UnixNano())
			v.said.note("from here on %v: %v", op, f.err)
		}
		if at == int64(n) || at > int64(n) && time.Now().UnixNano() < until.Load() {
			return f.err
		}
		return nil
	}
	v.fs.Fault = hook
	v.mustStart()
	v.live()
	v.film(7 * time.Second)
	v.cut(101)
	v.fs.Fault = hook
	v.mustStart()
	v.live()
	v.film(14 * time.Second)
	hit := count.Load() >= int64(n)
	v.fs.Fault = nil
	v.film(80 * time.Second)
	for i, s := range v.streams {
		if newest := v.rec.Durable(s); newest < v.clock.Now()-4e6 {
			t.Errorf("stream %d: nothing is recorded although the disk is well again", i)
		}
	}
	if n%3 == 0 {
		v.cut(n % 100)
		v.mustStart()
		v.live()
		v.film(2 * time.Second)
	}
	v.end()
	return hit
}

func (v *victim) mustStart() {
	v.t.Helper()
	if !v.start() {
		v.t.Fatal("no start")
	}
}

func (l *lines) note(format string, args ...any) { _, _ = fmt.Fprintf(l, format+"\n", args...) }
