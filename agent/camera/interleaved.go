package camera

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
)

const (
	// readSize is how much is read from a connection at once; more only if a camera sends larger packets.
	readSize = 32 << 10
	// packetSize is the largest that a packet can be, with its frame.
	packetSize = 4 + 1<<16
	// sign is how often the RTSP library is shown that packets come.
	sign = 250 * time.Millisecond
)

// interleaved is a connection out of which the RTP packets of some channels are taken (RFC 2326 section 10.12) as
// they are read: the RTSP library, which is given all the rest, would allocate and lock for each of them. One
// goroutine reads.
type interleaved struct {
	net.Conn
	count *counters

	taken atomic.Pointer[[]*channel]

	buf   []byte
	r, w  int    // what is read and not yet used
	ahead []byte // to be handed on before anything else
	pass  int    // bytes of a message that go on as they are
	head  *head  // of the message in whose head the reader is, else nil

	came  byte // channel of a packet since the last sign, plus one; 0 means none
	shown time.Time
}

// channel is one of the taken ones.
type channel struct {
	number  byte
	kind    uint8
	take    func(packet)
	seq     uint16
	started bool
}

func newInterleaved(c net.Conn, count *counters) *interleaved {
	i := &interleaved{Conn: c, count: count, buf: make([]byte, readSize)}
	i.taken.Store(&[]*channel{})
	return i
}

// take asks for the packets of a channel with a payload type. It must be called before the packets come, from one
// goroutine; do is called by the one that reads.
func (i *interleaved) take(number byte, kind uint8, do func(packet)) {
	all := append([]*channel{{number: number, kind: kind, take: do}}, *i.taken.Load()...)
	i.taken.Store(&all)
}

// Read implements net.Conn.
func (i *interleaved) Read(p []byte) (int, error) {
	for {
		switch {
		case len(i.ahead) > 0:
			n := copy(p, i.ahead)
			i.ahead = i.ahead[n:]
			return n, nil
		case i.r < i.w && i.head != nil:
			return i.readHead(p), nil
		case i.r < i.w && i.pass > 0:
			n := copy(p, i.buf[i.r:min(i.w, i.r+i.pass)])
			i.r += n
			i.pass -= n
			return n, nil
		case i.r < i.w && i.next():
			continue
		}
		if err := i.fill(); err != nil {
			return 0, err
		}
	}
}

// fill reads more behind what is left.
func (i *interleaved) fill() error {
	i.w = copy(i.buf, i.buf[i.r:i.w])
	i.r = 0
	if i.w == len(i.buf) { // a packet that does not fit
		i.buf = append(i.buf, make([]byte, packetSize-len(i.buf))...)
	}
	n, err := i.Conn.Read(i.buf[i.w:])
	i.w += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// next looks at the beginning of a message; false means that more of it is needed.
func (i *interleaved) next() bool {
	b := i.buf[i.r:i.w]
	switch {
	case i.came > 0 && time.Since(i.shown) >= sign:
		i.show()
		return true
	case b[0] != base.InterleavedFrameMagicByte:
		if len(b) < 2 {
			return false
		}
		if begins(b) {
			i.head = &head{}
		} else {
			i.r++ // as the library skips what it does not know, byte by byte
		}
		return true
	case len(b) < 4:
		return false
	}
	size := 4 + int(b[2])<<8 + int(b[3])
	ch := i.channel(b[1])
	if ch == nil {
		i.pass = size
		return true
	}
	if len(b) < size {
		return false
	}
	i.r += size
	i.came = ch.number + 1
	i.deliver(ch, b[4:size])
	return true
}

func (i *interleaved) channel(number byte) *channel {
	for _, ch := range *i.taken.Load() {
		if ch.number == number {
			return ch
		}
	}
	return nil
}

func (i *interleaved) deliver(ch *channel, b []byte) {
	p, err := parsePacket(b)
	if err != nil || p.kind != ch.kind {
		i.count.bad.Add(1)
		return
	}
	if lost := p.seq - ch.seq - 1; ch.started && lost != 0 {
		i.count.lost.Add(uint64(min(lost, maxLost)))
	}
	ch.seq, ch.started = p.seq, true
	ch.take(p)
}

// show lets the library, which ends sessions in which nothing comes, see a sign of life: an empty receiver report
// (RFC 3550 section 6.4.2) on the channel's RTCP channel.
func (i *interleaved) show() {
	i.ahead = []byte{base.InterleavedFrameMagicByte, i.came, 0, 8, 0x80, 201, 0, 1, 0, 0, 0, 0}
	i.came, i.shown = 0, time.Now()
}

// begins says whether the RTSP library takes these two bytes for the beginning of a message.
func begins(b []byte) bool {
	switch string(b[:2]) {
	case "RT", "AN", "DE", "GE", "OP", "PA", "PL", "RE", "SE", "TE":
		return true
	}
	return false
}

// head is what is known of a message while its head is read: its last line and the size of the body.
type head struct {
	line [64]byte
	n    int
	body int
}

// readHead hands on a message up to the end of its head at most.
func (i *interleaved) readHead(p []byte) int {
	b := i.buf[i.r:min(i.w, i.r+len(p))]
	for n, c := range b {
		if !i.head.ends(c) {
			continue
		}
		i.pass, i.head = i.head.body, nil
		b = b[:n+1]
		break
	}
	i.r += len(b)
	return copy(p, b)
}

// ends takes the next byte and says whether it ends the head.
func (h *head) ends(c byte) bool {
	if c != '\n' {
		if h.n < len(h.line) {
			h.line[h.n] = c
			h.n++
		}
		return false
	}
	line := bytes.TrimSuffix(h.line[:h.n], []byte("\r"))
	h.n = 0
	if len(line) == 0 {
		return true
	}
	name, value, _ := strings.Cut(string(line), ":")
	if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n >= 0 && strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
		h.body = n
	}
	return false
}

// channelOf returns the channel that the answer to SETUP gives to the RTP packets of a track.
func channelOf(res *base.Response) (number byte, ok bool) {
	var t headers.Transport
	if res == nil || t.Unmarshal(res.Header["Transport"]) != nil || t.InterleavedIDs == nil || t.InterleavedIDs[0] < 0 || t.InterleavedIDs[0] > 254 {
		return 0, false
	}
	return byte(t.InterleavedIDs[0]), true
}
