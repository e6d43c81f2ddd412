package retain

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"holdfast/agent/disk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// counting is how often what is kept is counted anew.
const counting = time.Minute

// account is what is kept, and for how long.
type account struct {
	taken   time.Time
	holds   int64 // the version of the holds that it counts
	cameras map[id.Camera]wire.Retention
	states  []wire.HoldState
	held    weight
	days    float64
	whole   int64 // bytes that the volumes may take
}

// Report is what people are told of retention.
type Report struct {
	Cameras  map[id.Camera]wire.Retention
	Holds    []wire.HoldState
	Held     int64   // bytes
	Days     float64 // how far back video will reach at today's rate; 0 when not yet known
	Capacity int64   // bytes of video that all volumes together may take; 0 while one is not here
}

// Report returns what was counted last, at most a minute ago.
func (s *Sweeper) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account
	return Report{Cameras: a.cameras, Holds: a.states, Held: a.held.bytes, Days: a.days, Capacity: a.whole}
}

// recount has everything counted with the next sweep.
func (s *Sweeper) recount() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.taken = time.Time{}
}

func (s *Sweeper) heldOn(volume string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.held.byVolume[volume]
}

func (s *Sweeper) heldOf(cam id.Camera) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.held.byCamera[cam]
}

// weighHolds brings what is held up to date before anything is deleted.
func (s *Sweeper) weighHolds(ctx context.Context) error {
	if now, err := s.believed(ctx); err != nil {
		return err
	} else if now != 0 {
		if err := s.endHolds(ctx, now); err != nil {
			return err
		}
	}
	version := s.holds.Version()
	s.mu.Lock()
	known := s.account.holds == version && !s.account.taken.IsZero()
	s.mu.Unlock()
	if known {
		return nil
	}
	held, err := s.weigh(ctx, s.holds.All())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.held, s.account.holds = held, version
	return nil
}

// count counts what is kept, once a minute.
func (s *Sweeper) count(ctx context.Context) error {
	s.mu.Lock()
	fresh := !s.account.taken.IsZero() && time.Since(s.account.taken) < counting
	s.mu.Unlock()
	if fresh {
		return nil
	}
	a := account{taken: time.Now(), holds: s.holds.Version(), cameras: map[id.Camera]wire.Retention{}, whole: s.capacity()}
	var err error
	all := s.holds.All()
	if a.held, err = s.weigh(ctx, all); err != nil {
		return err
	}
	for _, h := range all {
		state, err := s.state(ctx, h)
		if err != nil {
			return err
		}
		a.states = append(a.states, state)
	}
	if err := s.forecast(ctx, &a); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account = a
	return nil
}

// state says what became of a hold.
func (s *Sweeper) state(ctx context.Context, h Hold) (wire.HoldState, error) {
	out := wire.HoldState{HoldDesire: h.HoldDesire, Site: h.Site}
	segments, err := s.segments(ctx, h.Camera, []span{{h.StartUs, h.EndUs}})
	if err != nil {
		return out, err
	}
	end := min(h.EndUs, s.Clock.Now())
	declared := int64(0)
	ranges, err := s.Ledger.Coverage(ctx, id.Stream{Camera: h.Camera, Kind: id.Main}, h.StartUs, end)
	if err != nil {
		return out, err
	}
	for _, r := range ranges {
		switch length := r.EndUs - r.StartUs; {
		case r.Recorded:
			out.RecordedUs += length
		case !r.Deleted():
			declared += length
		}
	}
	// What the newest second holds is not on the disk yet, which is no loss.
	const young = int64(5 * time.Second / time.Microsecond)
	if out.GoneUs = max(end-h.StartUs-out.RecordedUs-declared, 0); out.GoneUs < 2000 || h.EndUs > s.Clock.Now()-young && out.GoneUs < young {
		out.GoneUs = 0
	}
	switch {
	case h.Ended:
		out.State = wire.HoldEnded
	case h.Refused:
		out.State, out.Text = wire.HoldRefused, capText
	case out.RecordedUs == 0:
		out.State, out.Text = wire.HoldEmpty, "Nothing of this time is at the site."
	case out.GoneUs > 0:
		out.State = wire.HoldPartly
		out.Text = "Of " + inWords(wire.Micros(out.GoneUs)) + " nothing is there: it had gone before, or was never recorded."
	default:
		out.State = wire.HoldKept
	}
	if h.Refused || h.Ended {
		return out, nil
	}
	for _, g := range segments {
		out.Bytes += g.Bytes
	}
	return out, nil
}

// inWords writes a length of time as people say it.
func inWords(d time.Duration) string {
	switch s := int64(d.Seconds()); {
	case s < 60:
		return fmt.Sprintf("%d s", max(s, 1))
	case s < 2*3600:
		return fmt.Sprintf("%d min", (s+30)/60)
	case s < 2*24*3600:
		return fmt.Sprintf("%d hours", (s+1800)/3600)
	default:
		return fmt.Sprintf("%d days", s/(24*3600))
	}
}

const day = int64(24 * time.Hour / time.Microsecond)

