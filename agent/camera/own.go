package camera

import (
	"slices"
	"sync"
	"time"

	"holdfast/shared/id"
)

// own measures how long pictures take inside the camera. A sender report (RFC 3550 section 6.4.1) leaves the camera the moment
// that it is made, and says which RTP time that moment has; so a picture of that RTP time which comes later has spent the rest
// in the camera. Neither clock needs to be right for that.
type own struct {
	mu      sync.Mutex
	reports [5]report // the last ones
	seen    int
	took    [15]time.Duration // of the last pictures, from the newest report on
	taken   int
}

// report is a sender report.
type report struct {
	rtp  uint32
	said time.Time // by the camera's clock
	came time.Time
}

const (
	videoClock = 90_000 // RTP units per second (RFC 6184 section 8.2.1, RFC 7798 section 7.1)
	// A camera whose reports contradict each other by more, or its pictures by far, tells nothing.
	ownSlack = 50 * time.Millisecond
	ownMost  = 3 * time.Second
)

// since is how much later one RTP time is than another, which wraps.
func since(rtp, than uint32) time.Duration {
	return time.Duration(int32(rtp-than)) * time.Second / videoClock
}

// report takes what the camera says of its clocks.
func (o *own) report(ntp uint64, rtp uint32, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reports[o.seen%len(o.reports)] = report{rtp, ntpTime(ntp), now}
	o.seen++
}

// picture takes the RTP time of a picture that has come.
func (o *own) picture(rtp uint32, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen == 0 {
		return
	}
	r := o.reports[(o.seen-1)%len(o.reports)]
	o.took[o.taken%len(o.took)] = now.Sub(r.came) - since(rtp, r.rtp)
	o.taken++
}

// delay is how long the last pictures took, in the middle; ok is false while the camera does not tell.
func (o *own) delay() (d time.Duration, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(o.seen, len(o.reports))
	if n < 2 || o.taken < len(o.took) {
		return 0, false
	}
	newest := o.reports[(o.seen-1)%len(o.reports)]
	late := time.Duration(0) // by how much the newest report was later than the earliest of them
	for _, r := range o.reports[:n] {
		apart := newest.said.Sub(r.said)
		if off := apart - since(newest.rtp, r.rtp); off.Abs() > ownSlack {
			return 0, false
		}
		late = max(late, newest.came.Sub(r.came)-apart)
	}
	took := slices.Clone(o.took[:])
	slices.Sort(took)
	d = took[len(took)/2] + late
	if d < -ownSlack || d > ownMost {
		return 0, false
	}
	return max(d, 0), true
}

// ntpTime is an NTP time (RFC 5905 section 6).
func ntpTime(ntp uint64) time.Time {
	return time.Unix(int64(ntp>>32)-since1900, int64(ntp&0xffffffff*1e9>>32))
}

// Own returns how long a picture of a stream has taken inside the camera, of late, by the camera's own sender reports; ok is
// false where it does not tell, or is not pulled.
func (c *Cameras) Own(name id.Stream) (d time.Duration, ok bool) {
	s := c.streams[name]
	if s == nil {
		return 0, false
	}
	s.mu.Lock()
	p := s.active
	s.mu.Unlock()
	if p == nil {
		return 0, false
	}
	return p.inside.delay()
}
