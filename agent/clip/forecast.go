package clip

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	usage "github.com/shirou/gopsutil/v4/disk"

	"holdfast/agent/health"
	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const (
	forecastEvery = time.Minute
	mostSaid      = 3           // losses that one sentence each tells
	mergeUs       = 600_000_000 // clips of one camera that lie so close are told as one range
)

// Uncut is a clip whose source must still be there: it waits for room beside those that wait for the line.
type Uncut struct {
	Clip     id.Clip
	Camera   id.Camera
	StartUs  int64
	EndUs    int64
	Bytes    int64 // about
	SubBytes int64 // about, of its sub stream; 0: that is not recorded in this range, or the clip is of it by order
	StepDown bool  // the sub stream is cut when the line is too slow for the main one
	SubOnly  bool  // it was to be cut from the sub stream, and the main one is not there any more
	DueUs    int64 // when retention takes the source; 0: that is not known
	Priority wire.Priority
}

// Loss is a range that retention will have taken before it can be cut.
type Loss struct {
	Camera   id.Camera
	StartUs  int64
	EndUs    int64
	DueUs    int64
	More     float64 // bytes per second that the line would have to carry besides
	Bytes    int64
	SubBytes int64 // what the sub streams would take instead; 0: there are none, or they would not help
}

// Forecast returns which of the clips will be lost, soonest first, and which are to be cut from the sub stream: those that
// may be and would be lost otherwise. room is what can be cut before anything is sent, in
// bytes; what is sent, at rate bytes per second, makes room again. Clips come in the order in which they are sent: by
// priority, then by when retention takes them.
func Forecast(nowUs int64, rate float64, room int64, queue []Uncut) (losses []Loss, small map[id.Clip]bool) {
	queue = slices.Clone(queue)
	slices.SortStableFunc(queue, func(a, b Uncut) int {
		due := func(u Uncut) int64 {
			if u.DueUs == 0 {
				return math.MaxInt64
			}
			return u.DueUs
		}
		return cmp.Or(-cmp.Compare(a.Priority.Known(), b.Priority.Known()), cmp.Compare(due(a), due(b)), cmp.Compare(a.StartUs, b.StartUs))
	})
	small = map[id.Clip]bool{}
	ahead := -room
	for _, u := range queue {
		// need is what the line must carry for the clip to be kept, bytes per second.
		need := func() float64 {
			if u.DueUs == 0 {
				return 0
			}
			return float64(ahead+u.Bytes) / max(float64(u.DueUs-nowUs)/1e6, 1)
		}
		if u.SubOnly || u.StepDown && u.SubBytes > 0 && u.SubBytes < u.Bytes && need() > max(rate, 0) {
			small[u.Clip] = true
			u.Bytes, u.SubBytes = u.SubBytes, 0
		}
		if n := need(); n > max(rate, 0) {
			losses = join(losses, u, n-rate)
		}
		ahead += u.Bytes
	}
	slices.SortStableFunc(losses, func(a, b Loss) int { return cmp.Compare(a.DueUs, b.DueUs) })
	return losses, small
}

// join adds the loss of a clip, to the one before if it goes on with it.
func join(out []Loss, u Uncut, more float64) []Loss {
	l := Loss{Camera: u.Camera, StartUs: u.StartUs, EndUs: u.EndUs, DueUs: u.DueUs, More: more, Bytes: u.Bytes, SubBytes: u.SubBytes}
	n := len(out)
	if n == 0 || out[n-1].Camera != l.Camera || l.StartUs-out[n-1].EndUs > mergeUs || l.StartUs < out[n-1].StartUs {
		return append(out, l)
	}
	last := &out[n-1]
	last.EndUs, last.More, last.Bytes = max(last.EndUs, l.EndUs), max(last.More, l.More), last.Bytes+l.Bytes
	if last.SubBytes > 0 && l.SubBytes > 0 {
		last.SubBytes += l.SubBytes
	} else {
		last.SubBytes = 0
	}
	return out
}