// forecast says how far back video will reach when recording goes on as in the last 24 hours.
func (s *Sweeper) forecast(ctx context.Context, a *account) error {
	now := s.Clock.Now()
	stats, err := s.Ledger.StreamStats(ctx)
	if err != nil {
		return err
	}
	recorded, err := s.Ledger.Recorded(ctx, now-day)
	if err != nil {
		return err
	}
	first := map[id.Camera]int64{}
	for stream, stat := range stats {
		r := a.cameras[stream.Camera]
		r.Bytes += stat.Bytes
		r.HeldBytes = a.held.byCamera[stream.Camera]
		r.DayBytes += recorded[stream]
		first[stream.Camera] = tightest(stat.FirstUs, first[stream.Camera])
		a.cameras[stream.Camera] = r
	}
	for cam, r := range a.cameras {
		age := min(now-first[cam], day)
		if first[cam] == 0 || age < (10*time.Minute).Microseconds() {
			r.DayBytes = 0 // too little to go by
		} else {
			r.DayBytes = int64(float64(r.DayBytes) * float64(day) / float64(age))
		}
		l := s.limits.Cameras[cam]
		r.KeepUs, r.MaxBytes = l.Keep.Force, s.bytesOf(l)
		if r.Due, err = s.shortening(ctx, cam, l, r); err != nil {
			return err
		}
		a.cameras[cam] = r
	}
	a.days = spread(a.cameras, s.ring(ctx, a.held))
	return nil
}

// shortening says what a stricter limit that waits will delete.
func (s *Sweeper) shortening(ctx context.Context, cam id.Camera, l limitsOf, r wire.Retention) (*wire.Shortening, error) {
	due := l.due()
	if due == 0 {
		return nil, nil
	}
	next := limitsOf{Bytes: bound{Force: l.Bytes.Want}, Share: bound{Force: l.Share.Want}}
	out := wire.Shortening{DueUs: due, KeepUs: l.Keep.Want, MaxBytes: s.bytesOf(next)}
	if l.Keep.DueUs != 0 {
		for _, kind := range []id.StreamKind{id.Main, id.Sub} {
			for _, free := range s.holds.Between(cam, due-l.Keep.Want) {
				bytes, length, err := s.Ledger.Sum(ctx, id.Stream{Camera: cam, Kind: kind}, free.from, free.to)
				if err != nil {
					return nil, err
				}
				out.Bytes += bytes
				if kind == id.Main {
					out.LengthUs += length
				}
			}
		}
	}
	if out.MaxBytes > 0 && (l.Bytes.DueUs != 0 || l.Share.DueUs != 0) {
		over := r.Bytes - r.HeldBytes - out.MaxBytes
		if over > out.Bytes {
			out.Bytes = over
			if r.DayBytes > 0 {
				out.LengthUs = max(out.LengthUs, int64(float64(over)/float64(r.DayBytes)*float64(day)))
			}
		}
	}
	if out.Bytes == 0 {
		return nil, nil // nothing goes: nobody need know
	}
	return &out, nil
}

// ring returns how many bytes of video that is not held the volume may take to which recording goes: the first
// that works.
func (s *Sweeper) ring(ctx context.Context, held weight) int64 {
	used, err := s.Ledger.VolumeBytes(ctx)
	i := slices.IndexFunc(s.Disk.Volumes(), func(v disk.Status) bool { return v.ID != "" && v.Err == nil && v.Total > 0 })
	if err != nil || i < 0 {
		return 0
	}
	v := s.Disk.Volumes()[i]
	return max(tightest(s.maxOf(v), used[v.ID]+v.Free-v.Reserve)-held.byVolume[v.ID], 0)
}

// spread fills in how many days of each camera fit into so many bytes when the oldest of all goes first, and returns
// the most that a camera reaches; 0 when no rate is known.
func spread(cameras map[id.Camera]wire.Retention, bytes int64) (most float64) {
	limit := func(r wire.Retention) float64 { // days that the camera's own limits leave it
		days := math.Inf(1)
		if r.KeepUs > 0 {
			days = float64(r.KeepUs) / float64(day)
		}
		if r.MaxBytes > 0 {
			days = min(days, float64(r.MaxBytes)/float64(r.DayBytes))
		}
		return days
	}
	var limits []float64
	for _, r := range cameras {
		if r.DayBytes > 0 {
			limits = append(limits, limit(r))
		}
	}
	if len(limits) == 0 {
		return 0
	}
	slices.Sort(limits)
	// Between two limits the bytes rise with the days in a straight line.
	left, common := float64(bytes), 0.0
	for _, next := range limits {
		rate := 0.0
		for _, r := range cameras {
			if r.DayBytes > 0 && limit(r) >= next {
				rate += float64(r.DayBytes)
			}
		}
		if step := (next - common) * rate; step > left {
			common += left / rate
			break
		} else if !math.IsInf(next, 1) {
			left, common = left-step, next
		}
	}
	for cam, r := range cameras {
		if r.DayBytes > 0 {
			r.Days = min(common, limit(r))
			most = max(most, r.Days)
			cameras[cam] = r
		}
	}
	return most
}
