package clip

import (
	"context"
	"maps"
	"math"

	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// noteSmall is what a clip says that was cut from the sub stream because a person wished it so.
const noteSmall = "The line was too slow for the main stream, so the small stream is sent in its place."

// spareUs is how much less of a range the sub stream may show than the main one and still count as recorded there: their
// key frames, and what is on the disk of either, lie apart.
const spareUs = 5_000_000

// Apply takes over which cameras' clips may step down to the sub stream; a camera that is not named may not.
func (r *Room) Apply(wishes []wire.CameraDesire) {
	down := map[id.Camera]bool{}
	for _, w := range wishes {
		if w.StepDown {
			down[w.Camera] = true
		}
	}
	r.mu.Lock()
	r.down = down
	r.mu.Unlock()
	nudge(r.toForesee)
}

// Losses returns what is foretold to be lost, soonest first.
func (r *Room) Losses() []wire.ClipLoss {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []wire.ClipLoss
	for _, l := range r.losses[:min(len(r.losses), wire.MaxLosses)] {
		if l.SubBytes >= l.Bytes {
			l.SubBytes = 0
		}
		out = append(out, wire.ClipLoss{
			Camera: l.Camera, StartUs: l.StartUs, EndUs: l.EndUs, DueUs: l.DueUs, More: int64(math.Ceil(l.More)), Bytes: l.Bytes, SubBytes: l.SubBytes,
		})
	}
	return out
}

// settled takes over a forecast. The cutting goroutine then turns to what has changed.
func (r *Room) settled(losses []Loss, small map[id.Clip]bool) {
	r.mu.Lock()
	changed := !maps.Equal(r.small, small)
	r.losses, r.small = losses, small
	r.mu.Unlock()
	if changed {
		nudge(r.toCut)
	}
}

// weigh says what the sub stream would take of a clip of the main one, if it shows as much of the range.
func (r *Room) weigh(ctx context.Context, c ledger.Clip, u *Uncut) error {
	from, to := c.Order.StartUs, min(c.Order.EndUs, r.Now())
	if from >= to {
		return nil // it has not begun
	}
	stream := id.Stream{Camera: u.Camera, Kind: id.Sub}
	main, _, err := r.shows(ctx, id.Stream{Camera: u.Camera, Kind: id.Main}, from, to)
	if err != nil {
		return err
	}
	sub, bytes, err := r.shows(ctx, stream, from, to)
	if err != nil || sub == 0 || sub < main-spareUs {
		return err
	}
	if u.SubBytes = r.size(stream, c.Order.StartUs, c.Order.EndUs); u.SubBytes == 0 {
		u.SubBytes = bytes // it is not running now
	}
	r.mu.Lock()
	u.StepDown = r.down[u.Camera]
	r.mu.Unlock()
	u.SubOnly = c.Fact.Stream == id.Sub && main < sub-spareUs
	return nil
}

// shows returns how much of a range a stream has, and about how many bytes that is.
func (r *Room) shows(ctx context.Context, s id.Stream, fromUs, toUs int64) (us, bytes int64, err error) {
	ranges, err := r.Ledger.Coverage(ctx, s, fromUs, toUs)
	if err != nil {
		return 0, 0, err
	}
	for _, g := range ranges {
		if g.Recorded {
			us += g.EndUs - g.StartUs
		}
	}
	segments, err := r.Ledger.Segments(ctx, s, fromUs, toUs)
	for _, g := range segments {
		if length := g.EndUs - g.StartUs; length > 0 {
			part := min(g.EndUs, toUs) - max(g.StartUs, fromUs)
			bytes += int64(float64(g.Bytes) * float64(part) / float64(length))
		}
	}
	return us, bytes, err
}

// choose says which stream a clip that is not cut yet is cut from, by the newest forecast; before the first one it stays
// as it was. A change is told at once.
func (r *Room) choose(ctx context.Context, c *ledger.Clip) error {
	r.mu.Lock()
	known, small := r.small != nil, r.small[c.Order.Clip]
	r.mu.Unlock()
	if !known || small == (c.Fact.Stream != "") {
		return nil
	}
	c.Fact.Stream, c.Fact.Reason = "", ""
	if small {
		c.Fact.Stream, c.Fact.Reason = id.Sub, noteSmall
	}
	return r.settle(ctx, *c, true)
}
