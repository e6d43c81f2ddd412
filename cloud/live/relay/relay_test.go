package relay

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"holdfast/shared/id"
	"holdfast/shared/rtc"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// TestOneCopyForAll has a crowd watch: the site is asked once, a newcomer begins at the newest key frame, comes to the live
// edge and stays there, and the site is not asked for a picture of his own.
func TestOneCopyForAll(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group = 500 // ten seconds
	c := newCloud(t, s, Config{})
	camera := id.New[id.Camera]()
	first := watch(t, c, s, camera)
	if first.answer.Stream != id.Main || first.answer.Codec != s.codec || first.answer.Slots != 1 {
		t.Errorf("answer %+v", first.answer)
	}
	eventually.True(t, "the middle of a group", func() bool { f := first.all(); return len(f) > 30 })
	before := first.all()[len(first.all())-1].number
	late := watch(t, c, s, camera)
	other := watch(t, c, s, id.New[id.Camera]())
	late.seen(60)
	got := late.all()
	if got[0].number > before {
		t.Errorf("the newcomer begins with picture %d, though the newest key frame was %d", got[0].number, before/500*500)
	}
	assertWhole(t, got)
	assertWhole(t, first.all())
	other.seen(10)
	if offers, views := s.asked(); offers != 1 || views != 2 {
		t.Errorf("the site was made %d offers and asked for %d views, want 1 and 2", offers, views)
	}
	if n := s.begged.Load(); n != 0 {
		t.Errorf("the site was asked for a picture %d times", n)
	}
	edge := func(w *watcher) frame { f := w.all(); return f[len(f)-1] }
	if a, b := edge(first), edge(late); int32(a.number-b.number) > 3 {
		t.Errorf("the newcomer is at picture %d, the first one at %d", b.number, a.number)
	}
	paced := late.seen(25)
	if took := paced[24].rtp - paced[0].rtp; took != 24*1800 {
		t.Errorf("25 pictures take %d ticks, want %d", took, 24*1800)
	}
	if l := c.Load(); l != (Load{Viewers: 3, Legs: 3, Pulls: 2}) {
		t.Errorf("load %+v", l)
	}
	own := c.Sessions(s.id)
	s.mu.Lock()
	have := append(slices.Collect(maps.Keys(s.peers)), slices.Collect(maps.Keys(s.shows))...)
	s.mu.Unlock()
	slices.Sort(own)
	slices.Sort(have)
	if !slices.Equal(own, have) || len(own) != 3 {
		t.Errorf("the relay says that %v are its own at the site, which has %v", own, have)
	}
}

// TestOneCopyHoweverItIsAskedFor has viewers whose wishes differ and come to the same stream.
func TestOneCopyHoweverItIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := newCloud(t, s, Config{})
	camera := id.New[id.Camera]()
	first := watch(t, c, s, camera)
	first.seen(3)
	show := func(view wire.LiveView) {
		t.Helper()
		w := connect(t, c, s, wire.LiveOffer{})
		view.Session, view.Connection, view.Camera = w.view, w.session, camera
		if _, err := c.View(t.Context(), view); err != nil {
			t.Fatal(err)
		}
		w.seen(3)
	}
	for range 2 {
		show(wire.LiveView{Stream: id.Main, Codecs: []string{"h264"}})
		show(wire.LiveView{Width: 1920, Codecs: []string{"h264", "h265"}})
	}
	if l := c.Load(); l.Pulls != 1 || l.Legs != 5 {
		t.Errorf("load %+v, want one pull for five", l)
	}
	eventually.True(t, "one copy to be left", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.shows) == 1 })
	if _, views := s.asked(); views != 3 {
		t.Errorf("the site was asked for %d views, want one for each way of asking", views)
	}
	show(wire.LiveView{Width: 320, Codecs: []string{"h264"}}) // another stream
	if l := c.Load(); l.Pulls != 2 {
		t.Errorf("load %+v, want two streams", l)
	}
}

