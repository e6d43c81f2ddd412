package relay

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtpmpeg4audio"
	"github.com/coder/websocket"
	"github.com/pion/rtp"

	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/scenes"
)

func load(t *testing.T, name string) *scenes.Loop {
	t.Helper()
	l, err := scenes.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// packer packs a loop's frames as an agent does.
type packer struct {
	loop   *scenes.Loop
	video  func(units [][]byte) ([]*rtp.Packet, error)
	audio  *rtpmpeg4audio.Encoder
	zero   int64 // the RTP time of its beginning, in ticks
	frames int   // sent so far
	sounds int
}

func newPacker(t *testing.T, l *scenes.Loop) *packer {
	t.Helper()
	p := &packer{loop: l, audio: &rtpmpeg4audio.Encoder{PayloadMaxSize: rtc.MTU, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3}}
	var err error
	if l.Video.Codec == mp4.H265 {
		e := &rtph265.Encoder{PayloadMaxSize: rtc.MTU}
		p.video, err = e.Encode, e.Init()
	} else {
		e := &rtph264.Encoder{PayloadMaxSize: rtc.MTU, PacketizationMode: 1}
		p.video, err = e.Encode, e.Init()
	}
	if err == nil {
		err = p.audio.Init()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// due is when the next picture is, in ticks since the beginning.
func (p *packer) due() int64 {
	n := len(p.loop.Units)
	return int64(p.frames/n)*p.loop.Ticks + p.loop.Units[p.frames%n].DTS
}

// picture returns the next picture.
func (p *packer) picture(t *testing.T) (packets []*rtp.Packet, later int64, key bool) {
	t.Helper()
	at := p.due()
	u := p.loop.Units[p.frames%len(p.loop.Units)]
	p.frames++
	units := u.NALUs
	if v := p.loop.Video; u.Key && v.Codec == mp4.H265 {
		units = append([][]byte{v.VPS, v.SPS, v.PPS}, units...)
	} else if u.Key {
		units = append([][]byte{v.SPS, v.PPS}, units...)
	}
	packets, err := p.video(units)
	if err != nil {
		t.Fatal(err)
	}
	for _, packet := range packets {
		packet.Timestamp = uint32(p.zero + at)
	}
	return packets, u.PTS - u.DTS, u.Key
}

// sound returns the sound up to a moment, in ticks.
func (p *packer) sound(t *testing.T, until int64) (packets []*rtp.Packet) {
	t.Helper()
	if p.loop.Audio == nil {
		return nil
	}
	clock := voice{codec: p.loop.Audio.Codec}.clock()
	for {
		at := int64(p.sounds) * p.loop.SoundTicks * videoClock / int64(p.loop.Audio.SampleRate)
		if at > until {
			return packets
		}
		frame := p.loop.Sound[p.sounds%len(p.loop.Sound)]
		one := []*rtp.Packet{{Header: rtp.Header{Version: 2}, Payload: frame}}
		if p.loop.Audio.Codec == mp4.AAC {
			var err error
			if one, err = p.audio.Encode([][]byte{frame}); err != nil {
				t.Fatal(err)
			}
		}
		for _, packet := range one {
			packet.Timestamp = uint32((p.zero + at) * clock / videoClock)
		}
		p.sounds++
		packets = append(packets, one...)
	}
}

// promise is what the site answers of its loop.
func (s *site) promise(film bool) wire.LiveAnswer {
	a := wire.LiveAnswer{Stream: id.Main, Codec: s.loop.Video.MIME(), Reordered: s.loop.BFrames}
	if film && s.loop.Audio != nil {
		a.Audio, a.Sound = s.loop.Audio.MIME(), s.loop.Audio.ASC
	}
	if !film && s.loop.Audio != nil && s.loop.Audio.Codec == mp4.AAC {
		a.Unheard, a.Note = s.loop.Audio.MIME(), "No sound: the camera's AAC audio can't travel over WebRTC."
	}
	return a
}

// project shows the loop as fast as life.
func (s *site) project(ctx context.Context, p *rtc.Peer, slot *rtc.Slot, film bool) {
	for _, ready := range []<-chan struct{}{p.Connected(), slot.Video.Bound()} {
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
	}
	begun := time.Now()
	for pack := newPacker(s.t, s.loop); ; {
		at := pack.due()
		if backoff.Sleep(ctx, time.Until(begun.Add(time.Duration(at)*time.Second/videoClock))) != nil {
			return
		}
		packets, later, _ := pack.picture(s.t)
		for _, packet := range packets {
			if later != 0 {
				_ = slot.Video.Mark(packet, rtc.Later, []byte{byte(later >> 16), byte(later >> 8), byte(later)})
			}
			_ = slot.Video.Write(s.loop.Video.Codec, packet) // lost, as on the way
		}
		for _, packet := range pack.sound(s.t, at) {
			if film {
				if s.loop.Audio.Codec == mp4.AAC {
					_ = slot.Audio.Mark(packet, rtc.Sound, s.loop.Audio.ASC)
				}
				_ = slot.Audio.Write(s.loop.Audio.Codec, packet)
			}
		}
		slot.Control.Tell(rtc.Note{Type: "position", AtUs: time.Now().UnixMicro(), SentUs: time.Now().UnixMicro(), RTP: uint32(at), AgeUs: 7000})
		select {
		case <-slot.Control.Ops:
		case <-slot.Lost:
			s.begged.Add(1)
		default:
		}
	}
}

// filmgoer is a browser's half of a WebSocket.
type filmgoer struct {
	t    *testing.T
	conn *websocket.Conn
	id   id.Session

	mu     sync.Mutex
	begins []Opening
	notes  []rtc.Note
	film   []byte
	pieces int
	deaf   bool // it takes nothing
	closed bool
}

// goTo has a viewer watch a camera over a WebSocket.
func goTo(t *testing.T, c *cloud, s *site, view wire.LiveView) *filmgoer {
	t.Helper()
	view.Session = id.New[id.Session]()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		refuse := func(err error) any { return rtc.Note{Type: "refused", Text: words(err)} }
		if err := c.Socket(context.Background(), s.id, view, conn, refuse); err != nil {
			_ = conn.Close(websocket.StatusInternalError, words(err))
		}
	}))
	t.Cleanup(server.Close)
	conn, _, err := websocket.Dial(t.Context(), server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(unitMost)
	f := &filmgoer{t: t, conn: conn, id: view.Session}
	var reading sync.WaitGroup
	reading.Go(f.read)
	t.Cleanup(func() { _ = conn.CloseNow(); reading.Wait() })
	return f
}

func (f *filmgoer) read() {
	for {
		kind, data, err := f.conn.Read(context.Background())
		if err != nil {
			f.change(func() { f.closed = true })
			return
		}
		if kind == websocket.MessageBinary {
			n, deaf := 0, false
			f.change(func() { f.film, f.pieces = append(f.film, data...), f.pieces+1; n, deaf = f.pieces, f.deaf })
			if !deaf {
				f.say(rtc.Op{Type: "got", Count: n})
			}
			continue
		}
		var o Opening
		var n rtc.Note
		if json.Unmarshal(data, &o) == nil && o.Type == "begin" {
			f.change(func() { f.begins = append(f.begins, o) })
		} else if json.Unmarshal(data, &n) == nil {
			f.change(func() { f.notes = append(f.notes, n) })
		}
	}
}

func (f *filmgoer) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *filmgoer) say(o rtc.Op) {
	text, err := json.Marshal(o)
	if err != nil {
		f.t.Error(err)
	}
	_ = f.conn.Write(context.Background(), websocket.MessageText, text) // it may be over
}

// until waits until something is so.
func (f *filmgoer) until(what string, ok func() bool) {
	f.t.Helper()
	eventually.True(f.t, what, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return ok() })
}
