package ingest

import (
	"context"
	"fmt"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/coverage"
	"holdfast/cloud/store/events"
	"holdfast/cloud/store/marks"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Restate takes over what a site holds of one item of a day, in one transaction with the mark that counts it. One that
// comes again, or after a later one, changes nothing. Facts that can't be applied are left out: they were parked when
// they came in their queue. Errors are as those of Days.
func (in *Ingest) Restate(ctx context.Context, ref agents.Ref, r wire.Restatement) (wire.Restated, error) {
	if err := r.Check(); err != nil {
		return wire.Restated{}, malformed("the restatement can't be read: %v", err)
	}
	if err := in.alone(ctx, ref, r.Epoch); err != nil {
		return wire.Restated{}, err
	}
	left := tidyRestatement(&r)
	leave, err := in.turn.enter(ctx, ref.Org, wire.Backlog)
	if err != nil {
		return wire.Restated{}, err
	}
	defer leave()
	w, err := in.restate(ctx, ref, r, false)
	if err != nil && final(err) {
		w, err = in.restate(ctx, ref, r, true)
	}
	if err != nil {
		return wire.Restated{}, fmt.Errorf("restate: %w", err)
	}
	for _, c := range w.changes() {
		in.deps.Changed(c)
	}
	if n := left + len(w.parked); n > 0 {
		in.deps.Log.Warn("facts of a past day can't be applied, although the site says them again", "site", ref.Site, "day", r.Item.Day,
			"kind", r.Item.Kind, "camera", r.Item.Stream.Camera, "count", n)
	}
	return wire.Restated{Seq: w.mark, Parked: left + len(w.parked)}, nil
}

// tidyRestatement leaves out what can't be applied, and returns how much that is.
func tidyRestatement(r *wire.Restatement) (left int) {
	r.Ranges, left = sieve(r.Ranges, left, func(c *wire.Covered) bool {
		return c.StartUs >= r.FromUs && c.EndUs <= r.ToUs && c.StartUs < c.EndUs && label(c.Origin)
	})
	r.Gaps, left = sieve(r.Gaps, left, func(g *wire.GapFact) bool {
		return checkGap(g) == nil && g.Stream == r.Item.Stream && g.StartUs >= r.FromUs && g.StartUs < r.ToUs
	})
	r.Events, left = sieve(r.Events, left, func(e *wire.EventFact) bool {
		return checkEvent(e) == nil && e.Camera == r.Item.Stream.Camera && e.AtUs/wire.DayUs == r.Item.Day
	})
	r.Clips, left = sieve(r.Clips, left, func(c *wire.ClipFact) bool { return checkClip(c) == nil })
	return left
}

func sieve[T any](list []T, left int, good func(*T) bool) ([]T, int) {
	out := list[:0:0]
	for i := range list {
		if good(&list[i]) {
			out = append(out, list[i])
		}
	}
	return out, left + len(list) - len(out)
}

// restate applies a restatement; careful, fact by fact where that can be done.
func (in *Ingest) restate(ctx context.Context, ref agents.Ref, r wire.Restatement, careful bool) (w *work, err error) {
	queue := marks.Queue{Org: ref.Org, Site: ref.Site, Agent: ref.Agent, Epoch: r.Epoch, Queue: marks.Restated}
	err = in.db.Tx(ctx, func(q store.Querier) error {
		w = &work{in: in, q: q, ref: ref, queue: queue, careful: careful, nowUs: time.Now().UnixMicro()}
		if err := marks.Lock(ctx, q, in.db.Postgres(), ref.Site); err != nil {
			return err
		}
		mark, err := marks.Get(ctx, q, ref.Scope(), queue)
		if err != nil {
			return err
		}
		if w.mark = max(mark, r.Seq); mark >= r.Seq {
			return nil
		}
		if c := r.Item.Stream.Camera; c != "" {
			_, own, err := marks.Claim(ctx, q, ref, []id.Camera{c}, w.nowUs)
			if err != nil {
				return err
			}
			if !own[c] {
				return wire.Refuse(wire.RefusedMissing, "camera %s is not one of this site", c)
			}
		}
		if err := w.takeOver(ctx, r); err != nil {
			return err
		}
		return marks.Move(ctx, q, queue, r.Seq, w.nowUs)
	})
	return w, err
}

func (w *work) takeOver(ctx context.Context, r wire.Restatement) error {
	stream := r.Item.Stream
	switch r.Item.Kind {
	case wire.KindCoverage:
		w.tell("coverage", stream.Camera, "")
		return coverage.Restate(ctx, w.q, w.ref.Org, stream, r.FromUs, r.ToUs, r.FirstUs, r.Ranges)
	case wire.KindGap:
		w.tell("coverage", stream.Camera, "")
		src := coverage.Source{Org: w.ref.Org, Agent: w.ref.Agent, Epoch: r.Epoch}
		return coverage.RestateGaps(ctx, w.q, src, stream, r.FromUs, r.ToUs, r.Seq, r.Gaps)
	case wire.KindEvent:
		return each(ctx, w, r.Events, w.takeEvents)
	default:
		return each(ctx, w, r.Clips, w.takeClips)
	}
}

// each applies facts together or, careful, one by one, and leaves out those that can't be applied.
func each[T any](ctx context.Context, w *work, list []T, apply func(context.Context, []T) error) error {
	if !w.careful {
		return apply(ctx, list)
	}
	for i := range list {
		refused, err := marks.Try(ctx, w.q, func() error { return apply(ctx, list[i:i+1]) })
		switch {
		case err != nil:
			return err
		case refused == nil:
		case final(refused):
			w.parked = append(w.parked, marks.Parked{Reason: refused.Error()})
		default:
			return refused
		}
	}
	return nil
}

func (w *work) takeEvents(ctx context.Context, list []wire.EventFact) error {
	fresh, err := events.Restate(ctx, w.q, w.ref.Org, w.ref.Site, list)
	if err == nil && len(fresh) > 0 && w.in.deps.Events != nil {
		err = w.in.deps.Events(ctx, w.q, w.ref, fresh)
	}
	for _, e := range list {
		w.tell("event", e.Camera, "")
	}
	return err
}

func (w *work) takeClips(ctx context.Context, list []wire.ClipFact) error {
	for _, c := range list {
		if w.in.deps.Clip == nil {
			return fmt.Errorf("%w: nobody takes facts about clips here", ErrPoison)
		}
		if err := w.in.deps.Clip(ctx, w.q, w.ref, c); err != nil {
			return err
		}
		w.tell("clip", "", string(c.Clip))
	}
	return nil
}
