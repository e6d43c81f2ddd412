package relay

import (
	"slices"
	"time"

	"github.com/pion/rtp"

	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
)

// piece is one RTP packet of a pull, in order.
type piece struct {
	payload []byte
	codec   mp4.Codec
	stamp   uint32 // RTP time
	end     bool   // of a frame: the marker
	torn    bool   // something before it is lost for good
	key     bool   // the frame that it is the first one of is a key frame
	fresh   bool   // the first one of a stretch whose RTP time has nothing to do with that before
	came    time.Time
	later   int32  // of a picture: ticks from its RTP time to when it is shown
	config  []byte // of AAC: its AudioSpecificConfig
}

// Bounds of what is kept of a stream: the newest group of pictures, for newcomers, and what the slowest leg may still
// have to send of the one before.
const (
	groupMost = 16 << 20         // bytes; of a longer group newcomers get nothing before the next key frame
	behind    = 512              // packets
	longBeg   = 10 * time.Second // between two newcomers for whom a key frame is asked for while the group is that long
)

// put takes a packet of the site, in order.
func (p *pull) put(pkt *rtp.Packet, codec mp4.Codec, torn bool, marks map[string]uint8) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := piece{payload: pkt.Payload, codec: codec, stamp: pkt.Timestamp, end: pkt.Marker, torn: torn, fresh: p.fresh, came: time.Now()}
	one.read(pkt, marks)
	at := p.first + uint64(len(p.pieces))
	if codec.IsVideo() {
		p.fresh = false
		p.place(&one, at)
	}
	p.pieces = append(p.pieces, one)
	if p.bytes += len(one.payload); p.bytes > groupMost {
		p.hasKey, p.long = false, true
		if len(p.pieces) > 2*behind {
			p.trim()
		}
	}
	if one.end || !codec.IsVideo() || at%8 == 0 {
		for l := range p.legs {
			l.wake()
		}
	}
}

// read takes what is said in a packet's header.
func (one *piece) read(pkt *rtp.Packet, marks map[string]uint8) {
	if n := marks[rtc.Sound]; n != 0 && one.codec == mp4.AAC {
		one.config = pkt.GetExtension(n)
	}
	if n := marks[rtc.Later]; n != 0 {
		if v := pkt.GetExtension(n); len(v) == 3 {
			one.later = int32(uint32(v[0])<<24|uint32(v[1])<<16|uint32(v[2])<<8) >> 8
		}
	}
}

// place finds out whether a piece of a picture, which will have number at, begins a frame and whether that is a key frame;
// mu is held.
func (p *pull) place(one *piece, at uint64) {
	if p.frame < p.first || p.frame >= at || one.torn || one.fresh || p.pieces[p.frame-p.first].stamp != one.stamp {
		p.frame, p.spoilt = at, false
	}
	key, opens := isKey(one.codec, one.payload)
	if one.torn {
		p.hasKey, p.spoilt, p.long = false, !opens, false // the beginning of the frame may be lost too
		p.beg()
	}
	if !key || p.spoilt || p.hasKey && p.key == p.frame {
		return
	}
	if p.frame == at {
		one.key = true
	} else {
		p.pieces[p.frame-p.first].key = true
	}
	p.key, p.hasKey, p.long, p.bytes = p.frame, true, false, 0
	p.trim()
}

// trim drops what no newcomer and no leg needs; mu is held.
func (p *pull) trim() {
	end := p.first + uint64(len(p.pieces))
	keep := max(end, behind) - behind
	if p.hasKey {
		keep = min(keep, max(p.key, behind)-behind)
	}
	if keep > p.first {
		p.pieces = slices.Clone(p.pieces[min(keep-p.first, uint64(len(p.pieces))):])
		p.first = keep
	}
}

// beg asks the agent to begin the picture anew when there is no key frame to begin with, but not often, and not when it is
// about to begin anyway or would bring again what was too long to keep; mu is held.
func (p *pull) beg() {
	if p.hasKey || p.long || p.seat == nil || p.fresh || time.Since(p.begged) < 2*time.Second {
		return
	}
	p.begged = time.Now()
	p.seat.beg()
}

// newest returns the number of the first piece of the newest key frame; without one it asks the site, and returns that of
// the next piece to come.
func (p *pull) newest() (from uint64, key bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beg()
	if p.long && p.seat != nil && time.Since(p.begged) > longBeg {
		p.begged = time.Now() // the agent asks the camera for a key frame where the group is too much for the line
		p.seat.beg()
	}
	if !p.hasKey {
		return p.first + uint64(len(p.pieces)), false
	}
	return p.key, true
}

// next appends the pieces from a number on to into, and returns the number that follows. lost says that some are no
// longer there: then it begins with the newest.
func (p *pull) next(from uint64, into []piece) (out []piece, to uint64, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := p.first + uint64(len(p.pieces))
	if from < p.first {
		return into, end, true
	}
	n := min(end-from, 64)
	i := from - p.first
	return append(into, p.pieces[i:i+n]...), from + n, false
}
