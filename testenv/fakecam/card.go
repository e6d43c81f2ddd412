package fakecam

import (
	"slices"
	"sync"
	"time"

	"holdfast/testenv/scenes"
)

// kept is one access unit, or one frame of sound, on a camera's own card.
type kept struct {
	units [][]byte
	atUs  int64 // wall time of its capture
	key   bool
	sound bool
	loop  *scenes.Loop
}

// card is what a stream's camera keeps by itself, whether or not anybody can reach it. Frames lie in the order of
// decoding, with the stamps that they have in the live stream.
type card struct {
	keep time.Duration // 0: there is no card

	mu   sync.Mutex
	list []kept
}

func (c *card) put(k kept) {
	if c.keep == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, k)
	if oldest := k.atUs - c.keep.Microseconds(); c.list[0].atUs < oldest-10_000_000 { // not for each frame
		c.list = slices.Clone(slices.DeleteFunc(c.list, func(k kept) bool { return k.atUs < oldest }))
	}
}

// from returns what is kept from the key frame at or before a moment on; where there is none, from the next one on.
func (c *card) from(atUs int64) []kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	begin := -1
	for i, k := range c.list {
		if k.key && (begin < 0 || k.atUs <= atUs) {
			begin = i
		}
	}
	if begin < 0 {
		return nil
	}
	return slices.Clone(c.list[begin:])
}

// Film puts the stream's loop on the camera's card as if it had been filmed from one moment to another, which must lie
// before all that is there. The frames are numbered from first on; it returns the number after the last.
func (s *Stream) Film(from, to time.Time, first uint64) (next uint64) {
	loop := s.Loop()
	p := player{s: s, loop: loop, start: from, frame: first - 1}
	var list []kept
	for {
		u := &loop.Units[p.at]
		at := p.due(p.base+u.DTS, scenes.Timescale)
		if !at.Before(to) {
			break
		}
		p.frame++
		list = append(list, kept{
			units: p.unit(u, at.UnixMicro()), atUs: p.due(p.base+u.PTS-p.delay(), scenes.Timescale).UnixMicro(), key: u.Key, loop: loop,
		})
		if p.at++; p.at == len(loop.Units) {
			p.at, p.base = 0, p.base+loop.Ticks
		}
	}
	s.card.mu.Lock()
	defer s.card.mu.Unlock()
	s.card.list = append(list, s.card.list...)
	return p.frame + 1
}

// ArchiveURL is where the camera replays what its card holds of the stream, without the login (ONVIF Streaming
// Specification, replay). CameraConfig.Card says how much that is.
func (s *Stream) ArchiveURL() string {
	a, scheme := s.camera.server.archive, "rtsp"
	ln := a.ln
	if cert := s.camera.cfg.TLS; cert != nil {
		ln, scheme = a.secure[cert], "rtsps"
	}
	return scheme + "://" + ln.Addr().String() + "/" + s.camera.cfg.Name + "/" + s.kind
}
