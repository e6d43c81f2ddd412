package relay

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

func films() wire.LiveView {
	return wire.LiveView{Camera: id.New[id.Camera](), Codecs: []string{"h264", "h265"}}
}

// TestFilmOverASocket has two viewers watch a camera with AAC over WebSockets: one copy comes from the site, with its sound,
// and each viewer has a film that others can read.
func TestFilmOverASocket(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.loop = load(t, "shop/sub")
	c := newCloud(t, s, Config{})
	view := films()
	first := goTo(t, c, s, view)
	first.until("two seconds of film", func() bool { return first.pieces > 30 })
	silent := view
	silent.Silent = true
	second := goTo(t, c, s, silent)
	second.until("a second of film", func() bool { return second.pieces > 15 })
	first.until("the age of a picture", func() bool {
		for _, n := range first.notes {
			if n.Type == "position" && n.AgeUs >= 7000 && n.AgeUs < time.Minute.Microseconds() && n.RTP > 0 {
				return true
			}
		}
		return false
	})
	first.say(rtc.Op{Type: "ping", AtUs: 42})
	first.until("an answer to a ping", func() bool {
		for _, n := range first.notes {
			if n.Type == "pong" && n.AtUs == 42 && n.SentUs > 0 {
				return true
			}
		}
		return false
	})
	if l := c.Load(); l.Pulls != 1 || l.Reels != 2 || l.Dropped != 0 {
		t.Errorf("load %+v, want two reels of one pull", l)
	}
	for name, f := range map[string]*filmgoer{"with sound": first, "silent": second} {
		f.mu.Lock()
		begins, film := f.begins, f.film
		f.mu.Unlock()
		sound := name == "with sound"
		if len(begins) != 1 || begins[0].Sound != sound || strings.Contains(begins[0].MIME, "mp4a.40.2") != sound || begins[0].Stream != id.Main {
			t.Errorf("%s: the openings are %+v", name, begins)
		}
		pictures, heard, decoded := probed(t, film)
		if decoded != len(pictures) || (len(heard) > 0) != sound || pictures[0].Flags[0] != 'K' {
			t.Errorf("%s: %d pictures of which %d are decoded, %d frames of sound", name, len(pictures), decoded, len(heard))
		}
	}
	if !c.Close(first.id) {
		t.Error("the relay does not know the view")
	}
	first.until("its end", func() bool { return first.closed })
	eventually.True(t, "it to be said", func() bool { return c.over(first.id) })
	if n := len(second.begins); n != 1 {
		t.Errorf("the other one began %d times", n)
	}
}

// TestSoundTakesThePlaceOfSilence has somebody watch by WebRTC, which has no room for AAC, and then somebody with sound: one
// copy comes from the site all the same, and whoever watched goes over to it.
func TestSoundTakesThePlaceOfSilence(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.loop = load(t, "shop/sub")
	c := newCloud(t, s, Config{})
	view := films()
	if _, err := c.take(t.Context(), s.id, view); err != nil {
		t.Fatal(err)
	}
	f := goTo(t, c, s, view)
	f.until("film", func() bool { return f.pieces > 10 })
	s.mu.Lock()
	shows := len(s.shows)
	s.mu.Unlock()
	if l := c.Load(); l.Pulls != 1 || shows == 0 {
		t.Errorf("load %+v, and the site shows %d", l, shows)
	}
	plain := view
	plain.Codecs = []string{"h264"}
	p, err := c.take(t.Context(), s.id, plain)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.answerTo(wantOf(s.id, plain)); got.Audio != "" || got.Unheard != "mp4a.40.2" || !strings.Contains(got.Note, "No sound") {
		t.Errorf("who watches by WebRTC is told %+v", got)
	}
	if l := c.Load(); l.Pulls != 1 {
		t.Errorf("load %+v, want one pull for both", l)
	}
}

// TestHeirs has a pull without sound on which somebody watches, and one with sound that takes its place.
func TestHeirs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.loop = load(t, "shop/sub")
	c := newCloud(t, s, Config{})
	view := films()
	plain := view
	plain.Codecs = []string{"h264"}
	before, err := c.take(t.Context(), s.id, plain)
	if err != nil {
		t.Fatal(err)
	}
	w := newShowing(c.Relay, s.id, plain)
	w.main, w.pull = before, before
	f := goTo(t, c, s, view)
	f.until("film", func() bool { return f.pieces > 10 })
	if !before.isSucceeded() {
		t.Fatal("the pull without sound has no heir")
	}
	w.inherit()
	if w.main == before || w.pull != w.main || !w.main.share() {
		t.Error("who watched has not gone over")
	}
	w.main.leave()
	w.leave()
	eventually.True(t, "one copy to be left", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.shows) == 1 })
	if l := c.Load(); l.Pulls != 1 {
		t.Errorf("load %+v", l)
	}
}

