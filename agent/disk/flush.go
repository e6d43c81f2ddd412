package disk

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// flushers is how many files of a volume are flushed at once: the file system joins them into few commits.
const flushers = 16

// Round is the outcome of one flush round of one volume.
type Round struct {
	Volume string
	Took   time.Duration
	Files  []Flushed // files that had something to flush, by segment
}

// Flushed says how much of one file is durable after a round. With Err set the file has failed, and Bytes is
// what was durable before.
type Flushed struct {
	Segment uint64
	Bytes   int64
	Err     error
}

func (v *volume) run(ctx context.Context) {
	tick := time.NewTicker(v.disk.cfg.Flush)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			v.flushRound()
		case <-ctx.Done():
			v.flushRound()
			return
		}
	}
}

// flushRound flushes all files of the volume that have something to flush, and tells of it.
func (v *volume) flushRound() {
	dirty := v.dirty()
	if len(dirty) == 0 {
		return
	}
	began := time.Now()
	v.mu.Lock()
	v.roundBegan = began
	v.mu.Unlock()
	out := make([]Flushed, len(dirty))
	var group errgroup.Group
	group.SetLimit(flushers)
	for i, f := range dirty {
		group.Go(func() error {
			err := f.Flush()
			out[i] = Flushed{Segment: f.segment, Bytes: f.Durable(), Err: err}
			return nil
		})
	}
	_ = group.Wait() // the files' errors are in out
	took := time.Since(began)
	v.mu.Lock()
	v.round, v.slowest, v.roundBegan = took, max(v.slowest, took), time.Time{}
	if !slices.ContainsFunc(out, func(f Flushed) bool { return f.Err != nil }) {
		v.restErr = nil
	}
	round := Round{Volume: v.id, Took: took, Files: out}
	v.mu.Unlock()
	v.disk.log.Debug("flush round", "volume", round.Volume, "files", len(out), "took", took)
	v.disk.mu.Lock()
	tell := v.disk.flushed
	v.disk.mu.Unlock()
	if tell != nil {
		tell(round)
	}
}

// dirty returns the files that have something to flush and have not failed, in order.
func (v *volume) dirty() []*File {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []*File
	for f := range v.files {
		f.mu.Lock()
		if f.size > f.durable && f.failed == nil {
			out = append(out, f)
		}
		f.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b *File) int { return cmp.Compare(a.segment, b.segment) })
	return out
}