// TestWhatIsConvertedIsNoCopy has a site convert a camera's pictures for whoever can't see them as they are: the two are not
// the same stream, though both are the camera's main one.
func TestWhatIsConvertedIsNoCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.words = func(v wire.LiveView, a *wire.LiveAnswer) {
		if slices.Contains(v.Codecs, "h265") {
			a.Codec = "hvc1.1.6.L93.B0"
		}
	}
	c := newCloud(t, s, Config{})
	camera := id.New[id.Camera]()
	taken := map[string]*pull{}
	for _, codecs := range [][]string{{"h264", "h265"}, {"h264"}} {
		view := wire.LiveView{Camera: camera, Codecs: codecs}
		p, err := c.take(t.Context(), s.id, view)
		if err != nil {
			t.Fatal(err)
		}
		defer p.leave()
		taken[p.answerTo(wantOf(s.id, view)).Codec] = p
	}
	if native, converted := taken["hvc1.1.6.L93.B0"], taken[s.codec]; native == nil || converted == nil || native == converted || c.Load().Pulls != 2 {
		t.Errorf("%d pulls bring %v, want one with each codec", c.Load().Pulls, taken)
	}
}

// TestEachIsToldWhatTheSiteToldThem has two share a copy that is what the one wanted and not what the other did: each is told
// so, whoever came first, as is whoever comes with the same wish.
func TestEachIsToldWhatTheSiteToldThem(t *testing.T) {
	t.Parallel()
	const why = "The main stream is H.265, which this browser can't show."
	s := newSite(t)
	s.words = func(v wire.LiveView, a *wire.LiveAnswer) {
		if a.Stream = id.Sub; v.Stream != id.Sub {
			a.Note, a.Unseen = why, "hvc1.1.6.L93.B0"
		}
	}
	c := newCloud(t, s, Config{})
	for _, kinds := range [][]id.StreamKind{{id.Main, id.Sub, id.Main, id.Sub}, {id.Sub, id.Main, id.Main, id.Sub}} {
		camera := id.New[id.Camera]()
		for _, kind := range kinds {
			w := connect(t, c, s, wire.LiveOffer{})
			got, err := c.View(t.Context(), wire.LiveView{Session: w.view, Connection: w.session, Camera: camera, Stream: kind, Codecs: []string{"h264"}})
			if err != nil {
				t.Fatal(err)
			}
			if told := got.Note == why && got.Unseen != ""; told != (kind == id.Main) || got.Stream != id.Sub {
				t.Errorf("who wants the %s stream is told %+v", kind, got)
			}
		}
	}
	if l := c.Load(); l.Pulls != 2 {
		t.Errorf("load %+v, want one pull for each camera", l)
	}
}

// TestASiteThatFindsNoWay: who asks is told soon, and nobody after him waits.
func TestASiteThatFindsNoWay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deaf = true
	c := newCloud(t, s, Config{Connect: time.Second})
	w := connect(t, c, s, wire.LiveOffer{})
	for n, most := range []time.Duration{5 * time.Second, 500 * time.Millisecond} {
		begun := time.Now()
		_, err := c.View(t.Context(), wire.LiveView{Session: id.New[id.Session](), Connection: w.session, Camera: id.New[id.Camera](), Codecs: []string{"h264"}})
		if f := (*wire.Failure)(nil); !errors.As(err, &f) || !strings.Contains(f.Text, "no way") {
			t.Errorf("viewer %d: %v", n+1, err)
		}
		if took := time.Since(begun); took > most {
			t.Errorf("viewer %d was told after %v", n+1, took)
		}
	}
	if offers, _ := s.asked(); offers != 1 {
		t.Errorf("the site was made %d offers", offers)
	}
}

