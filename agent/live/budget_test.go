package live

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/mp4"
	"holdfast/shared/rtc"
)

// prices are those of a camera with a sub-stream; alone of one without.
var (
	prices = [steps]float64{1000, 200, 60, 10}
	alone  = [steps]float64{1000, 0, 300, 30}
)

func TestShare(t *testing.T) {
	line := math.Inf(1)
	many := func(n int, w want) (out []want) {
		for range n {
			out = append(out, w)
		}
		return out
	}
	for name, c := range map[string]struct {
		room  float64
		wants []want
		got   []step
	}{
		"no bound":                    {line, many(3, want{cost: prices, limit: line}), []step{whole, whole, whole}},
		"room for all":                {3000, many(3, want{cost: prices, limit: line}), []step{whole, whole, whole}},
		"who came last gets less":     {2300, many(3, want{cost: prices, limit: line}), []step{whole, whole, small}},
		"all alike before any better": {650, many(3, want{cost: prices, limit: line}), []step{small, small, small}},
		"not even single pictures":    {1, many(2, want{cost: prices, limit: line}), []step{stills, stills}},
		"one has no sub-stream":       {1300, []want{{cost: alone, limit: line}, {cost: prices, limit: line}}, []step{whole, small}},
		"of both the one without":     {800, []want{{cost: alone, limit: line}, {cost: prices, limit: line}}, []step{keys, small}},
		"a poor line of one's own":    {line, []want{{cost: prices, limit: 250}, {cost: prices, limit: line}, {cost: prices, limit: 5}}, []step{small, whole, stills}},
		"what one can't use goes on":  {1200, []want{{cost: prices, limit: 100}, {cost: prices, limit: line}}, []step{keys, whole}},
		"nobody":                      {0, nil, []step{}},
		"a line for two views":        {line, many(2, want{cost: prices, limit: 1300, line: &path{}}), []step{whole, small}},
		"a line for one of two":       {line, []want{{cost: prices, limit: 250, line: &path{}}, {cost: prices, limit: line, line: &path{}}}, []step{small, whole}},
	} {
		if got := share(c.room, c.wants); !slices.Equal(got, c.got) {
			t.Errorf("%s: %v, want %v", name, got, c.got)
		}
	}
}

// climb has a viewer live through a time of fair steps, one a second, and returns the seconds of its moves.
func climb(l *ladder, w want, fair func(second int) step, seconds int) (at []int) {
	start := time.Now()
	for s := range seconds {
		before := l.now
		f := fair(s)
		if l.move(start.Add(time.Duration(s)*time.Second), calm(), w, f, f); l.now != before {
			at = append(at, s)
		}
	}
	return at
}

func TestLadder(t *testing.T) {
	w := want{cost: prices, limit: math.Inf(1)}
	l := &ladder{}
	if at := climb(l, w, func(int) step { return stills }, 20); !slices.Equal(at, []int{0, 5, 10}) || l.now != stills {
		t.Errorf("down at %v, now %v", at, l.now)
	}
	l = &ladder{now: stills}
	if at := climb(l, w, func(int) step { return whole }, 60); !slices.Equal(at, []int{15, 30, 45}) || l.now != whole {
		t.Errorf("up at %v, now %v", at, l.now)
	}
	l = &ladder{}
	if at := climb(l, want{cost: alone}, func(int) step { return keys }, 20); !slices.Equal(at, []int{0}) || l.now != keys {
		t.Errorf("without a sub-stream: down at %v, now %v", at, l.now)
	}
	// Room that comes and goes moves nobody up.
	l = &ladder{now: small}
	if at := climb(l, w, func(s int) step { return step(s / 7 % 2) }, 120); len(at) != 0 {
		t.Errorf("with room for 7 s at a time it moves at %v", at)
	}
	// A step up that never lasts is tried more and more seldom.
	l = &ladder{now: small}
	if at := climb(l, w, func(int) step {
		if l.now == whole {
			return small
		}
		return whole
	}, 600); len(at) > 12 {
		t.Errorf("in ten minutes of a step up that does not last it moves %d times: %v", len(at), at)
	}
	// The step that one is on has gone.
	l = &ladder{now: small, moved: time.Now()}
	if l.move(time.Now(), calm(), want{cost: alone}, whole, whole); l.now != keys {
		t.Errorf("without its step a viewer is on %v", l.now)
	}
}

