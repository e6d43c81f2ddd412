package ingest

import (
	"context"
	"errors"
	"fmt"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/coverage"
	"holdfast/cloud/store/events"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/marks"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// work is one batch inside its transaction.
type work struct {
	in    *Ingest
	q     store.Querier
	ref   agents.Ref
	queue marks.Queue
	nowUs int64

	careful bool // one fact after the other, each inside a savepoint

	mark   int64 // after the batch
	parked []marks.Parked
	told   []Change
	seen   map[Change]bool
}

// run applies the items that the mark has not passed, and moves the mark.
func (w *work) run(ctx context.Context, first int64, items []item) error {
	if err := marks.Lock(ctx, w.q, w.in.db.Postgres(), w.ref.Site); err != nil {
		return err
	}
	mark, err := marks.Get(ctx, w.q, w.ref.Scope(), w.queue)
	if err != nil {
		return err
	}
	if first > mark+1 {
		return &AheadError{Queue: w.queue.Queue, Mark: mark, First: first}
	}
	w.mark = mark
	for len(items) > 0 && items[0].seq <= mark {
		items = items[1:]
	}
	if len(items) == 0 {
		return nil
	}
	w.mark = items[len(items)-1].seq
	good, err := w.sort(ctx, items)
	if err != nil {
		return err
	}
	if err := w.apply(ctx, good); err != nil {
		return err
	}
	if err := marks.Park(ctx, w.q, w.parked); err != nil {
		return err
	}
	return marks.Move(ctx, w.q, w.queue, w.mark, w.nowUs)
}

// sort parks what is faulty or about a camera of another site, and returns the rest.
func (w *work) sort(ctx context.Context, items []item) ([]item, error) {
	var cameras []id.Camera
	asked := map[id.Camera]bool{}
	for _, it := range items {
		if it.fault == nil && it.camera != "" && !asked[it.camera] {
			asked[it.camera] = true
			cameras = append(cameras, it.camera)
		}
	}
	fresh, own, err := marks.Claim(ctx, w.q, w.ref, cameras, w.nowUs)
	if err != nil {
		return nil, err
	}
	for _, c := range fresh {
		w.tell("camera", c, "")
	}
	good := items[:0:0]
	for _, it := range items {
		if it.fault == nil && it.camera != "" && !own[it.camera] {
			it.fault = fmt.Errorf("camera %s is not one of this site", it.camera)
		}
		if it.fault != nil {
			w.park(it, it.fault)
			continue
		}
		good = append(good, it)
	}
	return good, nil
}

func (w *work) park(it item, why error) {
	body := append([]byte{}, it.body...) // not nil, which would be NULL
	w.parked = append(w.parked, marks.Parked{
		Queue: w.queue, Seq: it.seq, Kind: tidy(string(it.kind)), Body: body, Reason: tidy(why.Error()), AtUs: w.nowUs,
	})
}

// apply applies the items together or, careful, one by one.
func (w *work) apply(ctx context.Context, items []item) error {
	if !w.careful {
		return w.write(ctx, items)
	}
	for _, it := range items {
		refused, err := marks.Try(ctx, w.q, func() error { return w.write(ctx, []item{it}) })
		switch {
		case err != nil:
			return err
		case refused == nil:
		case final(refused):
			w.park(it, refused)
		default:
			return refused
		}
	}
	return nil
}

// final reports whether an error is about the fact itself, which no repetition heals.
func final(err error) bool { return errors.Is(err, ErrPoison) || marks.Refused(err) }

// facts are the items of a batch by kind, each kind in order.
type facts struct {
	words      []coverage.Word
	made       []coverage.Made
	gaps       []coverage.GapWord
	events     []wire.EventFact
	conditions []wire.ConditionFact
	runs       []health.RunWord
	outages    []wire.OutageFact
	clips      []wire.ClipFact
}

func group(items []item) facts {
	var f facts
	for _, it := range items {
		switch v := it.value.(type) {
		case wire.EventFact:
			f.events = append(f.events, v)
		case wire.CoverageFact:
			f.words = append(f.words, coverage.Word{Stream: v.Stream, StartUs: v.StartUs, EndUs: v.EndUs, Origin: v.Origin})
			f.made = append(f.made, coverage.Made{Stream: v.Stream, StartUs: v.StartUs, EndUs: v.EndUs, Bytes: v.Bytes})
		case wire.TrimFact:
			f.words = append(f.words, coverage.Word{Stream: v.Stream, StartUs: v.StartUs, EndUs: v.EndUs, Gone: v.Reason})
		case wire.GapFact:
			f.gaps = append(f.gaps, coverage.GapWord{GapFact: v, Seq: it.seq})
		case wire.ConditionFact:
			f.conditions = append(f.conditions, v)
		case wire.RunFact:
			f.runs = append(f.runs, health.RunWord{RunFact: v, Seq: it.seq})
		case wire.OutageFact:
			f.outages = append(f.outages, v)
		case wire.ClipFact:
			f.clips = append(f.clips, v)
		}
	}
	return f
}

func (w *work) write(ctx context.Context, items []item) error {
	f := group(items)
	if err := w.writeMedia(ctx, f); err != nil {
		return err
	}
	if err := w.writeHealth(ctx, f); err != nil {
		return err
	}
	fresh, err := events.Put(ctx, w.q, w.ref.Org, w.ref.Site, f.events)
	if err != nil {
		return err
	}
	if len(fresh) > 0 && w.in.deps.Events != nil {
		if err := w.in.deps.Events(ctx, w.q, w.ref, fresh); err != nil {
			return err
		}
	}
	for _, e := range fresh {
		w.tell("event", e.Camera, "")
	}
	for _, c := range f.clips {
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

func (w *work) writeMedia(ctx context.Context, f facts) error {
	if err := coverage.Write(ctx, w.q, w.ref.Org, f.words); err != nil {
		return err
	}
	if err := coverage.Count(ctx, w.q, w.ref.Org, f.made); err != nil {
		return err
	}
	src := coverage.Source{Org: w.ref.Org, Agent: w.ref.Agent, Epoch: w.queue.Epoch, Queue: w.queue.Queue}
	if err := coverage.WriteGaps(ctx, w.q, src, f.gaps); err != nil {
		return err
	}
	for _, v := range f.words {
		w.tell("coverage", v.Stream.Camera, "")
	}
	for _, g := range f.gaps {
		w.tell("coverage", g.Stream.Camera, "")
	}
	return nil
}

func (w *work) writeHealth(ctx context.Context, f facts) error {
	src := health.Source{Ref: w.ref, Epoch: w.queue.Epoch, Queue: w.queue.Queue}
	if err := health.PutRuns(ctx, w.q, src, f.runs); err != nil {
		return err
	}
	if err := health.PutOutages(ctx, w.q, w.ref, f.outages); err != nil {
		return err
	}
	for _, c := range f.conditions {
		if err := health.PutCondition(ctx, w.q, w.ref, c); err != nil {
			return err
		}
	}
	if len(f.runs)+len(f.outages)+len(f.conditions) > 0 {
		w.tell("site", "", "")
	}
	return nil
}

// tell notes a change once.
func (w *work) tell(kind string, camera id.Camera, what string) {
	c := Change{Org: w.ref.Org, Site: w.ref.Site, Camera: camera, Kind: kind, ID: what}
	if w.seen[c] {
		return
	}
	if w.seen == nil {
		w.seen = map[Change]bool{}
	}
	w.seen[c] = true
	w.told = append(w.told, c)
}

func (w *work) changes() []Change { return w.told }

func (w *work) ack() wire.Ack {
	ack := wire.Ack{Queue: w.queue.Queue, Seq: w.mark}
	for _, p := range w.parked {
		ack.Parked = append(ack.Parked, p.Seq)
	}
	return ack
}
