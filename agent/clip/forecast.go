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
	Camera   id.Camera
	StartUs  int64
	EndUs    int64
	Bytes    int64 // about
	SubBytes int64 // about, of its sub stream; 0: that is not recorded, or the clip is of it already
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

// Forecast returns which of the clips will be lost, soonest first. room is what can be cut before anything is sent, in
// bytes; what is sent, at rate bytes per second, makes room again. Clips come in the order in which they are sent: by
// priority, then by when retention takes them.
func Forecast(nowUs int64, rate float64, room int64, queue []Uncut) []Loss {
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
	var out []Loss
	ahead := -room
	for _, u := range queue {
		ahead += u.Bytes
		left := max(float64(u.DueUs-nowUs)/1e6, 1)
		need := float64(ahead) / left
		if u.DueUs == 0 || ahead <= 0 || need <= rate {
			continue
		}
		l := Loss{Camera: u.Camera, StartUs: u.StartUs, EndUs: u.EndUs, DueUs: u.DueUs, More: need - rate, Bytes: u.Bytes, SubBytes: u.SubBytes}
		if n := len(out); n > 0 && out[n-1].Camera == l.Camera && l.StartUs-out[n-1].EndUs <= mergeUs && l.StartUs >= out[n-1].StartUs {
			last := &out[n-1]
			last.EndUs, last.More, last.Bytes = max(last.EndUs, l.EndUs), max(last.More, l.More), last.Bytes+l.Bytes
			if last.SubBytes > 0 && l.SubBytes > 0 {
				last.SubBytes += l.SubBytes
			} else {
				last.SubBytes = 0
			}
			continue
		}
		out = append(out, l)
	}
	slices.SortStableFunc(out, func(a, b Loss) int { return cmp.Compare(a.DueUs, b.DueUs) })
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
		fmt.Fprintf(&b, "%s loses %s in %s, before it can be sent, unless the line carries %s more.",
			name(l.Camera), between(l.StartUs, l.EndUs, nowUs, zone), about(l.DueUs-nowUs), pace.Words(int64(math.Ceil(l.More))))
		if l.SubBytes > 0 && l.SubBytes < l.Bytes {
			fmt.Fprintf(&b, " Its small stream is recorded too and takes %d MB instead of %d MB: choose it in the rules for clips.",
				max(l.SubBytes/1e6, 1), l.Bytes/1e6)
		}
	}
	return b.String()
}

// between says a range of time, with the day where it is not today.
func between(fromUs, toUs, nowUs int64, zone *time.Location) string {
	from, to, now := time.UnixMicro(fromUs).In(zone), time.UnixMicro(toUs).In(zone), time.UnixMicro(nowUs).In(zone)
	layout := "15:04"
	if from.YearDay() != now.YearDay() || from.Year() != now.Year() {
		layout = "2 Jan 15:04"
	}
	end := "15:04"
	if to.YearDay() != from.YearDay() {
		end = "2 Jan 15:04"
	}
	return from.Format(layout) + " to " + to.Format(end)
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
		case <-ctx.Done():
			return
		}
	}
}

// foresee sets the condition.
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
	c := health.Condition{Name: "clips", State: wire.OK}
	rate, known := r.Line()
	losses := Forecast(now, rate, room, queue)
	if !known && len(losses) > 0 {
		return nil // nobody has measured the line yet: what was said stands, unless no line at all would do
	}
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
		size := func(kind id.StreamKind) int64 {
			return int64(r.Rate(id.Stream{Camera: o.Camera, Kind: kind}) * float64(o.EndUs-o.StartUs) / 1e6)
		}
		u := Uncut{Camera: o.Camera, StartUs: o.StartUs, EndUs: o.EndUs, Bytes: size(o.Stream), Priority: o.Priority}
		if o.Stream == id.Main {
			u.SubBytes = size(id.Sub)
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
