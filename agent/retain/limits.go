package retain

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"holdfast/shared/id"
)

// warning is how long a stricter limit waits before it deletes anything.
const warning = 24 * time.Hour

// bound is one limit: what is in force, and what is wanted. 0 is no limit.
type bound struct {
	Force int64 `json:"force"`
	Want  int64 `json:"want"`
	DueUs int64 `json:"due_us,omitempty"` // when Want comes into force; 0 while the two are the same
}

// tighter says whether limit a keeps less than limit b.
func tighter(a, b int64) bool { return a != 0 && (b == 0 || a < b) }

// tightest returns the stricter of two limits.
func tightest(a, b int64) int64 {
	if tighter(a, b) {
		return a
	}
	return b
}

// set takes a wish: a looser one is in force at once, a stricter one waits from the moment it was made.
func (b *bound) set(want, nowUs int64) {
	switch {
	case !tighter(want, b.Force):
		*b = bound{Force: want, Want: want}
	case b.DueUs == 0 || tighter(want, b.Want):
		b.Want, b.DueUs = want, nowUs+warning.Microseconds()
	default:
		b.Want = want
	}
	if b.DueUs != 0 && nowUs >= b.DueUs {
		*b = bound{Force: want, Want: want}
	}
}

// limitsOf are the limits of one camera.
type limitsOf struct {
	Keep  bound `json:"keep_us"`
	Bytes bound `json:"bytes"`
	Share bound `json:"share"`
}

// due is the first moment at which one of the limits gets stricter; 0 when none waits.
func (l *limitsOf) due() (us int64) {
	for _, b := range []bound{l.Keep, l.Bytes, l.Share} {
		us = tightest(us, b.DueUs)
	}
	return us
}

// limits are what is in force and what waits, as the ledger keeps it.
type limits struct {
	Cameras map[id.Camera]limitsOf `json:"cameras"`
	Volumes map[string]bound       `json:"volumes"`
	known   string                 // what the ledger has
}

const metaLimits = "retain_limits"

// load reads what the ledger has of limits, once.
func (l *limits) load(text string) error {
	if l.Cameras != nil {
		return nil
	}
	l.Cameras, l.Volumes, l.known = map[id.Camera]limitsOf{}, map[string]bound{}, text
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), l); err != nil {
		return fmt.Errorf("read the limits in force: %w", err)
	}
	return nil
}

// settle brings the limits in force up to what is wanted, as far as that may be. While the clock is in doubt nothing
// changes.
func (s *Sweeper) settle(ctx context.Context) error {
	text, err := s.Ledger.Meta(ctx, metaLimits)
	if err == nil {
		s.mu.Lock()
		err = s.limits.load(text)
		s.mu.Unlock()
	}
	if err != nil {
		return err
	}
	now, err := s.believed(ctx)
	if err != nil || now == 0 {
		return err
	}
	stats, err := s.Ledger.StreamStats(ctx)
	if err != nil {
		return err
	}
	recorded := map[id.Camera]bool{}
	for stream, stat := range stats {
		recorded[stream.Camera] = recorded[stream.Camera] || stat.FirstUs > 0
	}
	for cam, want := range s.wanted() {
		l, known := s.limits.Cameras[cam]
		if !known && !recorded[cam] {
			// Nothing is there that a limit could delete.
			l = limitsOf{Keep: bound{Force: want.Keep.Microseconds()}, Bytes: bound{Force: want.Bytes}, Share: bound{Force: int64(want.Share)}}
		}
		l.Keep.set(want.Keep.Microseconds(), now)
		l.Bytes.set(want.Bytes, now)
		l.Share.set(int64(want.Share), now)
		s.limits.Cameras[cam] = l
	}
	s.settleVolumes(now)
	return s.limits.save(ctx, s)
}

// settleVolumes does the same for the size of volumes. A volume's first size is in force at once: it was made with
// it.
func (s *Sweeper) settleVolumes(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.Disk.Volumes() {
		if v.ID == "" {
			continue
		}
		b, known := s.limits.Volumes[v.ID]
		if !known {
			b = bound{Force: v.Max}
		}
		b.set(v.Max, now)
		s.limits.Volumes[v.ID] = b
	}
}

func (l *limits) save(ctx context.Context, s *Sweeper) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("keep the limits in force: %w", err)
	}
	if string(text) == l.known {
		return nil
	}
	if err := s.Ledger.SetMeta(ctx, metaLimits, string(text)); err != nil {
		return err
	}
	l.known = string(text)
	return nil
}

// wanted returns what site and portal together want for each camera that either names, and for those that have been
// limited before.
func (s *Sweeper) wanted() map[id.Camera]Limit {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[id.Camera]Limit{}
	for cam := range s.limits.Cameras {
		out[cam] = Limit{}
	}
	for cam, l := range s.cfg.Limits {
		out[cam] = l
	}
	for cam, wish := range s.wished {
		l := out[cam]
		l.Keep = time.Duration(tightest(int64(wish.Keep), int64(l.Keep)))
		l.Share = int(tightest(int64(wish.Share), int64(l.Share)))
		out[cam] = l
	}
	return out
}
