package camera

import (
	"fmt"
	"sync/atomic"
	"time"

	"holdfast/agent/health"
	"holdfast/shared/wire"
)

// quiet is how long a stream may be without frames before it is called failing: a dropped session that comes
// back at once is a gap, but no alarm.
const quiet = 5 * time.Second

// counters count what a session receives.
type counters struct {
	packets, lost, bad atomic.Uint64 // read, missing, and of no use
	frames             atomic.Int64  // since the last look
}

// maxLost bounds one word of the library about lost packets: after a jump of the numbers it may be anything.
const maxLost = 1000

// noise tells a device that sends next to nothing but packets that can't be read: what gets through then is no picture.
type noise struct {
	packets, bad uint64 // at the last look
	looks        int    // in a row
}

// look is called once a second at least; true means that it was so three times in a row.
func (n *noise) look(c *counters) bool {
	packets, bad := c.packets.Load(), c.bad.Load()
	good, wrong := packets-n.packets, bad-n.bad
	n.packets, n.bad = packets, bad
	if wrong >= 100 && wrong >= 9*good {
		n.looks++
	} else {
		n.looks = 0
	}
	return n.looks >= 3
}

// vitals is what is watched of a stream besides that frames come.
type vitals struct {
	still still
	keys  keys
	loss  loss
	surge surge
	clock skew
	said  map[string]bool // conditions that stand on the board
}

// review measures the stream and sets its conditions; it is called once a second.
func (s *stream) review() {
	s.mu.Lock()
	s.state.FPS, s.state.Kbps = s.meter.tick()
	if !s.pulling {
		s.mu.Unlock()
		return
	}
	out := s.conditions(time.Now())
	c, known := s.flow()
	recovered := known && s.failing && c.State == wire.OK
	if known {
		s.failing = c.State == wire.Failing
		s.state.State, s.state.Reason, s.state.Text = c.State, c.Reason, c.Text
		for _, note := range out {
			if s.state.Text == "" {
				s.state.Text = note.Text
			}
		}
		out = append(out, c)
	}
	s.mu.Unlock()
	if recovered {
		s.log.Info("frames come again")
	}
	if s.owner.board != nil {
		for _, c := range out {
			s.owner.board.Set(c)
		}
	}
}

// flow is the condition "stream": whether frames come. known is false while that is open.
func (s *stream) flow() (c health.Condition, known bool) {
	silent := time.Since(s.since)
	c = health.Condition{Name: "stream", Camera: s.id.Camera, Kind: string(s.id.Kind), State: wire.OK}
	switch {
	case silent < quiet && s.state.FPS > 0:
	case silent < quiet || s.fail.reason == "" && silent < 2*quiet:
		return c, false
	case s.fail.reason != "":
		c.State, c.Reason, c.Text = wire.Failing, s.fail.reason, s.fail.text
	default:
		c.State, c.Reason = wire.Failing, wire.Connecting
		c.Text = fmt.Sprintf("%s has sent no pictures yet. Check its power, its cable and its address.", s.taps[0].source.address.Host)
	}
	return c, true
}

// conditions returns the conditions besides "stream" that have something to say, or that had.
func (s *stream) conditions(now time.Time) (out []health.Condition) {
	host := s.taps[0].source.address.Host
	say := func(name string, reason wire.Reason, text string) {
		c := health.Condition{Name: name, Camera: s.id.Camera, Kind: string(s.id.Kind), State: wire.OK}
		if text != "" {
			c.State, c.Reason, c.Text = wire.Failing, reason, text
		} else if !s.health.said[name] {
			return
		}
		if s.health.said == nil {
			s.health.said = map[string]bool{}
		}
		s.health.said[name] = true
		out = append(out, c)
	}
	flows := now.Sub(s.since) < quiet
	if s.active != nil {
		host = s.active.tap.source.address.Host
	}
	reason, text := s.picture(now, flows, host)
	say("picture", reason, text)
	say("camera_clock", "", s.health.clock.inWords(host))
	if t := s.taps[0]; flows && s.active != nil && s.active.tap != t {
		text := fmt.Sprintf("Recording comes from %s, the next source in order, while %s does not work.", host, t.source.address.Host)
		if t.fail.text != "" {
			text += " " + t.fail.text
		}
		say("source", t.fail.reason, text)
	} else if flows {
		say("source", "", "")
	}
	return out
}

