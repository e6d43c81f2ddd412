package fakecam

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Malice is what a hostile device does to whoever connects.
type Malice string

// Kinds of malice.
const (
	Drip          Malice = "drip"           // an endless answer, one byte a second
	HugeLength    Malice = "huge length"    // a description of 4 GiB, as it says
	EndlessSDP    Malice = "endless SDP"    // a description that has no length and no end
	ManyTracks    Malice = "many tracks"    // a description of thousands of tracks, none of them sound
	EndlessHeader Malice = "endless header" // an answer whose headers never end
	Answers       Malice = "answers"        // answers to questions that nobody asked, without end
	Questions     Malice = "questions"      // questions without end
	Garbage       Malice = "garbage"        // bytes that mean nothing, without end
	Frames        Malice = "frames"         // a session in good order, then interleaved frames of nonsense without end
	Tiny          Malice = "tiny"           // a session in good order, then tiny pictures, as many as the line takes
	Redirect      Malice = "redirect"       // points to itself, for ever
	Mute          Malice = "mute"           // takes the connection and never says a word
	Elsewhere     Malice = "elsewhere"      // grants sessions whose video is to come from a foreign address
	Mismatch      Malice = "mismatch"       // grants sessions over another transport than was asked for
)

// Hostile is a device that means harm. Its own work is bounded: it sends no more than 30 MB/s a connection.
type Hostile struct {
	kind  Malice
	ln    net.Listener
	conns sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{}
	shut bool

	connects, sent, granted, torn atomic.Int64
}

// ServeHostile runs a hostile device for the length of a test. Each kind has an address of its own: who looks at
// several must not take them for one recorder.
func ServeHostile(t Test, kind Malice) *Hostile {
	t.Helper()
	n := crc32.ChecksumIEEE([]byte(kind))
	ln, err := net.Listen("tcp", fmt.Sprintf("127.1.%d.%d:0", byte(n>>8), max(byte(n), 1)))
	if err != nil {
		t.Fatalf("hostile device: %v", err)
	}
	h := &Hostile{kind: kind, ln: ln, open: map[net.Conn]struct{}{}}
	h.conns.Go(h.accept)
	t.Cleanup(h.stop)
	return h
}

// Host is the device's address without a port.
func (h *Hostile) Host() string { return h.ln.Addr().(*net.TCPAddr).IP.String() }

// URL is the device's address, with the scheme rtsp or rtsps.
func (h *Hostile) URL(scheme string) string { return scheme + "://" + h.ln.Addr().String() + "/cam" }

// Connects is how many connections there were.
func (h *Hostile) Connects() int { return int(h.connects.Load()) }

// Sent is how many bytes it got rid of.
func (h *Hostile) Sent() int64 { return h.sent.Load() }

// Granted is how many sessions it granted.
func (h *Hostile) Granted() int { return int(h.granted.Load()) }

// Torn is how many sessions were torn down by their number.
func (h *Hostile) Torn() int { return int(h.torn.Load()) }

// Open is how many connections there are now.
func (h *Hostile) Open() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.open)
}

func (h *Hostile) stop() {
	h.mu.Lock()
	h.shut = true
	_ = h.ln.Close()
	for c := range h.open {
		_ = c.Close()
	}
	h.mu.Unlock()
	h.conns.Wait()
}

func (h *Hostile) accept() {
	for {
		c, err := h.ln.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		if h.shut {
			_ = c.Close()
		}
		h.open[c] = struct{}{}
		h.mu.Unlock()
		h.connects.Add(1)
		h.conns.Go(func() {
			h.talk(c)
			_ = c.Close()
			h.mu.Lock()
			defer h.mu.Unlock()
			delete(h.open, c)
		})
	}
}

// talk is one connection.
func (h *Hostile) talk(c net.Conn) {
	in := bufio.NewReader(c)
	switch h.kind {
	case Mute:
		_, _ = io.Copy(io.Discard, in)
		return
	case Garbage:
		h.flood(c, func(int) []byte { return noise(32 << 10) })
		return
	}
	for {
		method, seq, session, ok := request(in)
		if !ok {
			return
		}
		if method == "OPTIONS" && h.kind != Drip {
			h.say(c, "RTSP/1.0 200 OK\r\nCSeq: %s\r\nPublic: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n", seq)
			continue
		}
		if method == "TEARDOWN" && session == "1" {
			h.torn.Add(1)
		}
		if !h.harm(c, method, seq) {
			return
		}
	}
}

// request reads a request's method, number and session.
func request(in *bufio.Reader) (method, seq, session string, ok bool) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", "", "", false
		}
		line = strings.TrimSpace(line)
		switch name, value, _ := strings.Cut(line, ":"); {
		case line == "" && method != "":
			return method, seq, session, true
		case strings.EqualFold(name, "CSeq"):
			seq = strings.TrimSpace(value)
		case strings.EqualFold(name, "Session"):
			session = strings.TrimSpace(value)
		case method == "":
			method, _, _ = strings.Cut(line, " ")
		}
	}
}

func (h *Hostile) say(c net.Conn, format string, args ...any) bool {
	n, err := fmt.Fprintf(c, format, args...)
	h.sent.Add(int64(n))
	return err == nil
}