// TestNothingIsLeftBehind has a hundred come and go: with the last one the site is left alone, and nothing runs on.
func TestNothingIsLeftBehind(t *testing.T) {
	s := newSite(t)
	c := newCloud(t, s, Config{})
	camera := id.New[id.Camera]()
	before := goleak.IgnoreCurrent()
	for n := range 100 {
		w := watch(t, c, s, camera)
		w.seen(1)
		switch n % 3 {
		case 0:
			c.Close(w.session)
			eventually.True(t, "its end to be said", func() bool { return c.over(w.session) && c.over(w.view) })
		case 1:
			c.Close(w.view)
			eventually.True(t, "its end to be said", func() bool { return c.over(w.view) })
			if c.over(w.session) {
				t.Error("the connection has ended with what was shown on it")
			}
		}
		w.close() // a tab that is closed says so
	}
	eventually.True(t, "all to be over", func() bool { return c.Load() == Load{} })
	c.Relay.mu.Lock()
	for _, l := range c.links[s.id] {
		l.used = time.Now().Add(-time.Hour) // that long ago
		l.end()
	}
	c.Relay.mu.Unlock()
	eventually.True(t, "the site to be left alone", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.peers) == 0 && len(s.shows) == 0
	})
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	if c.Close(id.New[id.Session]()) {
		t.Error("a session that nobody knows was closed")
	}
}

// TestWhatIsLostIsNotShown has a packet vanish for good: what can't be decoded without it goes to nobody, and the site is
// asked to begin anew.
func TestWhatIsLostIsNotShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group = 1000
	s.lost.Store(20)
	c := newCloud(t, s, Config{})
	w := watch(t, c, s, id.New[id.Camera]())
	w.seen(40)
	if n := s.begged.Load(); n != 1 {
		t.Errorf("the site was asked %d times", n)
	}
	got := w.all()
	i := slices.IndexFunc(got, func(f frame) bool { return f.number > 19 })
	if got[i].number != 1000 || !got[i].key {
		t.Errorf("behind the hole picture %d is shown, want the key frame 1000", got[i].number)
	}
	assertWhole(t, got[:i])
	assertWhole(t, got[i:])
}

// one returns the relay's only pull.
func (c *cloud) one(t *testing.T) *pull {
	t.Helper()
	c.Relay.mu.Lock()
	defer c.Relay.mu.Unlock()
	for _, p := range c.pulls {
		return p
	}
	t.Fatal("nothing is pulled")
	return nil
}

// TestAViewerThatLostThePicture gets the group of pictures again, from here.
func TestAViewerThatLostThePicture(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group = 1000
	c := newCloud(t, s, Config{})
	w := watch(t, c, s, id.New[id.Camera]())
	w.seen(10)
	eventually.True(t, "the key frame again", func() bool {
		// As a browser does, it asks until it is heard: not in its first two seconds.
		if err := w.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: w.ssrc}}); err != nil {
			t.Fatal(err)
		}
		keys := 0
		for _, f := range w.all() {
			if f.number == 0 && f.key {
				keys++
			}
		}
		return keys >= 2
	})
	if n := s.begged.Load(); n != 0 {
		t.Errorf("the site was asked %d times", n)
	}
}

// TestTheSitesLineIsCut: viewers are told, and see it again when it is back, without doing anything.
func TestTheSitesLineIsCut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := newCloud(t, s, Config{})
	w := watch(t, c, s, id.New[id.Camera]())
	w.seen(5)
	s.say(rtc.Note{Type: "note", Text: "The line has no room.", Every: 12_000_000})
	w.note("note", func(n rtc.Note) bool { return n.Every == 12_000_000 })
	s.cut()
	w.note("state", func(n rtc.Note) bool { return strings.Contains(n.Text, "line was cut") })
	last := w.all()[len(w.all())-1]
	w.note("note", func(n rtc.Note) bool { return n.Text == "" && n.Every == 0 }) // what was said of the line before holds no more
	w.note("state", func(n rtc.Note) bool { return n.Text == "" })
	w.seen(10)
	got := w.all()
	got = got[slices.Index(got, last)+1:]
	if !got[0].key || int32(got[0].rtp-last.rtp) <= 0 {
		t.Errorf("after the cut the first picture is %+v, the last one before was %+v", got[0], last)
	}
	assertWhole(t, got)
}