func TestPath(t *testing.T) {
	p, now := path{limit: math.Inf(1)}, time.Now()
	var reports rtc.Reports
	report := func(loss float64, rtt time.Duration, rate float64) {
		now = now.Add(time.Second)
		health := reports.Judge(loss, rtt)
		p.report(health, loss, reports.Shortest(), rate, now)
	}
	for range 10 {
		report(0.01, 50*time.Millisecond, 100_000)
	}
	if !math.IsInf(p.limit, 1) {
		t.Errorf("a good line is limited to %v", p.limit)
	}
	report(0.3, 50*time.Millisecond, 100_000)
	if !math.IsInf(p.limit, 1) {
		t.Errorf("one bad report limits to %v", p.limit)
	}
	report(0.3, 50*time.Millisecond, 100_000)
	if p.limit != 85_000 {
		t.Errorf("with 30 %% of 100,000 lost the limit is %v", p.limit)
	}
	report(0.05, 50*time.Millisecond, 80_000)
	if p.limit != 85_000 {
		t.Errorf("with 5 %% lost the limit moves to %v", p.limit)
	}
	for range 20 {
		report(0, 50*time.Millisecond, 80_000)
	}
	if p.limit < 200_000 {
		t.Errorf("after 20 good reports the limit is still %v", p.limit)
	}
	if p.ease(90_000); !math.IsInf(p.limit, 1) {
		t.Errorf("far above what is wanted the limit is %v", p.limit)
	}
	if _, rtt := p.known(); rtt != 50*time.Millisecond {
		t.Errorf("the shortest round trip is %v", rtt)
	}
	for range 3 { // in a row
		report(0, 600*time.Millisecond, 80_000)
	}
	if p.limit != 68_000 {
		t.Errorf("with a round trip that has grown the limit is %v", p.limit)
	}
	for range 16 { // views that report within one second
		p.report(rtc.Well, 0, time.Second, 80_000, now.Add(time.Second))
	}
	if limit, rtt := p.known(); limit != 68_000*1.05 || rtt != 50*time.Millisecond {
		t.Errorf("after a second of many good reports the limit is %v, the shortest round trip %v", limit, rtt)
	}
	p.ease(1)
	if p.squeeze(500_000); p.limit != 500_000 {
		t.Errorf("at 500,000 the limit is %v", p.limit)
	}
	p.forget()
	if limit, rtt := p.known(); !math.IsInf(limit, 1) || rtt != 0 {
		t.Errorf("of a new path is known: %v, %v", limit, rtt)
	}
}

func TestTally(t *testing.T) {
	var c cost
	var ok bool
	var tl tally
	at := time.Now()
	for i := 0; !ok; i++ { // 10 frames a second, a key frame of 5,000 bytes every two seconds, else 1,000
		size := 1000
		if i%20 == 3 {
			size = 5000
		}
		c, ok = tl.add(at, size, i%20 == 3)
		at = at.Add(100 * time.Millisecond)
	}
	if math.Abs(c.all-rtc.OnWire*12_000) > 1 || math.Abs(c.keys-rtc.OnWire*2500) > 1 || c.every != 2 || math.Abs(c.spaced(stillEvery)-c.keys/5) > 1 {
		t.Errorf("cost %+v, a still %v", c, c.spaced(stillEvery))
	}
}

func TestSparse(t *testing.T) {
	video, audio := &mp4.Track{Codec: mp4.H264}, &mp4.Track{Codec: mp4.PCMU}
	var s sparse
	for i, c := range []struct {
		now     step
		seconds float64
		key     bool
		sound   bool
		skipped bool
	}{
		{whole, 0, true, false, false},
		{whole, 0.1, false, false, false},
		{whole, 0.1, false, true, false},
		{keys, 1, false, false, true},
		{keys, 1, false, true, true},
		{keys, 2, true, false, false},
		{keys, 3, true, false, true},
		{keys, 4, true, false, false},
		{small, 4.1, false, false, true},
		{small, 4.1, false, true, false},
		{small, 6, true, false, false},
		{small, 6.1, false, false, false},
		{stills, 8, true, false, false},
		{stills, 10, true, false, true},
		{stills, 17.5, true, false, true},
		{stills, 18, true, false, false},
		{stills, 2, true, false, false}, // another run's timeline
		{whole, 3, false, false, true},
		{whole, 4, true, false, false},
	} {
		f := &shot{track: video, key: c.key}
		if c.sound {
			f.track = audio
		}
		if got := s.skips(c.now, f, int64(c.seconds*1e6)); got != c.skipped {
			t.Errorf("frame %d is skipped: %v", i, got)
		}
	}
}

func TestInside(t *testing.T) {
	own := netip.MustParsePrefix("192.168.7.0/24")
	r := &Room{near: own.Contains, cfg: Config{LAN: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}}}
	const host, reflexive, prflx, relay = webrtc.ICECandidateTypeHost, webrtc.ICECandidateTypeSrflx, webrtc.ICECandidateTypePrflx, webrtc.ICECandidateTypeRelay
	for _, c := range []struct {
		local, remote webrtc.ICECandidateType
		address       string
		want          bool
	}{
		{host, host, "192.168.7.9", true},
		{host, prflx, "192.168.7.9", true}, // a browser that hides its address
		{host, host, "::ffff:192.168.7.9", true},
		{host, host, "10.20.30.40", true},
		{host, host, "10.21.30.40", false},   // somewhere behind a tunnel
		{host, host, "192.168.8.9", false},   // likewise
		{host, prflx, "203.0.113.9", false},  // over the WAN
		{host, relay, "192.168.7.10", false}, // a TURN server at the site sends it out again
		{relay, host, "192.168.7.9", false},
		{reflexive, host, "192.168.7.9", false},
		{host, host, "till.local", false},
	} {
		pair := webrtc.NewICECandidatePair(&webrtc.ICECandidate{Typ: c.local}, &webrtc.ICECandidate{Typ: c.remote, Address: c.address})
		if got := r.inside(pair); got != c.want {
			t.Errorf("from %v to %v %s: inside %v", c.local, c.remote, c.address, got)
		}
	}
	if !onLink(netip.MustParseAddr("127.0.0.1")) || onLink(netip.MustParseAddr("203.0.113.9")) {
		t.Error("the machine's own networks are not told from others")
	}
	for far, want := range map[string]bool{"192.168.1.5": true, "198.51.100.9": false, "2001:db8::5": true, "fe80::5": true} {
		bits := 24
		a := netip.MustParseAddr(far)
		if a.Is6() {
			bits = 64
		}
		if local(a, netip.PrefixFrom(a, bits)) != want {
			t.Errorf("a neighbour at %s is inside: %v", far, !want)
		}
	}
}
