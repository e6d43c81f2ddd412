package rtc

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// transportCC is the header extension that numbers the packets of a connection, so that the receiver can say which of them
// came when (draft-holmer-rmcat-transport-wide-cc-extensions-01).
const transportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

const (
	windowFirst = 128 << 10 // bytes on their way over a line of which nothing is known: most key frames fit
	windowLeast = 16 << 10
	windowMost  = 4 << 20
	queued      = 40 * time.Millisecond  // a packet that takes so much longer than the fastest one waits on the line
	queueMost   = 100 * time.Millisecond // what may wait there
	measureFor  = 60 * time.Millisecond  // so long a line must be busy before it is known what it carries
	quickFor    = 30 * time.Second       // clocks drift apart: what was fastest before that says nothing
	ratedFor    = 10 * time.Second       // a measured rate says how much may wait on the line
	carriedFor  = time.Minute            // and what the line carries
	silentFor   = 300 * time.Millisecond // what was said to have come nowhere after so long, or after some turns, is lost
	muteFor     = time.Second            // a receiver that has not said anything by then will not
	flightMost  = 4096                   // packets on their way that are remembered
	wrapped     = time.Hour              // the receiver's clock, of 24 bits, has begun anew where it goes back so far
)

// Arrivals learns from a receiver which packets of a connection have come when: how many are still on their way, and, while
// they queue on the line, what the line carries. Of a receiver that says nothing of the kind it knows nothing, and holds
// nobody up. Safe for concurrent use.
type Arrivals struct {
	interceptor.NoOp
	begun time.Time

	mu      sync.Mutex
	numbers bool // the receiver says what has come, as far as was negotiated
	next    uint16
	flight  []flying // on their way, up to the packet before next
	bytes   int      // in flight
	window  int      // bytes that may be
	changed chan struct{}

	quickUs    [2]int64 // the least time on the way, lately and just before; both clocks have a zero of their own
	since      int64    // when lately began; 0: nothing has come yet
	turnUs     int64    // the least time from sending to hearing of it; 0: not known
	lastUs     int64    // when the last packet came, by the receiver's clock
	lastSentUs int64    // and was sent, by ours
	queueUs    int64    // and how long it had queued
	busy       int      // bytes that came while the line was busy
	busyUs     int64    // in this time
	paceUs     int64    // while they were sent in this
	rate       float64
	ratedUs    int64 // when it was measured
}

// flying is a packet on its way.
type flying struct {
	sentUs int64
	size   int // 0: it has come
}

func newArrivals() *Arrivals {
	return &Arrivals{begun: time.Now(), window: windowFirst, changed: make(chan struct{})}
}

// NewInterceptor implements interceptor.Factory.
func (a *Arrivals) NewInterceptor(string) (interceptor.Interceptor, error) { return a, nil }

// BindLocalStream implements interceptor.Interceptor.
func (a *Arrivals) BindLocalStream(info *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	var mark uint8
	for _, e := range info.RTPHeaderExtensions {
		if e.URI == transportCC && e.ID > 0 && e.ID < 15 { // RFC 8285 section 4.2
			mark = uint8(e.ID)
		}
	}
	if mark == 0 {
		return w
	}
	a.mu.Lock()
	a.numbers = true
	a.mu.Unlock()
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, attr interceptor.Attributes) (int, error) {
		out := h.Clone() // what is sent again is still in use
		number := a.leaves(h.MarshalSize() + len(payload))
		if err := out.SetExtension(mark, binary.BigEndian.AppendUint16(nil, number)); err != nil {
			return 0, err
		}
		return w.Write(&out, payload, attr)
	})
}

func (a *Arrivals) nowUs() int64 { return time.Since(a.begun).Microseconds() }

// leaves notes a packet that is sent now, and returns its number.
func (a *Arrivals) leaves(size int) uint16 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.flight) == flightMost {
		a.settle(1)
	}
	a.flight = append(a.flight, flying{a.nowUs(), size})
	a.bytes += size
	a.next++
	return a.next - 1
}

// settle forgets the first n packets in flight; mu is held.
func (a *Arrivals) settle(n int) {
	for _, p := range a.flight[:n] {
		a.bytes -= p.size
	}
	a.flight = append(a.flight[:0], a.flight[n:]...)
}

// hear takes over what the receiver says.
func (a *Arrivals) hear(told *rtcp.TransportLayerCC) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.numbers = true
	first := a.next - uint16(len(a.flight))
	atUs, deltas := int64(told.ReferenceTime)*64_000, told.RecvDeltas
	full, last, came := a.bytes >= a.window/2, -1, 0
	number := told.BaseSequenceNumber
	for _, symbol := range symbols(told) {
		i := int(number - first)
		number++
		if i < len(a.flight) {
			last = max(last, i)
		}
		if symbol != rtcp.TypeTCCPacketReceivedSmallDelta && symbol != rtcp.TypeTCCPacketReceivedLargeDelta {
			continue
		}
		if len(deltas) == 0 {
			break
		}
		atUs += deltas[0].Delta
		deltas = deltas[1:]
		if i < len(a.flight) && a.flight[i].size > 0 {
			came += a.arrive(&a.flight[i], atUs, full)
		}
	}
	if last < 0 {
		return
	}
	if turnUs := max(a.nowUs()-a.flight[last].sentUs, 1); a.turnUs == 0 || turnUs < a.turnUs {
		a.turnUs = turnUs
	}
	a.settle(last + 1)
	a.widen(full, came)
	close(a.changed)
	a.changed = make(chan struct{})
}