// TestTheSitesWordsReachTheViewers: why there is no picture, what the line has no room for, how old a picture is, the end.
func TestTheSitesWordsReachTheViewers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := newCloud(t, s, Config{})
	camera := id.New[id.Camera]()
	w := watch(t, c, s, camera)
	w.seen(5)
	s.say(rtc.Note{Type: "state", Text: "The camera does not answer."})
	w.note("state", func(n rtc.Note) bool { return n.Text == "The camera does not answer." })
	late := watch(t, c, s, camera)
	late.note("state", func(n rtc.Note) bool { return n.Text == "The camera does not answer." })
	s.say(rtc.Note{Type: "note", Text: "The line has no room."})
	w.note("note", func(n rtc.Note) bool { return n.Text == "The line has no room." && n.Every == 0 })
	s.say(rtc.Note{Type: "note", Text: "A picture now and then.", Every: 12_000_000})
	w.note("note", func(n rtc.Note) bool { return n.Text == "A picture now and then." && n.Every == 12_000_000 })
	later := watch(t, c, s, camera)
	later.note("note", func(n rtc.Note) bool { return n.Every == 12_000_000 })
	if n := c.one(t).noted(stills); n.Every != (stillEvery+keysMost).Microseconds() || !strings.HasSuffix(n.Text, " A picture now and then.") {
		t.Errorf("a viewer whose own line is as narrow is told %+v", n)
	}

	eventually.True(t, "the site's clock", func() bool {
		p := c.one(t)
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.clock.known) > 0
	})
	const age = 70_000
	p := c.one(t)
	p.mu.Lock()
	stamp := p.pieces[len(p.pieces)-1].stamp
	// What the comparison of two clocks may be off: half of the quickest answer's trip, which takes its time on a busy machine.
	clocks := max(30_000, slices.MinFunc(p.clock.known, func(a, b answered) int { return int(a.tripUs - b.tripUs) }).tripUs/2)
	p.mu.Unlock()
	s.say(rtc.Note{Type: "position", Live: true, AtUs: 5, SentUs: time.Now().UnixMicro(), AgeUs: age, OwnUs: 83_000, RTP: stamp})
	got := w.note("position", func(rtc.Note) bool { return true })
	if got.AgeUs < age-clocks || got.AgeUs > age+5_000_000 || got.AtUs != 5 || !got.Live || got.OwnUs != 83_000 {
		t.Errorf("position %+v", got)
	}
	eventually.True(t, "the picture that it names", func() bool {
		return slices.ContainsFunc(w.all(), func(f frame) bool { return f.rtp == got.RTP })
	})
	s.say(rtc.Note{Type: "end", Text: "The camera was removed."})
	w.note("end", func(n rtc.Note) bool { return n.Text == "The camera was removed." })
	eventually.True(t, "the end", func() bool { return c.over(w.view) && c.over(late.view) })
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := newCloud(t, s, Config{Viewers: 2})
	camera := id.New[id.Camera]()
	w := watch(t, c, s, camera)
	for name, r := range map[string]struct {
		view wire.LiveView
		code wire.FailureCode
	}{
		"no connection": {wire.LiveView{Session: id.New[id.Session](), Connection: id.New[id.Session](), Camera: camera}, wire.FailedGone},
		"no such slot":  {wire.LiveView{Session: id.New[id.Session](), Connection: w.session, Slot: 1, Camera: camera}, wire.FailedRefused},
		"below zero":    {wire.LiveView{Session: id.New[id.Session](), Connection: w.session, Slot: -1, Camera: camera}, wire.FailedRefused},
		"twice":         {wire.LiveView{Session: w.view, Connection: w.session, Camera: camera}, wire.FailedRefused},
		"no session":    {wire.LiveView{Connection: w.session, Camera: camera}, wire.FailedRefused},
		"a recording":   {wire.LiveView{Session: id.New[id.Session](), Connection: w.session, Camera: camera, FromUs: 5}, wire.FailedRefused},
	} {
		_, err := c.View(t.Context(), r.view)
		if f := (*wire.Failure)(nil); !errors.As(err, &f) || f.Code != r.code || f.Text == "" {
			t.Errorf("%s: %v, want a failure %q", name, err, r.code)
		}
	}
	s.mu.Lock()
	s.refuse = wire.Fail(wire.FailedUnknownCamera, "The site knows no such camera.")
	s.mu.Unlock()
	for range 2 { // the first one did not spoil it for the second
		_, err := c.View(t.Context(), wire.LiveView{Session: id.New[id.Session](), Connection: w.session, Camera: id.New[id.Camera]()})
		if f := (*wire.Failure)(nil); !errors.As(err, &f) || f.Code != wire.FailedUnknownCamera {
			t.Errorf("what the site refuses becomes %v", err)
		}
	}
	s.mu.Lock()
	s.refuse, s.codec = nil, "av01.0.04M.08"
	s.mu.Unlock()
	_, err := c.View(t.Context(), wire.LiveView{Session: id.New[id.Session](), Connection: w.session, Camera: id.New[id.Camera](), Codecs: []string{"h264"}})
	if f := (*wire.Failure)(nil); !errors.As(err, &f) || f.Code != wire.FailedCodec {
		t.Errorf("AV1 for one who has no place for it: %v", err)
	}
	s.mu.Lock()
	s.codec = "avc1.42c01f"
	s.mu.Unlock()
	w.seen(3) // all the while it was shown
	second, third := newWatcher(t), newWatcher(t)
	if _, err := c.Offer(t.Context(), s.id, second.offer()); err != nil {
		t.Error(err)
	}
	if _, err := c.Offer(t.Context(), s.id, third.offer()); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("a third viewer, of two that there may be: %v", err)
	}
	for _, sdp := range []string{"", "nonsense", "v=0\r\n"} {
		if _, err := c.Offer(t.Context(), s.id, wire.LiveOffer{Session: id.New[id.Session](), SDP: sdp}); err == nil {
			t.Errorf("the offer %q is answered", sdp)
		}
	}
}