// harm answers a request in bad faith. It returns false when the connection has ended.
func (h *Hostile) harm(c net.Conn, method, seq string) bool {
	const described = "RTSP/1.0 200 OK\r\nCSeq: %s\r\nContent-Type: application/sdp\r\n"
	switch h.kind {
	case Drip:
		h.drip(c, seq)
	case HugeLength:
		h.say(c, described+"Content-Length: 4294967296\r\n\r\nv=0\r\n", seq)
		h.flood(c, func(int) []byte { return []byte(strings.Repeat("a=x\r\n", 4096)) })
	case EndlessSDP:
		h.say(c, described+"\r\nv=0\r\n", seq)
		h.flood(c, func(int) []byte { return []byte(strings.Repeat("a=x\r\n", 4096)) })
	case ManyTracks:
		text := "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN\r\nt=0 0\r\n" + strings.Repeat("a=tool:x\r\n", 2000) +
			strings.Repeat("m=video 0 RTP/AVP 96\r\n", 4500)
		return h.say(c, described+"Content-Length: %d\r\n\r\n%s", seq, len(text), text)
	case EndlessHeader:
		h.say(c, "RTSP/1.0 200 OK\r\n")
		h.flood(c, func(n int) []byte { return fmt.Appendf(nil, "X-%d: %s\r\n", n, strings.Repeat("y", 1000)) })
	case Answers:
		h.flood(c, func(n int) []byte { return fmt.Appendf(nil, "RTSP/1.0 200 OK\r\nCSeq: %d\r\n\r\n", n+1_000_000) })
	case Questions:
		h.flood(c, func(n int) []byte { return fmt.Appendf(nil, "OPTIONS rtsp://x/ RTSP/1.0\r\nCSeq: %d\r\n\r\n", n) })
	case Redirect:
		return h.say(c, "RTSP/1.0 302 Moved\r\nCSeq: %s\r\nLocation: %s\r\n\r\n", seq, h.URL("rtsp"))
	case Frames, Tiny, Elsewhere, Mismatch:
		return h.session(c, method, seq)
	}
	return false
}

func (h *Hostile) drip(c net.Conn, seq string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i, text := 0, "RTSP/1.0 200 OK\r\nCSeq: "+seq+"\r\nX: "; ; i++ {
		b := byte('x')
		if i < len(text) {
			b = text[i]
		}
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		h.sent.Add(1)
		<-tick.C
	}
}

// session plays along up to PLAY.
func (h *Hostile) session(c net.Conn, method, seq string) bool {
	switch method {
	case "DESCRIBE":
		text := "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n" +
			"a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAHtkDxWhAAAADAEAAAAwDxYuS,aMuMsg==\r\na=control:t0\r\n"
		return h.say(c, "RTSP/1.0 200 OK\r\nCSeq: %s\r\nContent-Type: application/sdp\r\nContent-Base: %s/\r\nContent-Length: %d\r\n\r\n%s",
			seq, h.URL("rtsp"), len(text), text)
	case "SETUP":
		h.granted.Add(1)
		transport := map[Malice]string{
			Elsewhere: "RTP/AVP/TCP;unicast;interleaved=0-1;source=8.8.8.8", Mismatch: "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001",
		}[h.kind]
		return h.say(c, "RTSP/1.0 200 OK\r\nCSeq: %s\r\nSession: 1;timeout=60\r\nTransport: %s\r\n\r\n",
			seq, cmp.Or(transport, "RTP/AVP/TCP;unicast;interleaved=0-1"))
	case "PLAY":
		h.say(c, "RTSP/1.0 200 OK\r\nCSeq: %s\r\nSession: 1\r\n\r\n", seq)
		h.flood(c, h.frames)
		return false
	}
	return h.say(c, "RTSP/1.0 200 OK\r\nCSeq: %s\r\n\r\n", seq)
}

// frames is the n-th load of interleaved frames.
func (h *Hostile) frames(n int) []byte {
	var out bytes.Buffer
	if h.kind == Frames {
		body := noise(1400)
		body[0] = 0x80 // an RTP packet, so far
		out.Write([]byte{'$', byte(n % 4), byte(len(body) >> 8), byte(len(body))})
		out.Write(body)
		return out.Bytes()
	}
	for i := range 500 {
		seq := uint16(n*500 + i)
		// An IDR slice of two bytes, each a picture of its own.
		rtp := []byte{0x80, 0x80 | 96, byte(seq >> 8), byte(seq), 0, 0, byte(seq >> 8), byte(seq), 1, 2, 3, 4, 0x65, 0x88}
		out.Write([]byte{'$', 0, 0, byte(len(rtp))})
		out.Write(rtp)
	}
	return out.Bytes()
}

// flood sends until the connection breaks, no more than 30 MB/s.
func (h *Hostile) flood(c net.Conn, load func(n int) []byte) {
	const rate = 30 << 20
	began, sent := time.Now(), 0
	pause := time.NewTimer(0)
	defer pause.Stop()
	for n := 0; ; n++ {
		k, err := c.Write(load(n))
		sent += k
		h.sent.Add(int64(k))
		if err != nil {
			return
		}
		if early := time.Duration(sent)*time.Second/rate - time.Since(began); early > time.Millisecond {
			<-pause.C
			pause.Reset(early)
		}
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		v := rand.Uint64()
		for k := range 8 {
			b[i+k] = byte(v >> (8 * k))
		}
	}
	return b
}
