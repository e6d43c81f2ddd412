package retain

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// ErrNoHold says that the site has no such hold, or not one that can be released there.
var ErrNoHold = errors.New("there is no such hold of this site")

// capText is what is said of a hold above the cap.
const capText = "Together with the other holds this would keep more than half of the disk, so that the rest is recorded over ever sooner. " +
	"It is kept when somebody agrees to that."

// AddHold keeps a range at the wish of somebody at the site, from before it returns on. A hold above the cap of half
// of a volume is refused with a *wire.Failure unless Over says that somebody has agreed to it.
func (s *Sweeper) AddHold(ctx context.Context, d wire.HoldDesire) error {
	if err := s.check(d); err != nil {
		return err
	}
	s.deleting.Lock()
	defer s.deleting.Unlock()
	all := s.holds.All()
	switch {
	case len(all) >= wire.MaxHolds:
		return wire.Fail(wire.FailedRefused, "The site has %d holds, more are not possible. Release one that is no longer needed.", len(all))
	case slices.ContainsFunc(all, func(h Hold) bool { return h.Hold == d.Hold }):
		return wire.Fail(wire.FailedRefused, "The site has this hold already.")
	}
	over, err := s.over(ctx, d, all)
	if err != nil {
		return err
	}
	if over && !d.Over {
		return wire.Fail(wire.FailedRefused, capText)
	}
	if err := s.holds.Replace(append(all, Hold{HoldDesire: d, Site: true, MadeUs: s.Clock.Now()})); err != nil {
		return err
	}
	s.recount()
	s.Ask()
	return nil
}

// ReleaseHold ends a hold that was made at the site. The error wraps ErrNoHold when there is none.
func (s *Sweeper) ReleaseHold(which id.Hold) error {
	s.deleting.Lock()
	defer s.deleting.Unlock()
	all := s.holds.All()
	left := slices.DeleteFunc(slices.Clone(all), func(h Hold) bool { return h.Site && h.Hold == which })
	if len(left) == len(all) {
		return fmt.Errorf("release hold %s: %w", which, ErrNoHold)
	}
	if err := s.holds.Replace(left); err != nil {
		return err
	}
	s.recount()
	s.Ask()
	return nil
}

// ApplyHolds takes the cloud's list of its holds: new ones are kept, those that are not listed are released. One
// above the cap is noted as refused. nil says nothing of holds. It returns a sentence for each that can't be taken.
func (s *Sweeper) ApplyHolds(ctx context.Context, desire []wire.HoldDesire) (faults []string, err error) {
	if desire == nil {
		return nil, nil
	}
	s.deleting.Lock()
	defer s.deleting.Unlock()
	before := s.holds.All()
	known := map[id.Hold]Hold{}
	after := []Hold{}
	for _, h := range before {
		if known[h.Hold] = h; h.Site {
			after = append(after, h)
		}
	}
	for _, d := range desire {
		h, old := known[d.Hold]
		switch {
		case s.check(d) != nil:
			faults = append(faults, fmt.Sprintf("hold %q: %v", d.Name, s.check(d)))
			continue
		case old && h.Site:
			continue // the site's own is the site's
		case len(after) >= wire.MaxHolds:
			faults = append(faults, fmt.Sprintf("hold %q: the site has %d holds, more are not possible", d.Name, len(after)))
			continue
		case !old:
			h.MadeUs = s.Clock.Now()
		}
		same := old && h.HoldDesire == d
		h.HoldDesire = d
		if !same {
			h.Ended = false
			if h.Refused, err = s.over(ctx, d, after); err != nil {
				return faults, err
			}
			h.Refused = h.Refused && !d.Over
		}
		after = append(after, h)
	}
	if slices.Equal(before, after) {
		return faults, nil
	}
	if err := s.holds.Replace(after); err != nil {
		return faults, err
	}
	s.recount()
	s.Ask()
	return faults, nil
}

func (s *Sweeper) check(d wire.HoldDesire) error {
	if err := d.Check(); err != nil {
		return wire.Fail(wire.FailedRefused, "%v.", err)
	}
	return nil
}

// over says whether a hold, beside others, would keep more than half of a volume.
func (s *Sweeper) over(ctx context.Context, d wire.HoldDesire, others []Hold) (bool, error) {
	var some []Hold
	for _, h := range others {
		if !h.Refused && !h.Ended && h.Hold != d.Hold {
			some = append(some, h)
		}
	}
	held, err := s.weigh(ctx, append(some, Hold{HoldDesire: d}))
	if err != nil {
		return false, err
	}
	alone, err := s.weigh(ctx, some)
	if err != nil {
		return false, err
	}
	for _, v := range s.Disk.Volumes() {
		limit := tightest(s.maxOf(v), v.Total) / 2
		if v.ID != "" && v.Total > 0 && held.byVolume[v.ID] > limit && held.byVolume[v.ID] > alone.byVolume[v.ID] {
			return true, nil
		}
	}
	return false, nil
}

// weight is what holds keep, in bytes.
type weight struct {
	byVolume map[string]int64
	byCamera map[id.Camera]int64
	bytes    int64
}

// weigh adds up the segments that holds keep, each once.
func (s *Sweeper) weigh(ctx context.Context, holds []Hold) (weight, error) {
	w := weight{byVolume: map[string]int64{}, byCamera: map[id.Camera]int64{}}
	ranges := map[id.Camera][]span{}
	for _, h := range holds {
		if !h.Refused && !h.Ended {
			ranges[h.Camera] = append(ranges[h.Camera], span{h.StartUs, h.EndUs})
		}
	}
	for cam, spans := range ranges {
		segments, err := s.segments(ctx, cam, merged(spans))
		if err != nil {
			return w, err
		}
		for _, g := range segments {
			w.byVolume[g.Volume] += g.Bytes
			w.byCamera[cam] += g.Bytes
			w.bytes += g.Bytes
		}
	}
	return w, nil
}

// segments returns the segments of both streams of a camera that overlap some ranges in order, each once.
func (s *Sweeper) segments(ctx context.Context, cam id.Camera, spans []span) (out []ledger.Segment, err error) {
	for _, kind := range []id.StreamKind{id.Main, id.Sub} {
		seen := map[uint64]bool{}
		for _, r := range spans {
			some, err := s.Ledger.Segments(ctx, id.Stream{Camera: cam, Kind: kind}, r.from, r.to)
			if err != nil {
				return nil, err
			}
			for _, g := range some {
				if !seen[g.ID] {
					seen[g.ID] = true
					out = append(out, g)
				}
			}
		}
	}
	return out, nil
}

// endHolds ends the holds whose time is over, by a clock that is believed, and takes in refused ones for which
// there is room by now.
func (s *Sweeper) endHolds(ctx context.Context, nowUs int64) error {
	s.deleting.Lock()
	defer s.deleting.Unlock()
	before := s.holds.All()
	after := []Hold{}
	for _, h := range before {
		h.Ended = h.Ended || h.UntilUs != 0 && nowUs >= h.UntilUs
		if h.Ended && h.Site {
			continue
		}
		if h.Refused && !h.Ended {
			over, err := s.over(ctx, h.HoldDesire, after)
			if err != nil {
				return err
			}
			h.Refused = over
		}
		after = append(after, h)
	}
	if slices.Equal(before, after) {
		return nil
	}
	return s.holds.Replace(after)
}