// picture says what is wrong with pictures that do come.
func (s *stream) picture(now time.Time, flows bool, host string) (wire.Reason, string) {
	lost, lossy := s.health.loss.tick(s.active)
	surge := s.health.surge.tick(s.state.Kbps)
	switch {
	case !flows:
	case s.health.keys.away(now):
		return wire.NoKeyFrame, fmt.Sprintf("%s has stopped to send key frames. Recording goes on, but could not begin anew: restart the camera, or set its key frame interval to two seconds.", host)
	case s.health.still.frozen(now):
		return wire.Stalled, fmt.Sprintf("The picture of %s stands still: it sends the same picture over and over. Restart the camera.", host)
	case lossy && s.active.tap.source.udp:
		return wire.DecodeError, fmt.Sprintf("%s of the packets of %s get lost on the way, and its pictures are damaged. Set  transport: tcp  for it, or check cables and switches.", lost, host)
	case lossy:
		return wire.DecodeError, fmt.Sprintf("%s of the packets of %s are missing or can't be read, and its pictures are damaged. Lower its bitrate or update its software.", lost, host)
	case surge > 0:
		return "", fmt.Sprintf("%s sends many times the data that it used to send (%d Mbit/s). The disk fills faster; set its bitrate on the camera.", host, int(surge/1000))
	}
	return "", ""
}

// forget takes the stream's conditions off the board; the caller holds the lock.
func (s *stream) forget() {
	if b := s.owner.board; b != nil {
		b.Drop("stream", s.id.Camera, string(s.id.Kind))
		for name := range s.health.said {
			b.Drop(name, s.id.Camera, string(s.id.Kind))
		}
	}
	s.health = vitals{}
}

// clockOf takes the camera's word about the time, from an RTCP sender report (RFC 3550 section 6.4.1).
func (s *stream) clockOf(ntp uint64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health.clock.add(ntp, now)
}

// keys watches the distance of key frames.
type keys struct {
	last    time.Time
	longest time.Duration // 0 before there were two
}

// A key frame is missing when it is away for much longer than ever before: some cameras send one a minute when
// nothing moves.
const (
	keyFault   = 12 * time.Second
	keyTimes   = 5 // halves of the longest distance
	keyUnknown = 65 * time.Second
)

func (k *keys) add(now time.Time) {
	if !k.last.IsZero() {
		k.longest = max(k.longest, min(now.Sub(k.last), keyUnknown))
	}
	k.last = now
}

func (k *keys) away(now time.Time) bool {
	limit := max(keyFault, k.longest*keyTimes/2)
	if k.longest == 0 {
		limit = keyUnknown
	}
	return !k.last.IsZero() && now.Sub(k.last) > limit
}

// loss measures the share of packets that never came or could not be read.
type loss struct {
	of     *session
	was    [2]uint64     // packets, and those that are missing, at the last look
	last   [10][2]uint64 // of the last ten seconds
	at     int
	faulty bool
	worst  float64 // percent, since it is faulty
}