// Say tells losses to a person, in the given time zone.
func Say(losses []Loss, nowUs int64, zone *time.Location, name func(id.Camera) string) string {
	var b strings.Builder
	for i, l := range losses {
		if i == mostSaid {
			fmt.Fprintf(&b, " %d more will be lost after that.", len(losses)-mostSaid)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s loses %s in %s (%s), before it can be sent, unless the line carries %s more.",
			name(l.Camera), between(l.StartUs, l.EndUs, nowUs, zone), about(l.DueUs-nowUs), at(l.DueUs, nowUs, zone), pace.Words(int64(math.Ceil(l.More))))
		if l.SubBytes > 0 && l.SubBytes < l.Bytes {
			fmt.Fprintf(&b, " Its small stream is recorded too and takes %d MB instead of %d MB: let its clips step down to it in the "+
				"camera's settings.", max(l.SubBytes/1e6, 1), l.Bytes/1e6)
		}
	}
	return b.String()
}

// at says a moment, with the day where it is not that of another moment.
func at(us, dayUs int64, zone *time.Location) string {
	t, day := time.UnixMicro(us).In(zone), time.UnixMicro(dayUs).In(zone)
	if t.YearDay() != day.YearDay() || t.Year() != day.Year() {
		return t.Format("2 Jan 15:04")
	}
	return t.Format("15:04")
}

// between says a range of time, with the day where it is not today.
func between(fromUs, toUs, nowUs int64, zone *time.Location) string {
	return at(fromUs, nowUs, zone) + " to " + at(toUs, fromUs, zone)
}

// about says how long something is away.
func about(us int64) string {
	d := time.Duration(max(us, 0)) * time.Microsecond
	switch {
	case d < time.Minute:
		return "a moment"
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// watch keeps the condition "clips" up to date: it fails before a chosen clip is lost.
func (r *Room) watch(ctx context.Context) {
	if r.Board == nil || r.Line == nil {
		return
	}
	tick := time.NewTicker(forecastEvery)
	defer tick.Stop()
	for {
		if err := r.foresee(ctx); err != nil && ctx.Err() == nil {
			r.Log.Warn("work out which clips will be lost", "error", err)
		}
		select {
		case <-tick.C:
		case <-r.toForesee:
		case <-ctx.Done():
			return
		}
	}
}

// foresee works out what will be lost and what is cut from the sub stream, and sets the condition.
func (r *Room) foresee(ctx context.Context) error {
	queue, err := r.uncut(ctx)
	if err != nil {
		return err
	}
	room := int64(math.MaxInt64 / 2)
	if at, err := usage.UsageWithContext(ctx, r.cfg.Dir); err == nil {
		room = max(int64(at.Free)-r.cfg.Free, 0)
	}
	now := r.Now()
	rate, known := r.Line()
	losses, small := Forecast(now, rate, room, queue)
	if !known && len(losses)+len(small) > 0 {
		return nil // nobody has measured the line yet: what was said stands, unless no line at all would do
	}
	r.settled(losses, small)
	c := health.Condition{Name: "clips", State: wire.OK}
	if len(losses) > 0 {
		c.State, c.Text = wire.Failing, Say(losses, now, time.Local, r.Name)
	}
	r.Board.Set(c)
	return nil
}

// uncut lists the clips whose source must still be there.
func (r *Room) uncut(ctx context.Context) ([]Uncut, error) {
	clips, err := r.Ledger.Clips(ctx, wire.ClipWanted, wire.ClipCutting)
	if err != nil {
		return nil, err
	}
	out := make([]Uncut, 0, len(clips))
	for _, c := range clips {
		o := c.Order
		u := Uncut{
			Clip: o.Clip, Camera: o.Camera, StartUs: o.StartUs, EndUs: o.EndUs, Priority: o.Priority,
			Bytes: r.size(id.Stream{Camera: o.Camera, Kind: o.Stream}, o.StartUs, o.EndUs),
		}
		if o.Stream == id.Main {
			if err := r.weigh(ctx, c, &u); err != nil {
				return nil, err
			}
		}
		if r.Keep != nil {
			if keep := r.Keep(o.Camera); keep > 0 {
				u.DueUs = o.StartUs + keep.Microseconds()
			}
		}
		out = append(out, u)
	}
	return out, nil
}

// size is about what a range of a stream takes, by its rate.
func (r *Room) size(s id.Stream, fromUs, toUs int64) int64 {
	return int64(r.Rate(s) * float64(toUs-fromUs) / 1e6)
}