// TestASlowSocket has a viewer whose line takes nothing any more: it loses whole groups of pictures, which are counted, is
// told that its line is too narrow, goes on at a key frame when there is room, and nobody else notices.
func TestASlowSocket(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.loop = load(t, "shop/sub") // a key frame every second
	c := newCloud(t, s, Config{})
	view := films()
	view.Silent = true
	slow, other := goTo(t, c, s, view), goTo(t, c, s, view)
	slow.until("film", func() bool { return slow.pieces > 5 })
	slow.change(func() { slow.deaf = true })
	eventually.True(t, "a group of pictures to be left out", func() bool { return c.Load().Dropped > 0 })
	slow.until("the reason", func() bool {
		for _, n := range slow.notes {
			if n.Type == "note" && strings.Contains(n.Text, "no room for more") {
				return true
			}
		}
		return false
	})
	held := 0
	slow.change(func() { held = slow.pieces })
	before := 0
	other.change(func() { before = other.pieces })
	other.until("film that goes on", func() bool { return other.pieces > before+10 })
	slow.change(func() {
		if slow.pieces != held {
			t.Errorf("%d pieces came to a viewer that takes nothing", slow.pieces-held)
		}
		slow.deaf = false
	})
	slow.say(rtc.Op{Type: "got", Count: held})
	slow.until("film again", func() bool { return slow.pieces > held+1 })
	begins, lasts := lengths(t, other.copy())
	for i := 1; i < len(begins); i++ {
		if begins[i] != begins[i-1]+lasts[i-1] {
			t.Errorf("the other one lost something at picture %d", i)
		}
	}
	_, _, decoded := probed(t, slow.copy()) // a film that lacks a picture in the middle of a group is complained of
	if decoded == 0 {
		t.Error("nothing of the slow one's film is decoded")
	}
}

func (f *filmgoer) copy() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]byte(nil), f.film...)
}

// TestHostileSockets: whoever sends what is no word, or floods, is shown nothing more.
func TestHostileSockets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.loop = load(t, "dock/sub")
	c := newCloud(t, s, Config{})
	view := films()
	for name, attack := range map[string]func(conn *websocket.Conn){
		"binary": func(conn *websocket.Conn) { _ = conn.Write(t.Context(), websocket.MessageBinary, []byte("x")) },
		"long": func(conn *websocket.Conn) {
			_ = conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"`+strings.Repeat("x", 2*wordMost)+`"}`))
		},
		"flood": func(conn *websocket.Conn) {
			for range 2 * wordsMost {
				if conn.Write(context.Background(), websocket.MessageText, []byte(`{"type":"anew"}`)) != nil {
					return
				}
			}
		},
	} {
		f := goTo(t, c, s, view)
		f.until("film before "+name, func() bool { return f.pieces > 2 })
		for _, word := range []string{"{", `{"type":"got","count":-1}`, `{"type":"got","count":1000000}`, `{"type":"seek","at_us":7}`, `[]`, `{"type":"rate","rate":1e300}`} {
			if err := f.conn.Write(t.Context(), websocket.MessageText, []byte(word)); err != nil {
				t.Fatal(err)
			}
		}
		before := 0
		f.change(func() { before = f.pieces })
		f.until("film after words that mean nothing", func() bool { return f.pieces > before+2 })
		attack(f.conn)
		f.until("its end after "+name, func() bool { return f.closed })
		eventually.True(t, "it to be said", func() bool { return c.over(f.id) })
	}
}

// TestARefusedFilm tells why there is none, and closes.
func TestARefusedFilm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.refuse = wire.Fail(wire.FailedNoVideo, "The camera has sent no video yet. Try again in a moment.")
	c := newCloud(t, s, Config{Viewers: 1})
	f := goTo(t, c, s, films())
	f.until("the reason", func() bool {
		return f.closed && len(f.notes) == 1 && f.notes[0].Type == "refused" && strings.Contains(f.notes[0].Text, "no video yet")
	})
	eventually.True(t, "room for another", func() bool { return c.Load().Reels == 0 })
}

// TestFilmsAndConnectionsHaveLimitsOfTheirOwn: a wall of WebSockets takes no place from who watches by WebRTC, nor the other way
// round.
func TestFilmsAndConnectionsHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.loop = load(t, "shop/sub")
	c := newCloud(t, s, Config{Viewers: 1, Reels: 2})
	view := films()
	connect(t, c, s, wire.LiveOffer{})
	for range 2 {
		f := goTo(t, c, s, view)
		f.until("film", func() bool { return f.pieces > 0 })
	}
	err := c.Socket(t.Context(), s.id, wire.LiveView{Session: id.New[id.Session]()}, nil, nil)
	if f := (*wire.Failure)(nil); !errors.As(err, &f) || f.Code != wire.FailedBusy || !strings.Contains(f.Text, "2 cameras are watched by WebSocket") {
		t.Errorf("a third film, of two that there may be: %v", err)
	}
}

// TestARecordingOverASocket: a recording has a pull of its own, its viewer's words reach the site, and it ends with the viewer.
func TestARecordingOverASocket(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.loop = load(t, "dock/sub")
	c := newCloud(t, s, Config{})
	view := films()
	view.FromUs = 1_700_000_000_000_000
	one, other := goTo(t, c, s, view), goTo(t, c, s, view)
	one.until("film", func() bool { return one.pieces > 3 })
	other.until("film", func() bool { return other.pieces > 3 })
	if l := c.Load(); l.Pulls != 2 {
		t.Errorf("load %+v, want a pull for each", l)
	}
	s.mu.Lock()
	if s.views[0].FromUs != view.FromUs || !s.views[0].Film {
		t.Errorf("the site is asked for %+v", s.views[0])
	}
	s.mu.Unlock()
	_ = one.conn.CloseNow()
	eventually.True(t, "one pull to be left", func() bool { return c.Load().Pulls == 1 })
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shows) > 2 {
		t.Errorf("the site shows %d", len(s.shows))
	}
}
