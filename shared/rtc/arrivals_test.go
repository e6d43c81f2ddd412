package rtc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
)

// sky carries packets of 1,000 bytes over a line, and says what has come.
type sky struct {
	a      *Arrivals
	rate   int           // packets a second
	away   time.Duration // that the line is long
	freeAt time.Time
	from   uint16
	due    []time.Time
}

// send sends a packet and returns when it will have come.
func (s *sky) send() {
	s.a.leaves(1000)
	s.freeAt = time.Now().Add(max(time.Until(s.freeAt), 0) + time.Second/time.Duration(s.rate))
	s.due = append(s.due, s.freeAt.Add(s.away))
}

// told is what the receiver says of all that has come by now, if something has.
func (s *sky) told() *rtcp.TransportLayerCC {
	n := 0
	for n < len(s.due) && !s.due[n].After(time.Now()) {
		n++
	}
	if n == 0 {
		return nil
	}
	const zero = 1_000_000
	at := s.due[0].UnixMicro() % zero / 64_000 * 64_000
	out := &rtcp.TransportLayerCC{BaseSequenceNumber: s.from, PacketStatusCount: uint16(n), ReferenceTime: uint32(at / 64_000)}
	out.PacketChunks = []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: uint16(n)}}
	base := s.due[0].UnixMicro() - s.due[0].UnixMicro()%zero
	for _, d := range s.due[:n] {
		out.RecvDeltas = append(out.RecvDeltas, &rtcp.RecvDelta{Delta: d.UnixMicro() - base - at})
		at = d.UnixMicro() - base
	}
	// The whole story in whole seconds, which the reference has no room for here.
	out.ReferenceTime += uint32(base / 64_000)
	out.RecvDeltas[0].Delta += base % 64_000
	s.from, s.due = s.from+uint16(n), s.due[n:]
	return out
}

// tells has the receiver say every 50 ms of the bubble's time what has come, with a change if there is one, until the function
// that is returned is called.
func (s *sky) tells(t *testing.T, change func(*rtcp.TransportLayerCC)) (stop func()) {
	t.Helper()
	s.a.numbers = true
	ctx, cancel := context.WithCancel(t.Context())
	var telling sync.WaitGroup
	telling.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
			if told := s.told(); told != nil {
				if change != nil {
					change(told)
				}
				s.a.hear(told)
			}
		}
	})
	return func() { cancel(); telling.Wait() }
}

// TestArrivalsMeasureTheLine sends a burst over a line: what is on its way stays bounded, and what the line carries is found.
func TestArrivalsMeasureTheLine(t *testing.T) {
	for _, rate := range []int{100, 600, 5000} { // 0.8, 4.8 and 40 Mbit/s
		synctest.Test(t, func(t *testing.T) {
			s := &sky{a: newArrivals(), rate: rate, away: 20 * time.Millisecond}
			stop := s.tells(t, nil)
			most, sent := 0, 0
			for begun := time.Now(); time.Since(begun) < 4*time.Second; sent++ {
				if err := s.a.Await(t.Context(), 1000); err != nil {
					t.Fatal(err)
				}
				s.send()
				if time.Since(begun) > 2*time.Second {
					most = max(most, len(s.due))
				}
				time.Sleep(10 * time.Microsecond)
			}
			stop()
			if got, _ := s.a.Carries(); got/1000 < 0.9*float64(rate) || got/1000 > 1.1*float64(rate) {
				t.Errorf("a line of %d packets a second is taken for %.0f", rate, got/1000)
			}
			if waits := time.Duration(most) * time.Second / time.Duration(rate); waits > 400*time.Millisecond {
				t.Errorf("at %d packets a second %d are on their way, which take %v", rate, most, waits)
			}
			if sent < 3*rate {
				t.Errorf("in 4 s %d packets went over a line of %d a second", sent, rate)
			}
			time.Sleep(carriedFor + time.Second)
			if got, _ := s.a.Carries(); got != 0 {
				t.Errorf("a minute later the line is still taken for %.0f", got)
			}
			if s.a.Forget(); s.a.bytes != 0 || s.a.window != windowFirst {
				t.Errorf("on another path %d bytes are on their way, of %d", s.a.bytes, s.a.window)
			}
		})
	}
}

