package camera

import (
	"encoding/binary"
	"hash/maphash"
	"time"

	"holdfast/agent/media"
)

// proof is what a source must show before it takes over from another one that works: pictures without a break for
// so long.
type proof struct {
	span  time.Duration
	hole  time.Duration // a break of this length begins the proof anew
	since time.Time
	last  time.Time
}

// add takes a picture and says whether the proof is complete.
func (p *proof) add(now time.Time) bool {
	if p.since.IsZero() || now.Sub(p.last) > p.hole {
		p.since = now
	}
	p.last = now
	return now.Sub(p.since) >= p.span
}

// still finds out whether the pictures stand still: byte for byte the same access units again and again, which no
// living sensor makes. A frozen encoder repeats one picture, or one group of pictures: so key frames are compared
// among themselves too.
type still struct {
	all, keys same
	hash      maphash.Hash
	size      []byte
}

// same compares pictures with the one before, by their lengths and by what they begin and end with: compressed
// pictures that differ anywhere differ there.
type same struct {
	last  uint64
	since time.Time // when the present picture was first seen
	times int       // how often it was repeated
}

const (
	frozenAfter = 15 * time.Second
	frozenTimes = 3 // repetitions at least
)

// add takes a picture.
func (s *still) add(f *media.Frame, now time.Time) {
	sum := s.sum(f)
	s.all.add(sum, now)
	if f.Key {
		s.keys.add(sum, now)
	}
}

// frozen says whether the pictures stand still.
func (s *still) frozen(now time.Time) bool { return s.all.frozen(now) || s.keys.frozen(now) }

func (s *same) add(sum uint64, now time.Time) {
	if sum == s.last {
		s.times++
		return
	}
	s.last, s.since, s.times = sum, now, 0
}

func (s *same) frozen(now time.Time) bool {
	return s.times >= frozenTimes && now.Sub(s.since) >= frozenAfter
}

func (s *still) sum(f *media.Frame) uint64 {
	const ends = 64
	s.hash.Reset()
	for _, u := range f.Units {
		s.size = binary.LittleEndian.AppendUint64(s.size[:0], uint64(len(u)))
		_, _ = s.hash.Write(s.size) // it never fails
		_, _ = s.hash.Write(u[:min(ends, len(u))])
		_, _ = s.hash.Write(u[max(0, len(u)-ends):])
	}
	return s.hash.Sum64()
}