// symbols are what is said of one packet after the other.
func symbols(told *rtcp.TransportLayerCC) []uint16 {
	out := make([]uint16, 0, told.PacketStatusCount)
	for _, chunk := range told.PacketChunks {
		switch c := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for range min(int(c.RunLength), int(told.PacketStatusCount)-len(out)) {
				out = append(out, c.PacketStatusSymbol)
			}
		case *rtcp.StatusVectorChunk:
			out = append(out, c.SymbolList[:min(len(c.SymbolList), int(told.PacketStatusCount)-len(out))]...)
		}
	}
	return out
}

// arrive takes over that a packet has come, and returns its size; mu is held. Behind one that queued, one that queued comes as
// fast as the line carries it, where the window was full: else it may be the path that has become longer.
func (a *Arrivals) arrive(p *flying, atUs int64, full bool) int {
	tookUs, nowUs := atUs-p.sentUs, a.nowUs()
	switch {
	case a.since == 0, a.lastUs-atUs > wrapped.Microseconds():
		a.since, a.quickUs = nowUs, [2]int64{tookUs, tookUs}
	case nowUs-a.since > quickFor.Microseconds():
		a.since, a.quickUs = nowUs, [2]int64{tookUs, a.quickUs[0]}
	}
	a.quickUs[0] = min(a.quickUs[0], tookUs)
	queueUs, size := tookUs-min(a.quickUs[0], a.quickUs[1]), p.size
	switch sinceUs := atUs - a.lastUs; {
	case queueUs < queued.Microseconds() || !full:
		a.busy, a.busyUs, a.paceUs = 0, 0, 0
	case a.queueUs >= queued.Microseconds() && sinceUs >= 0:
		a.busy += size
		a.busyUs += sinceUs
		a.paceUs += max(p.sentUs-a.lastSentUs, 0)
	}
	// What comes as fast as it was sent waits behind what others send.
	if a.busyUs >= measureFor.Microseconds() && a.paceUs < a.busyUs*9/10 {
		a.rate, a.ratedUs = float64(a.busy)*1e6/float64(a.busyUs), nowUs
	}
	if a.busyUs >= 5*measureFor.Microseconds() { // what was long ago counts less
		a.busy, a.busyUs, a.paceUs = a.busy/2, a.busyUs/2, a.paceUs/2
	}
	a.lastUs, a.lastSentUs, a.queueUs = atUs, p.sentUs, queueUs
	a.bytes -= size
	p.size = 0
	return size
}

// widen sets the window anew: what was let out and has come without queueing may double it, and a line that we keep busy has what
// it carries, and a little that waits; mu is held.
func (a *Arrivals) widen(full bool, came int) {
	switch {
	case !full:
	case a.queueUs < queued.Microseconds():
		a.window += came
	case a.rate > 0 && a.nowUs()-a.ratedUs < ratedFor.Microseconds():
		a.window = int(a.rate * float64(a.turnUs+queueMost.Microseconds()) / 1e6)
	default: // the queue is not known to be ours
		a.window += came / 4
	}
	a.window = min(max(a.window, windowLeast), windowMost)
}

// Await waits until so many bytes more may be on their way. The error is ctx's.
func (a *Arrivals) Await(ctx context.Context, bytes int) error {
	for {
		a.mu.Lock()
		free, changed := !a.numbers || a.bytes == 0 || a.bytes+bytes <= a.window, a.changed
		a.mu.Unlock()
		if free {
			return ctx.Err()
		}
		silent := time.NewTimer(a.patience())
		select {
		case <-changed:
		case <-silent.C: // all is lost, or what was said of it is
			a.mu.Lock()
			a.numbers = a.turnUs > 0
			a.settle(len(a.flight))
			a.mu.Unlock()
		case <-ctx.Done():
		}
		silent.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// patience is how long the receiver may say nothing: over a long line the first word takes its time.
func (a *Arrivals) patience() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.turnUs == 0 {
		return muteFor
	}
	return max(silentFor, 4*time.Duration(a.turnUs)*time.Microsecond)
}

// Carries returns what the line carried when it was full, bytes per second, and when that was; 0 when it has not been full within
// the last minute.
func (a *Arrivals) Carries() (rate float64, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rate == 0 || a.nowUs()-a.ratedUs > carriedFor.Microseconds() {
		return 0, time.Time{}
	}
	return a.rate, a.begun.Add(time.Duration(a.ratedUs) * time.Microsecond)
}

// Forget begins anew, over another path.
func (a *Arrivals) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle(len(a.flight))
	a.window, a.since, a.turnUs, a.queueUs, a.busy, a.busyUs, a.paceUs, a.rate = windowFirst, 0, 0, 0, 0, 0, 0, 0
}