// TestAnotherCameraOnTheSlot: what was shown there ends, and RTP time goes on.
func TestAnotherCameraOnTheSlot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := newCloud(t, s, Config{})
	w := watch(t, c, s, id.New[id.Camera]())
	w.seen(20)
	next := id.New[id.Session]()
	if _, err := c.View(t.Context(), wire.LiveView{Session: next, Connection: w.session, Camera: id.New[id.Camera](), Codecs: []string{"h264"}}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the end of the first", func() bool { return c.over(w.view) })
	eventually.True(t, "the second", func() bool {
		f := w.all()
		return len(f) > 30 && f[len(f)-1].number < 20
	})
	f := w.all()
	for i := 1; i < len(f); i++ {
		if int32(f[i].rtp-f[i-1].rtp) <= 0 {
			t.Errorf("RTP time goes from %d to %d", f[i-1].rtp, f[i].rtp)
		}
	}
	if w.state != webrtc.PeerConnectionStateConnected || c.over(next) {
		t.Errorf("the connection is %v", w.state)
	}
}

// TestAnotherPath restarts ICE: the picture goes on.
func TestAnotherPath(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := newCloud(t, s, Config{})
	w := watch(t, c, s, id.New[id.Camera]())
	w.seen(5)
	offer, err := w.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err == nil {
		err = w.pc.SetLocalDescription(offer)
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Restart(t.Context(), wire.LiveOffer{Session: w.session, SDP: w.pc.LocalDescription().SDP})
	if err == nil {
		err = w.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: got.SDP})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.seen(20)
	assertWhole(t, w.all())
	if _, err := c.Restart(t.Context(), wire.LiveOffer{Session: id.New[id.Session](), SDP: offer.SDP}); err == nil {
		t.Error("a connection that is not there is restarted")
	}
}

func TestAClosedRelayRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r, err := New(Config{Loopback: true}, Deps{Ask: s.ask}, s.log())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Offer(t.Context(), s.id, newWatcher(t).offer()); err == nil || !strings.Contains(err.Error(), "starting or stopping") {
		t.Errorf("Offer = %v", err)
	}
	if _, err := New(Config{Port: r.Port()}, Deps{}, s.log()); err == nil {
		t.Error("two relays share a port")
	}
	if err := r.port.Close(); err != nil {
		t.Error(err)
	}
}