// TestArrivalsOverALongLine sends by satellite: a first word that takes its time is waited for, and then the line is filled. The
// receiver's clock begins anew meanwhile.
func TestArrivalsOverALongLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 600
		s := &sky{a: newArrivals(), rate: rate, away: 700 * time.Millisecond}
		begun := time.Now()
		stop := s.tells(t, func(told *rtcp.TransportLayerCC) {
			if time.Since(begun) > 6*time.Second {
				told.ReferenceTime -= 1 << 23
			}
		})
		sent, before := 0, 0
		for ; time.Since(begun) < 12*time.Second; sent++ {
			if err := s.a.Await(t.Context(), 1000); err != nil {
				t.Fatal(err)
			}
			s.send()
			if time.Since(begun) < 4*time.Second {
				before = sent
			}
			time.Sleep(10 * time.Microsecond)
		}
		stop()
		if got := sent - before; got < 8*rate*8/10 {
			t.Errorf("in the last 8 s %d packets went over a line of %d a second", got, rate)
		}
	})
}

// TestArrivalsBehindOthers sends a camera's frames over a good line in which others keep a queue: that is not taken for what the
// line carries, and nothing is held up for it.
func TestArrivalsBehindOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const frame, every = 33, 66 * time.Millisecond // packets of a frame: 4 Mbit/s
		s := &sky{a: newArrivals(), rate: 6000, away: 20 * time.Millisecond}
		stop := s.tells(t, nil)
		begun, waited := time.Now(), time.Duration(0)
		for n := range 300 {
			time.Sleep(time.Until(begun.Add(time.Duration(n) * every)))
			if time.Since(begun) > 2*time.Second {
				s.away = 220 * time.Millisecond // somebody downloads
			}
			for range frame {
				before := time.Now()
				if err := s.a.Await(t.Context(), 1000); err != nil {
					t.Fatal(err)
				}
				waited = max(waited, time.Since(before))
				s.send()
			}
		}
		stop()
		if waited > 100*time.Millisecond {
			t.Errorf("a packet was held up for %v", waited)
		}
		if rate, _ := s.a.Carries(); rate > 0 {
			t.Errorf("the line is taken for one of %.0f bytes a second", rate)
		}
	})
}

// TestArrivalsHoldNobodyUp has receivers that say nothing, and one that talks nonsense.
func TestArrivalsHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, begun := newArrivals(), time.Now()
		for range 1000 { // it was not agreed upon
			a.leaves(1000)
			if err := a.Await(t.Context(), 1000); err != nil || time.Since(begun) > 0 {
				t.Fatalf("it waits: %v", err)
			}
		}
		a = newArrivals()
		a.numbers = true
		for range 1000 {
			if err := a.Await(t.Context(), 1000); err != nil {
				t.Fatal(err)
			}
			a.leaves(1000)
		}
		if took := time.Since(begun); took > 8*silentFor {
			t.Errorf("a receiver that is silent held a megabyte up for %v", took)
		}
		for _, told := range []*rtcp.TransportLayerCC{
			{},
			{BaseSequenceNumber: a.next + 1, PacketStatusCount: 3, PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: 1, RunLength: 9}}},
			{BaseSequenceNumber: a.next - 2, PacketStatusCount: 9, PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: 1, RunLength: 9}}},
			{BaseSequenceNumber: a.next - 2, PacketStatusCount: 9, PacketChunks: []rtcp.PacketStatusChunk{&rtcp.StatusVectorChunk{SymbolList: make([]uint16, 14)}}},
		} {
			a.hear(told)
		}
		for range 6000 {
			a.leaves(1000)
		}
		if len(a.flight) != flightMost || a.bytes != flightMost*1000 {
			t.Errorf("%d packets, %d bytes are remembered", len(a.flight), a.bytes)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := a.Await(ctx, 1000); !errors.Is(err, context.Canceled) {
			t.Errorf("behind the end: %v", err)
		}
	})
}
