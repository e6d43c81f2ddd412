package talk

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"

	"holdfast/shared/mp4"
)

// Sizes in samples at 8 kHz, which are bytes of G.711.
const (
	part     = 160       // what is sent at once: 20 ms
	depth    = 3 * part  // what waits at the beginning, so that a packet may be so late
	most     = 12 * part // what waits at most: after a burst the oldest is left out. Speaker.Speak drains so much at the end
	longest  = 20 * part // of one packet
	lateMost = 10        // packets in a row that come too late, until the way counts as longer than it was
)

// voice makes an even stream of packets that come in bursts, in the wrong order, late or never. What is late is left out,
// what is missing is silence, and what waits is bounded, so that speech stays in the present.
type voice struct {
	silence byte

	mu     sync.Mutex
	began  bool
	zero   uint32  // RTP timestamp at which the present stretch begins
	at     uint32  // of the next sample that is sent
	held   []piece // by timestamp, none ends before at
	late   int     // packets in a row that came too late
	came   time.Time
	counts counts
	out    [part]byte
}

// piece is what one packet brought.
type piece struct {
	stamp uint32
	sound []byte
}

// counts are figures of one talk.
type counts struct {
	packets, late int // that came, and of these too late
	dropped       int // that waited and were left out, since too many did
	holes         int // parts that were sent with something missing, although later sound was there
}

// LogValue implements slog.LogValuer.
func (c counts) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("packets", c.packets), slog.Int("late", c.late), slog.Int("dropped", c.dropped), slog.Int("holes", c.holes))
}

// silenceOf is a sample of nothing (ITU-T G.711 tables 1 and 2).
func silenceOf(c mp4.Codec) byte {
	if c == mp4.PCMA {
		return 0xd5
	}
	return 0xff
}

// put takes a packet, in any order.
func (v *voice) put(pkt *rtp.Packet) {
	n := len(pkt.Payload)
	if n == 0 || n > longest {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.came = time.Now()
	v.counts.packets++
	if !v.began {
		v.began = true
		v.zero, v.at = pkt.Timestamp, pkt.Timestamp-depth
	}
	if int32(pkt.Timestamp-v.at)+int32(n) <= 0 {
		v.counts.late++
		if v.late++; v.late < lateMost {
			return
		}
		v.zero, v.at, v.held = pkt.Timestamp, pkt.Timestamp-depth, nil
	}
	v.late = 0
	i, known := slices.BinarySearchFunc(v.held, pkt.Timestamp, func(p piece, stamp uint32) int { return cmp.Compare(int32(p.stamp-stamp), 0) })
	if known {
		return
	}
	v.held = slices.Insert(v.held, i, piece{pkt.Timestamp, pkt.Payload})
	if last := v.held[len(v.held)-1]; int32(last.end()-v.at) > most {
		v.at = last.end() - depth
		v.counts.dropped += v.forget()
	}
}

func (p piece) end() uint32 { return p.stamp + uint32(len(p.sound)) }

// forget lets go of what lies before the next sample and returns of how many packets; the caller holds the lock.
func (v *voice) forget() int {
	had := len(v.held)
	v.held = slices.DeleteFunc(v.held, func(p piece) bool { return int32(p.end()-v.at) <= 0 })
	return had - len(v.held)
}

// next returns the next part; it is good until the call after.
func (v *voice) next() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.out {
		v.out[i] = v.silence
	}
	if !v.began {
		return v.out[:]
	}
	filled := 0
	for _, p := range v.held {
		if from := int32(p.stamp - v.at); from >= part {
			break
		} else if from >= 0 {
			filled += copy(v.out[from:], p.sound)
		} else {
			filled += copy(v.out[:], p.sound[-from:])
		}
	}
	begun := int32(v.at-v.zero) >= 0
	v.at += part
	v.forget()
	if begun && filled < part && len(v.held) > 0 {
		v.counts.holes++
	}
	return v.out[:]
}

// touch counts as a packet: from now on one must come.
func (v *voice) touch() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.came = time.Now()
}

// quiet is how long nothing has come.
func (v *voice) quiet() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Since(v.came)
}

func (v *voice) tally() counts {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.counts
}

// inWords is a whole number of minutes or seconds.
func inWords(d time.Duration) string {
	switch {
	case d == time.Minute:
		return "a minute"
	case d == time.Second:
		return "a second"
	case d%time.Minute == 0:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", (d+time.Second-1)/time.Second)
}