// tick is called once a second. The share is said in words, which change seldom.
func (l *loss) tick(p *session) (share string, faulty bool) {
	if p == nil || p != l.of {
		*l = loss{of: p}
		return "", false
	}
	now := [2]uint64{p.count.packets.Load(), p.count.lost.Load() + p.count.bad.Load()}
	l.last[l.at] = [2]uint64{now[0] - l.was[0], now[1] - l.was[1]}
	l.was, l.at = now, (l.at+1)%len(l.last)
	var got, missing uint64
	for _, v := range l.last {
		got += v[0]
		missing += v[1]
	}
	percent := 100 * float64(missing) / float64(max(got+missing, 1))
	l.faulty = missing >= 5 && percent >= 0.5 || l.faulty && percent >= 0.1
	if !l.faulty {
		l.worst = 0
	}
	l.worst = max(l.worst, percent)
	switch {
	case l.worst >= 10:
		return "More than a tenth", l.faulty
	case l.worst >= 1:
		return "Some in a hundred", l.faulty
	}
	return "Some in a thousand", l.faulty
}

// surge finds out when a stream sends many times what it used to send.
type surge struct {
	usual float64 // kbit/s
	since int     // looks since it began to be measured
	now   float64 // of the surge when it was noticed; 0 without
}

const (
	surgeTimes = 8
	surgeLeast = 8000 // kbit/s
	surgeWarm  = 10   // looks before anything is usual
)

// tick takes the bitrate of the last seconds, once a second; it returns the rate of a surge, 0 without.
func (s *surge) tick(kbps float64) float64 {
	if kbps == 0 {
		return s.now
	}
	s.since++
	if s.usual == 0 || s.since < surgeWarm {
		s.usual = max(s.usual, kbps)
		return 0
	}
	switch {
	case s.now == 0 && kbps > surgeLeast && kbps > surgeTimes*s.usual:
		s.now = kbps
	case kbps < surgeTimes/2*s.usual:
		s.now = 0
	}
	if s.now == 0 {
		s.usual += (kbps - s.usual) / 600
	}
	return s.now
}

// skew is how far a camera's wall clock is off, by its own word.
type skew struct {
	last [5]time.Duration
	n    int
}

// Cameras without the time count from some moment of their own: such a clock is not off, it is none.
const (
	skewFault = 10 * time.Second
	skewNone  = 10 * 365 * 24 * time.Hour
	since1900 = 2208988800 // seconds from there to 1970, RFC 5905 figure 4
)

func (k *skew) add(ntp uint64, now time.Time) {
	k.last[k.n%len(k.last)] = ntpTime(ntp).Sub(now)
	k.n++
}

// offset returns by how much the camera's clock is ahead; ok is false when that is not known.
func (k *skew) offset() (d time.Duration, ok bool) {
	n := min(k.n, len(k.last))
	if n == 0 {
		return 0, false
	}
	// What a report is late by adds to it: the largest is the truest.
	d = k.last[0]
	for _, v := range k.last[1:n] {
		d = max(d, v)
	}
	return d, d.Abs() < skewNone
}

func (k *skew) inWords(host string) string {
	d, ok := k.offset()
	if !ok || d.Abs() < skewFault {
		return ""
	}
	way := "ahead"
	if d < 0 {
		way = "behind"
	}
	return fmt.Sprintf("The clock of %s is %v %s. Recordings have the right time all the same, but the time in its picture is wrong: set a time server (NTP) on the camera.",
		host, d.Abs().Round(10*time.Second), way)
}

// meter measures the last five seconds.
type meter struct {
	frames, bytes [5]int
	at, filled    int
	now           [2]int // frames, bytes of the second that runs
}

func (m *meter) reset() { *m = meter{} }

func (m *meter) add(video bool, bytes int) {
	if video {
		m.now[0]++
	}
	m.now[1] += bytes
}

// tick ends a second and returns frames and kilobits a second.
func (m *meter) tick() (fps, kbps float64) {
	m.frames[m.at], m.bytes[m.at] = m.now[0], m.now[1]
	m.at, m.filled, m.now = (m.at+1)%len(m.frames), min(m.filled+1, len(m.frames)), [2]int{}
	frames, bytes := 0, 0
	for i := range m.frames {
		frames += m.frames[i]
		bytes += m.bytes[i]
	}
	return float64(frames) / float64(m.filled), float64(bytes) * 8 / 1000 / float64(m.filled)
}
