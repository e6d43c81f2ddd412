package camera

import (
	"time"

	"holdfast/shared/id"
)

// aheadFor is for how long a stream is pulled ahead of those who may watch it.
const aheadFor = time.Minute

// Ahead has a stream pulled for a minute although nobody reads it: somebody looks at its camera, and may watch it next. It then
// has its picture at once, and not after the camera's own start and key frame. Nothing is done where it could cost another his
// session: at a device whose sessions are limited by the configuration, or that has ever refused one.
func (c *Cameras) Ahead(name id.Stream) {
	s := c.streams[name]
	if s == nil || s.always || !c.budget.spares(s.taps[0].source.device()) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aheadUntil = time.Now().Add(aheadFor)
	select {
	case s.ahead <- struct{}{}:
	default:
	}
}

// early is for how much longer the stream is pulled ahead of its readers; gives says that it is to give way at once instead.
func (s *stream) early() (left time.Duration, gives bool) {
	s.mu.Lock()
	left = time.Until(s.aheadUntil)
	s.mu.Unlock()
	if left <= 0 {
		return 0, false
	}
	if !s.owner.budget.spares(s.taps[0].source.device()) {
		return 0, true
	}
	return left, false
}

// spares says whether a device has sessions to spare, as far as anybody knows.
func (b *budget) spares(host string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.rows[host]
	return d == nil || d.limit == 0 && d.refused.IsZero()
}

// changes is closed when a session of a device begins, ends or is refused.
func (b *budget) changes(host string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.row(host).changed
}
