// Package health is the board of named conditions and the place where a person's question "what is wrong"
// is answered. Rooms set conditions; window, gate and ledger read them.
//
// A condition is ok, failing or unknown: unknown until its room has looked. The board never guesses, and it
// keeps since when a condition is in its state.
package health

import (
	"sort"
	"sync"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Condition is one named state of health; Camera and Kind are set for those of a camera or a stream.
type Condition = wire.ConditionFact

type key struct {
	name   string
	camera id.Camera
	kind   string
}

// Board holds the present conditions. Safe for concurrent use.
type Board struct {
	now      func() int64
	onChange func(Condition)

	mu      sync.Mutex
	entries map[key]Condition
	changed chan struct{}
}

// NewBoard returns an empty board. now gives wall microseconds; onChange, if not nil, is called after each
// change of a condition's state, reason or text, outside the board's lock, in order for one condition as
// long as one room sets it.
func NewBoard(now func() int64, onChange func(Condition)) *Board {
	return &Board{now: now, onChange: onChange, entries: map[key]Condition{}, changed: make(chan struct{})}
}

// Set records c. SinceUs is filled in: the moment at which State or Reason last changed.
func (b *Board) Set(c Condition) {
	k := key{c.Name, c.Camera, c.Kind}
	b.mu.Lock()
	old, known := b.entries[k]
	c.SinceUs = b.now()
	if known && old.State == c.State && old.Reason == c.Reason {
		c.SinceUs = old.SinceUs
	}
	same := known && c == old
	if !same {
		b.entries[k] = c
		close(b.changed)
		b.changed = make(chan struct{})
	}
	b.mu.Unlock()
	if !same && b.onChange != nil {
		b.onChange(c)
	}
}

// Drop forgets a condition, for a camera or stream that is gone.
func (b *Board) Drop(name string, camera id.Camera, kind string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.entries, key{name, camera, kind})
}

// Conditions returns all conditions, failing first, then by name, camera and kind.
func (b *Board) Conditions() []Condition {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Condition, 0, len(b.entries))
	for _, c := range b.entries {
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool {
		x, y := out[i], out[j]
		switch {
		case (x.State == wire.Failing) != (y.State == wire.Failing):
			return x.State == wire.Failing
		case x.Name != y.Name:
			return x.Name < y.Name
		case x.Camera != y.Camera:
			return x.Camera < y.Camera
		}
		return x.Kind < y.Kind
	})
	return out
}

// Changed returns a channel that is closed at the next change.
func (b *Board) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}
