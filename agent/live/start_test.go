package live

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/agent/media"
	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/scenes"
)

// padded is a loop whose pictures are so many bytes at least.
func padded(l *scenes.Loop, key, other int) *scenes.Loop {
	out := *l
	out.Units = slices.Clone(l.Units)
	for i := range out.Units {
		u, size := &out.Units[i], 0
		for _, n := range u.NALUs {
			size += len(n)
		}
		want := other
		if u.Key {
			want = key
		}
		if size < want {
			filler := slices.Repeat([]byte{0xff}, want-size)
			filler[0] = 12 // ITU-T H.264 table 7-1: filler data
			u.NALUs = append(slices.Clone(u.NALUs), filler)
		}
	}
	return &out
}

// aged waits until the group of pictures of a stream is so old.
func (b *branch) aged(stream id.Stream, age time.Duration) {
	b.t.Helper()
	r := b.hubs[stream].Reader(media.Limit{Frames: 10_000, Bytes: 64 << 20})
	defer r.Close()
	var keyUs int64
	eventually.True(b.t, "an old group of pictures", func() bool {
		for {
			it, ok := r.Try()
			if !ok {
				return false
			}
			if it.Break != nil {
				continue
			}
			if it.Frame.Key {
				keyUs = it.Frame.MonoUs
			}
			if keyUs > 0 && it.Frame.MonoUs-keyUs >= age.Microseconds() {
				return true
			}
		}
	})
}

// edge waits for a picture of a stream that comes fresh from the camera, and ten more, and returns when it came.
func (v *viewer) edge(stream uint8) (at time.Time) {
	v.t.Helper()
	v.until("the live edge", func() bool {
		for i := 0; i+10 < len(v.pictures); i++ {
			if slices.IndexFunc(v.pictures[i:i+10], func(p picture) bool {
				return p.Stream != stream || p.at.UnixMicro()-p.SentUs > 450_000
			}) < 0 {
				at = v.pictures[i].at
				return true
			}
		}
		return false
	})
	return at
}

const narrow = 5 * mbit

// heavy is a camera whose group of pictures is a burst of some megabytes.
func heavy(t *testing.T) (main, sub *scenes.Loop) {
	l := loops(t, "corridor/main", "corridor/sub")
	return padded(l[0], 150_000, 12_000), l[1]
}

// TestABurstTooLargeForTheLine begins to watch over a line of 5 Mbit/s of which nothing is known, 8 s after a key frame, with a
// small stream and without one, at a camera that sends key frames when it is asked.
func TestABurstTooLargeForTheLine(t *testing.T) {
	for name, with := range map[string]bool{"with a small stream": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			main, sub := heavy(t)
			if !with {
				sub = nil
			}
			b := newBranch(t, pace.Plan{}, calm(), 1, main, sub)
			asked := b.obey()
			way, w := b.line(30 * time.Millisecond)
			way.Cap(narrow)
			way.Hold(200)
			w.Camera = b.cams[0]
			stream := id.Stream{Camera: b.cams[0], Kind: id.Main}
			b.aged(stream, 8*time.Second)
			v := watch(t, b.room, w)
			first := v.seen(1)[0].at
			live := v.edge(0)
			fmt.Printf("narrow_first_picture: %d ms (%s)\nnarrow_live_edge: %d ms\nnarrow_lost: %d packets\n",
				first.Sub(v.asked).Milliseconds(), name, live.Sub(v.asked).Milliseconds(), way.Stats().Full)
			if took := first.Sub(v.asked); took > 3*time.Second {
				t.Errorf("the first picture came after %v", took)
			}
			if took := live.Sub(v.asked); took > 8*time.Second {
				t.Errorf("the live edge was reached after %v", took)
			}
			if n := way.Stats().Full; n > 60 {
				t.Errorf("%d packets found no room on the line", n)
			}
			if asked.Load() == 0 {
				t.Error("the camera was not asked for a key frame")
			}
			assertSeam(t, v.seen(1), true)
			if limit := b.room.viewers()[0].peer.carries(); limit < 0.3*narrow || limit > 1.5*narrow {
				t.Errorf("of a line of %d bytes per second is known: %.0f", narrow, limit)
			}
		})
	}
}

// obey has the cameras send key frames when they are asked, and counts that.
func (b *branch) obey() (asked *atomic.Int32) {
	asked = &atomic.Int32{}
	b.room.footage.KeyFrame = func(s id.Stream) {
		asked.Add(1)
		select {
		case b.asked[s] <- struct{}{}:
		default:
		}
	}
	return asked
}

// TestTheNextViewKnowsTheLine shows a second camera over a connection whose line is known to be narrow: it begins with the small
// stream, and nothing is lost; on another path it is not known any more.
func TestTheNextViewKnowsTheLine(t *testing.T) {
	t.Parallel()
	main, sub := heavy(t)
	b := newBranch(t, pace.Plan{}, calm(), 2, main, sub)
	way, w := b.line(30 * time.Millisecond)
	way.Cap(narrow)
	way.Hold(200)
	v := newViewer(t, webrtc.Configuration{}, false)
	if _, err := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	answer, err := b.room.Offer(t.Context(), wire.LiveOffer{Session: v.session, SDP: w.change(v.offer())})
	if err != nil {
		t.Fatal(err)
	}
	v.answer = answer
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: w.back(answer.SDP)}); err != nil {
		t.Fatal(err)
	}
	p := b.peer(v.session)
	<-p.Connected()
	view := func(slot int) *session {
		t.Helper()
		o := wire.LiveView{Session: id.New[id.Session](), Connection: v.session, Slot: slot, Camera: b.cams[slot], Codecs: []string{"h264"}}
		if _, err := b.room.View(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return p.slots[slot].session.Load()
	}
	b.aged(id.Stream{Camera: b.cams[0], Kind: id.Main}, 6*time.Second)
	view(0)
	eventually.True(t, "the line to be known", func() bool { return p.carries() < 2*narrow })
	v.next(10)
	lost := way.Stats().Full
	asked := time.Now()
	of := func() (out []picture) {
		v.until("the second camera", func() bool {
			out = slices.DeleteFunc(slices.Clone(v.pictures), func(p picture) bool { return p.Camera != 1 })
			return len(out) >= 20
		})
		return out
	}
	second := view(1)
	got := of()
	fmt.Printf("narrow_next_first_picture: %d ms\nnarrow_next_lost: %d packets\n", got[0].at.Sub(asked).Milliseconds(), way.Stats().Full-lost)
	if got[0].Stream != 1 || !got[0].key {
		t.Errorf("it begins with %+v, want the small stream", got[0])
	}
	if took := got[0].at.Sub(asked); took > 3*time.Second {
		t.Errorf("its first picture came after %v", took)
	}
	if n := way.Stats().Full - lost; n > 60 {
		t.Errorf("%d packets found no room on the line", n)
	}
	second.view.change(func() { second.view.line.Judge(0, time.Second) })
	p.forget()
	if limit, rtt := p.path.known(); !math.IsInf(limit, 1) || rtt != 0 {
		t.Errorf("of a new path is known: %v, %v", limit, rtt)
	}
	second.view.change(func() {
		if rtt := second.view.line.Shortest(); rtt != 0 {
			t.Errorf("a view remembers a round trip of %v", rtt)
		}
	})
}

func (b *branch) peer(session id.Session) *peer {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	return b.room.peers[session]
}
