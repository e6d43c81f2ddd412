package media

import (
	"context"
	"errors"
	"sync"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// ErrClosed is returned by Reader.Next after Reader.Close.
var ErrClosed = errors.New("reader is closed")

// maxTailBytes bounds the frames that a Hub keeps for newcomers.
const maxTailBytes = 2 << 20

// Hub fans the frames of one stream out: one writer, many readers.
type Hub struct {
	stream id.Stream

	mu      sync.Mutex
	seq     uint64
	tail    []Frame // newest frames that nobody has put on disk yet, from a key frame where the bound allows
	tailLen int     // bytes in tail
	brk     *Break  // set while the source is down
	params  *Params
	readers map[*Reader]struct{}
	eager   int           // readers that want each frame at once
	changed chan struct{} // closed and replaced when readers come or go
}

// NewHub returns a Hub for one stream; it starts with Break{connecting} at mono time 0.
func NewHub(stream id.Stream) *Hub {
	return &Hub{
		stream: stream, readers: map[*Reader]struct{}{}, changed: make(chan struct{}),
		brk: &Break{Reason: wire.Connecting},
	}
}

// Stream names the stream that the Hub carries.
func (h *Hub) Stream() id.Stream { return h.stream }

// Write numbers f and hands it to every reader. It never blocks. One writer only.
func (h *Hub) Write(f Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	f.Seq = h.seq
	h.brk = nil
	if f.Params != h.params {
		h.params = f.Params
		h.dropTail(len(h.tail))
	}
	if f.Key && f.Track == 0 {
		h.dropTail(len(h.tail))
	}
	// Without its key frame a tail is of use only to a reader that gets the rest from disk.
	h.tail = append(h.tail, f)
	h.tailLen += f.Bytes
	for h.tailLen > maxTailBytes {
		h.dropTail(1)
	}
	for r := range h.readers {
		r.put(Item{Frame: f})
	}
}

// Down tells every reader, in place, that the source has no frames for now. The next Write ends it.
func (h *Hub) Down(b Break) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.brk = &b
	h.dropTail(len(h.tail))
	for r := range h.readers {
		r.put(Item{Break: &b})
	}
}

// Release forgets frames up to seq: they can be read from disk now.
func (h *Hub) Release(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for n < len(h.tail) && h.tail[n].Seq <= seq {
		n++
	}
	h.dropTail(n)
}

func (h *Hub) dropTail(n int) {
	for i := range n {
		h.tailLen -= h.tail[i].Bytes
	}
	rest := copy(h.tail, h.tail[n:])
	clear(h.tail[rest:])
	h.tail = h.tail[:rest]
}

// State returns the parameters last seen (nil before the first frame) and the Break in force (nil while
// frames come).
func (h *Hub) State() (*Params, *Break) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.params, h.brk
}

// Readers returns how many readers are attached, and a channel that is closed when that changes.
func (h *Hub) Readers() (int, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.readers), h.changed
}

// Watched says whether somebody wants each frame at once: a reader that was not attached by Batch.
func (h *Hub) Watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.eager > 0
}

// Limit bounds what may wait for one reader; beyond it whole groups of pictures are dropped.
type Limit struct {
	Frames int
	Bytes  int
}

// Reader attaches a reader that starts with what the Hub has in memory: a Break while the source is down,
// else the frames since the newest key frame that are not yet on disk. The first frame may therefore not be
// a key frame: the frames before it are on disk. Close the reader when done.
func (h *Hub) Reader(limit Limit) *Reader { return h.attach(limit, false) }

// Batch attaches a reader as Reader does, for one who has time: it is not woken for each frame, see Reader.Until.
func (h *Hub) Batch(limit Limit) *Reader { return h.attach(limit, true) }

