package clip

import (
	"context"
	"errors"
	"slices"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

const (
	lookAgain = time.Second // at a clip whose end is not on the disk yet
	slowest   = time.Minute // a part that is not on the disk by then will not come
	reviewed  = time.Minute // how often wanted clips are looked through anyway
)

// retry says when a clip whose cut failed is cut again.
type retry struct {
	wait *backoff.Timer
	at   time.Time
	from id.StreamKind // what failed: another stream is tried at once
}

// cutAll cuts what is wanted, each when its end is durable.
func (r *Room) cutAll(ctx context.Context) {
	for ctx.Err() == nil {
		wait, err := r.cutDue(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.Error("look through wanted clips", "error", err)
			wait = 10 * time.Second
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-r.toCut:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// cutDue cuts every clip whose time has come, the oldest video first, and returns how long to wait for the next.
func (r *Room) cutDue(ctx context.Context) (time.Duration, error) {
	wanted, err := r.Ledger.Clips(ctx, wire.ClipWanted, wire.ClipCutting)
	if err != nil {
		return 0, err
	}
	slices.SortStableFunc(wanted, func(a, b ledger.Clip) int { return int(min(max(a.Order.StartUs-b.Order.StartUs, -1), 1)) })
	wait := reviewed
	for _, c := range wanted {
		if err := r.choose(ctx, &c); errors.Is(err, ledger.ErrNotFound) {
			continue // dropped meanwhile
		} else if err != nil {
			return 0, err
		}
		ready, err := r.ready(ctx, c)
		switch {
		case err != nil:
			return 0, err
		case ready > 0:
			wait = min(wait, ready)
			continue
		}
		err = r.cut(ctx, c)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.Is(err, ledger.ErrNotFound): // dropped meanwhile
			delete(r.again, c.Order.Clip)
			if err := remove(r.path(c.Order.Clip)); err != nil {
				r.Log.Warn("remove a clip that was dropped", "error", err)
			}
		case err != nil:
			wait = min(wait, r.later(ctx, c, err))
		default:
			delete(r.again, c.Order.Clip)
		}
	}
	return wait, nil
}

// ready returns how long to wait before a clip can be cut.
func (r *Room) ready(ctx context.Context, c ledger.Clip) (time.Duration, error) {
	now := r.Now()
	if wait := time.Duration(c.Order.EndUs-now)*time.Microsecond + r.cfg.Late; wait > 0 {
		return wait, nil
	}
	if again := r.again[c.Order.Clip]; again != nil && again.from == c.Source().Kind {
		if wait := time.Until(again.at); wait > 0 {
			return wait, nil
		}
	}
	age := time.Duration(now-c.Order.EndUs) * time.Microsecond
	if age < slowest {
		stored, err := r.stored(ctx, c)
		if err != nil || !stored {
			return lookAgain, err
		}
	}
	if age < r.cfg.Seal {
		segments, err := r.Ledger.Segments(ctx, c.Source(), c.Order.StartUs, c.Order.EndUs)
		if err != nil || slices.ContainsFunc(segments, func(s ledger.Segment) bool { return s.Parts == 0 }) {
			return lookAgain, err
		}
	}
	return 0, nil
}

// stored says whether the end of a range is on the disk, or in a declared gap, or surely never comes.
func (r *Room) stored(ctx context.Context, c ledger.Clip) (bool, error) {
	stats, err := r.Ledger.StreamStats(ctx)
	if err != nil {
		return false, err
	}
	durable, end := stats[c.Source()].DurableUs, c.Order.EndUs
	if durable >= end || durable < end-slowest.Microseconds() {
		return true, nil
	}
	ranges, err := r.Ledger.Coverage(ctx, c.Source(), end-1, end)
	return len(ranges) > 0, err
}

// later notes that a cut failed, says so to the cloud when that is news, and returns when it is tried again.
func (r *Room) later(ctx context.Context, c ledger.Clip, cause error) time.Duration {
	again := r.again[c.Order.Clip]
	if again == nil {
		policy := r.cfg.Retry
		if policy.Min == 0 {
			policy = backoff.Policy{Min: 2 * time.Second, Cap: 5 * time.Minute}
		}
		again = &retry{wait: backoff.New(policy)}
		r.again[c.Order.Clip] = again
	}
	wait := again.wait.Next(0)
	again.from = c.Source().Kind
	again.at = time.Now().Add(wait)
	r.Log.Warn("cut clip; it is tried again", "clip", c.Order.Clip, "error", cause, "in", wait.Round(time.Millisecond))
	if text := inWords(cause); text != c.Fact.Reason {
		c.State, c.Fact.Reason = wire.ClipWanted, text
		if err := r.settle(ctx, c, true); err != nil && !errors.Is(err, ledger.ErrNotFound) {
			r.Log.Error("note that a clip could not be cut", "clip", c.Order.Clip, "error", err)
		}
	}
	return wait
}

// inWords says why a clip can't be cut now.
func inWords(err error) string {
	switch {
	case errors.Is(err, errFull), full(err):
		return "The site's disk has no room for the clip. Free some space there; it is tried again."
	case errors.Is(err, disk.ErrAbsent):
		return "The disk with the video is not at the site now. Connect it again; the clip is cut then."
	default:
		return "The clip could not be cut: the site's disk fails to read or to write. It is tried again."
	}
}

// cut turns the range into a file and queues it, or says why there is none.
func (r *Room) cut(ctx context.Context, c ledger.Clip) error {
	if c.State != wire.ClipCutting && c.Fact.Reason == "" {
		c.State = wire.ClipCutting
		if err := r.settle(ctx, c, true); err != nil {
			return err
		}
	}
	segments, err := r.Ledger.Segments(ctx, c.Source(), c.Order.StartUs, c.Order.EndUs)
	if err != nil {
		return err
	}
	made, err := r.assemble(ctx, c.Order, segments)
	defer made.close()
	switch {
	case errors.Is(err, mp4.ErrNoVideo) && c.Fact.Stream != "":
		c.Fact.Stream, c.Fact.Reason = "", "" // it went meanwhile
		return r.cut(ctx, c)
	case errors.Is(err, mp4.ErrNoVideo):
		return r.unavailable(ctx, c)
	case err != nil:
		return err
	}
	sums, err := r.store(ctx, c.Order.Clip, made.clip)
	if err != nil {
		return err
	}
	c.State, c.File, c.Bytes, c.SHA256 = wire.ClipQueued, fileOf(c.Order.Clip), sums.Bytes, sums.SHA256
	c.Fact.Bytes, c.Fact.Sent, c.Fact.Codec = c.Bytes, 0, made.codec
	c.Fact.StartUs, c.Fact.EndUs = made.clip.FromUs, made.clip.ToUs
	if c.Fact.Stream != "" {
		made.remark(noteSmall)
	}
	c.Fact.Reason = made.note()
	if c.Fact.Gaps, err = gaps(ctx, r.Ledger, c.Source(), c.Order.StartUs, c.Order.EndUs); err != nil {
		return err
	}
	if err := r.settle(ctx, c, true); err != nil {
		return err
	}
	r.remember(c.Order.Clip, sums)
	r.Log.Info("clip cut", "clip", c.Order.Clip, "camera", c.Order.Camera, "bytes", c.Bytes, "sealed", made.clip.Sealed)
	nudge(r.toSend)
	return nil
}

// gaps returns the ranges in [fromUs, toUs) of a stream that have no video, those that nothing is known of included.
func gaps(ctx context.Context, l *ledger.Ledger, stream id.Stream, fromUs, toUs int64) ([]wire.GapFact, error) {
	ranges, err := l.Coverage(ctx, stream, fromUs, toUs)
	if err != nil {
		return nil, err
	}
	var out []wire.GapFact
	at := fromUs
	unknown := func(until int64) {
		if until-at > mp4.JoinToleranceUs {
			out = append(out, wire.GapFact{Stream: stream, StartUs: at, EndUs: until, Reason: wire.Unknown})
		}
	}
	for _, g := range ranges {
		unknown(g.StartUs)
		at = g.EndUs
		if !g.Recorded {
			out = append(out, wire.GapFact{
				ID: g.Gap.ID, Run: g.Gap.Run, Stream: stream, StartUs: g.StartUs, EndUs: g.EndUs, Reason: g.Gap.Reason, Detail: g.Gap.Detail,
			})
		}
	}
	unknown(toUs)
	return out, nil
}

// unavailable ends a clip without video, and names the nearest video there is.
func (r *Room) unavailable(ctx context.Context, c ledger.Clip) error {
	var err error
	c.State, c.Fact.Reason = wire.ClipUnavailable, "Nothing is recorded in this range."
	switch {
	case len(c.SHA256) > 0:
		c.State, c.Fact.Reason = wire.ClipLost, "The cut clip was damaged on the site's disk, and the recording it was cut from is deleted."
	case !r.Camera(c.Order.Camera):
		c.Fact.Reason = "The site's agent knows no such camera."
	}
	if c.Fact.NearestUs, err = nearest(ctx, r.Ledger, c.Source(), c.Order.StartUs, c.Order.EndUs); err != nil {
		return err
	}
	if c.Fact.Gaps, err = gaps(ctx, r.Ledger, c.Source(), c.Order.StartUs, c.Order.EndUs); err != nil {
		return err
	}
	c.File, c.Bytes, c.SHA256, c.Fact.Bytes, c.Fact.Sent = "", 0, nil, 0, 0
	return r.settle(ctx, c, true)
}

// nearest returns a moment of the video nearest to a range without any, 0 when there is none.
func nearest(ctx context.Context, l *ledger.Ledger, stream id.Stream, fromUs, toUs int64) (int64, error) {
	const day = int64(24 * time.Hour / time.Microsecond)
	stats, err := l.StreamStats(ctx)
	if err != nil {
		return 0, err
	}
	before, err := l.Segments(ctx, stream, fromUs-day, fromUs)
	if err != nil {
		return 0, err
	}
	after, err := l.Segments(ctx, stream, toUs, toUs+day)
	if err != nil {
		return 0, err
	}
	var moments []int64
	if s := stats[stream]; s.FirstUs > 0 {
		moments = append(moments, s.FirstUs, s.DurableUs-1)
	}
	if n := len(before); n > 0 {
		moments = append(moments, before[n-1].EndUs-1)
	}
	if len(after) > 0 {
		moments = append(moments, after[0].StartUs)
	}
	var found, best int64
	for _, at := range moments {
		if far := max(fromUs-at, at-toUs, 0); found == 0 || far < best {
			found, best = at, far
		}
	}
	return found, nil
}
