package disk

import (
	"sync"
	"time"

	"holdfast/shared/id"
)

// pins are ranges of video that nobody deletes for now: somebody reads them.
type pins struct {
	mu   sync.Mutex
	next int
	rows map[int]pin
}

type pin struct {
	stream       id.Stream
	fromUs, toUs int64
	until        time.Time
}

// Pin keeps retention away from [fromUs, toUs) of a stream until release is called, at most for ttl.
func (d *Disk) Pin(stream id.Stream, fromUs, toUs int64, ttl time.Duration) (release func()) {
	d.pins.mu.Lock()
	defer d.pins.mu.Unlock()
	if d.pins.rows == nil {
		d.pins.rows = map[int]pin{}
	}
	d.pins.next++
	n := d.pins.next
	d.pins.rows[n] = pin{stream, fromUs, toUs, time.Now().Add(ttl)}
	return func() {
		d.pins.mu.Lock()
		defer d.pins.mu.Unlock()
		delete(d.pins.rows, n)
	}
}

// Pinned says whether some pin overlaps [fromUs, toUs) of a stream.
func (d *Disk) Pinned(stream id.Stream, fromUs, toUs int64) bool {
	d.pins.mu.Lock()
	defer d.pins.mu.Unlock()
	now := time.Now()
	found := false
	for n, p := range d.pins.rows {
		switch {
		case now.After(p.until):
			delete(d.pins.rows, n)
		case p.stream == stream && p.fromUs < toUs && fromUs < p.toUs:
			found = true
		}
	}
	return found
}
