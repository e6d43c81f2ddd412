package relay

import (
	"time"

	"holdfast/shared/rtc"
)

// course is how far a viewer has come in one stay at a stream, and which of its frames it gets.
type course struct {
	*showing
	tell  func(rtc.Note)
	at    uint64 // number of the next piece
	wait  bool   // for a key frame
	burst bool   // it catches up with life
	stamp uint32 // RTP time of the last frame that came in
	some  bool   // there was one
	skips bool   // this frame is left out
	shown time.Time
}

// enter begins at the newest key frame, or waits for one.
func (c *course) enter() {
	c.tear()
	c.at, c.burst = c.pull.newest()
}

// tear has the next key frame begin the picture anew.
func (c *course) tear() {
	c.wait, c.skips, c.burst, c.some = true, true, false, false
	c.anchor(false, 0, 0)
}

// turns tells the viewer of its step, and says whether that, or an heir of the pull, wants another pull.
func (c *course) turns() bool {
	c.mu.Lock()
	now, sub := c.line.now, !c.noSub
	c.mu.Unlock()
	c.tell(c.pull.noted(now))
	return (now > whole && sub) != (c.pull != c.main) || c.pull.isSucceeded()
}

// leaves says whether the frame that begins with a piece is left out.
func (c *course) leaves(p *piece) bool {
	now := c.step()
	switch {
	case c.wait && !p.key:
		return true
	case now < keys:
		return false
	case !p.key || now == stills && time.Since(c.shown) < stillEvery-stillEvery/20:
		c.wait = true
		return true
	}
	c.shown = time.Now()
	return false
}

// fresh is the age of a frame that has just come: a burst ends with it.
const fresh = 40 * time.Millisecond