func (h *Hub) attach(limit Limit, batch bool) *Reader {
	r := &Reader{hub: h, limit: limit, batch: batch, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !batch {
		h.eager++
	}
	if h.brk != nil {
		r.put(Item{Break: h.brk})
	}
	for _, f := range h.tail {
		r.put(Item{Frame: f})
	}
	h.readers[r] = struct{}{}
	h.announce()
	return r
}

func (h *Hub) announce() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// Reader is one consumer's bounded queue.
type Reader struct {
	hub   *Hub
	limit Limit
	batch bool
	wake  chan struct{}

	mu       sync.Mutex
	params   *Params // of the newest frame
	untilUs  int64   // while params stays, frames before this moment wake nobody (batch)
	moved    bool    // something came since the last Still
	queue    []Item
	head     int
	bytes    int
	dropping bool
	dropped  uint64
	closed   bool
}

// put runs under the Hub's lock, so that order is the Hub's.
func (r *Reader) put(it Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if it.Break == nil {
		f := &it.Frame
		waiting := len(r.queue) - r.head
		full := waiting >= r.limit.Frames || r.bytes+f.Bytes > r.limit.Bytes
		switch {
		case r.dropping && (!f.Key || f.Track != 0 || waiting > r.limit.Frames/2 || r.bytes > r.limit.Bytes/2):
			r.dropped++
			return
		case r.dropping:
			r.dropping = false
		case full && waiting > 0:
			r.dropping = true
			r.dropped++
			it = Item{Break: &Break{
				Reason: wire.SlowDisk, Text: "the reader fell behind: frames were dropped up to the next key frame",
				MonoUs: f.MonoUs,
			}}
		}
	}
	r.queue = append(r.queue, it)
	if it.Break == nil {
		r.bytes += it.Frame.Bytes
	}
	r.moved = true
	if r.due(&it) {
		r.signal()
	}
}

// due says whether an item that has just come wakes the reader; the caller holds the lock.
func (r *Reader) due(it *Item) bool {
	if !r.batch || it.Break != nil {
		return true
	}
	if it.Frame.Params != r.params {
		r.params, r.untilUs = it.Frame.Params, 0
		return true
	}
	return it.Frame.MonoUs >= r.untilUs || len(r.queue)-r.head >= r.limit.Frames/4 || r.bytes >= r.limit.Bytes/4
}

func (r *Reader) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Until lets a reader that was attached by Batch sleep until a frame captured at monoUs or later has come. What
// can't wait wakes it before: a Break, a frame with other Params, and a queue that is a quarter full.
func (r *Reader) Until(monoUs int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.untilUs = monoUs
	if n := len(r.queue); n > r.head && r.queue[n-1].Break == nil && r.queue[n-1].Frame.MonoUs >= monoUs {
		r.signal() // it came before this call
	}
}

// Still says whether nothing has come since it was asked before.
func (r *Reader) Still() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	still := !r.moved
	r.moved = false
	return still
}

// Next waits for the next item. It fails with ctx's error, or ErrClosed after Close.
func (r *Reader) Next(ctx context.Context) (Item, error) {
	for {
		it, ok, err := r.take()
		if ok || err != nil {
			return it, err
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return Item{}, ctx.Err()
		}
	}
}

// Ready returns a channel that yields when items may wait; after it has, call Try until it has none.
func (r *Reader) Ready() <-chan struct{} { return r.wake }

// Try returns the next item if one waits.
func (r *Reader) Try() (Item, bool) {
	it, ok, err := r.take()
	return it, ok && err == nil
}

func (r *Reader) take() (Item, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return Item{}, false, ErrClosed
	}
	if r.head == len(r.queue) {
		return Item{}, false, nil
	}
	it := r.queue[r.head]
	r.queue[r.head] = Item{}
	r.head++
	if it.Break == nil {
		r.bytes -= it.Frame.Bytes
	}
	switch {
	case r.head == len(r.queue):
		r.queue, r.head = r.queue[:0], 0
	case r.head >= 64 && r.head*2 >= len(r.queue):
		n := copy(r.queue, r.queue[r.head:])
		clear(r.queue[n:])
		r.queue, r.head = r.queue[:n], 0
	}
	return it, true, nil
}

// Waiting returns the bytes of the frames that wait for this reader.
func (r *Reader) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// Dropped returns how many frames this reader lost because it was slow.
func (r *Reader) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// Close detaches the reader; a waiting Next returns ErrClosed. Safe to call twice.
func (r *Reader) Close() {
	r.hub.mu.Lock()
	if _, ok := r.hub.readers[r]; ok {
		delete(r.hub.readers, r)
		if !r.batch {
			r.hub.eager--
		}
		r.hub.announce()
	}
	r.hub.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.queue, r.head, r.bytes = true, nil, 0, 0
	r.signal()
}
