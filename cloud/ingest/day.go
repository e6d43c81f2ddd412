package ingest

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/coverage"
	"holdfast/cloud/store/events"
	"holdfast/cloud/store/marks"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// alone is how long a ledger must have been the only one of its site that spoke before it may say what the site holds of
// past days. A copy of an agent that runs beside it, or in turn with it, does not know what the other has recorded.
const alone = 24 * time.Hour

// comparisons is how many sites are compared at once: reading days is work, and nobody waits for it.
const comparisons = 2

// Days compares days as a site holds them with what is here. The error is ErrBatch, a *wire.Refusal (conflict while
// another ledger of the site has spoken), or trouble with the database.
func (in *Ingest) Days(ctx context.Context, ref agents.Ref, ask wire.DayAsk) (wire.DayAnswer, error) {
	if err := ask.Check(); err != nil {
		return wire.DayAnswer{}, malformed("days can't be compared: %v", err)
	}
	if err := in.alone(ctx, ref, ask.Epoch); err != nil {
		return wire.DayAnswer{}, err
	}
	select {
	case in.comparing <- struct{}{}:
		defer func() { <-in.comparing }()
	case <-ctx.Done():
		return wire.DayAnswer{}, ctx.Err()
	}
	answer, err := in.days(ctx, ref, ask)
	if err != nil {
		return wire.DayAnswer{}, fmt.Errorf("compare days: %w", err)
	}
	return answer, nil
}

// alone refuses while another ledger of the site has spoken lately.
func (in *Ingest) alone(ctx context.Context, ref agents.Ref, epoch string) error {
	others, err := marks.Others(ctx, in.db.Read(), ref.Scope(), ref.Site, ref.Agent, epoch, time.Now().Add(-alone).UnixMicro())
	if err == nil && others {
		err = wire.Refuse(wire.RefusedConflict, "another ledger of this site has reported within the last day: days are compared once there is only one")
	}
	return err
}

func (in *Ingest) days(ctx context.Context, ref agents.Ref, ask wire.DayAsk) (answer wire.DayAnswer, err error) {
	held, err := in.holdings(ctx, ref)
	if err != nil {
		return answer, err
	}
	oldest := time.Now().Add(-in.cfg.Keep).UnixMicro()/wire.DayUs + 1 // what is older is swept, whatever the site holds
	for _, d := range ask.Days {
		if d.Day <= oldest {
			continue
		}
		items, err := held.digests(ctx, d.Day)
		if err != nil {
			return answer, err
		}
		if here := wire.SumDay(d.Day, items); here.Digest != d.Digest {
			answer.Days = append(answer.Days, here)
		}
	}
	for _, day := range ask.Open {
		items, err := held.digests(ctx, day)
		if err != nil {
			return answer, err
		}
		here := wire.SumDay(day, items)
		here.Items = items
		answer.Days = append(answer.Days, here)
	}
	if answer.Facts, err = held.hashes(ctx, ask.Facts); err != nil {
		return answer, err
	}
	queue := marks.Queue{Org: ref.Org, Site: ref.Site, Agent: ref.Agent, Epoch: ask.Epoch, Queue: marks.Restated}
	answer.Restated, err = marks.Get(ctx, in.db.Read(), ref.Scope(), queue)
	return answer, err
}

// holdings is what is here of one site.
type holdings struct {
	in      *Ingest
	ref     agents.Ref
	cameras []id.Camera
	streams []id.Stream
}

func (in *Ingest) holdings(ctx context.Context, ref agents.Ref) (*holdings, error) {
	h := &holdings{in: in, ref: ref}
	var err error
	h.cameras, err = marks.Cameras(ctx, in.db.Read(), ref.Scope(), ref.Site)
	for _, c := range h.cameras {
		h.streams = append(h.streams, id.Stream{Camera: c, Kind: id.Main}, id.Stream{Camera: c, Kind: id.Sub})
	}
	return h, err
}

// digests returns the items of a day that hold something, in no order.
func (h *holdings) digests(ctx context.Context, day int64) ([]wire.ItemDigest, error) {
	sums := map[wire.DayItem]*wire.Digest{}
	err := h.facts(ctx, day, func(of wire.DayItem, hash uint64) {
		if sums[of] == nil {
			sums[of] = &wire.Digest{}
		}
		sums[of].Add(hash)
	})
	out := make([]wire.ItemDigest, 0, len(sums))
	for k, d := range sums {
		out = append(out, wire.ItemDigest{DayItem: k, Digest: *d})
	}
	return out, err
}

// hashes returns the hashes of the items' facts, 8 bytes each.
func (h *holdings) hashes(ctx context.Context, items []wire.DayItem) ([][]byte, error) {
	lists, read := map[wire.DayItem][]byte{}, map[int64]bool{}
	for _, k := range items {
		lists[k] = []byte{}
	}
	out := make([][]byte, 0, len(items))
	for _, k := range items {
		if !read[k.Day] {
			read[k.Day] = true
			err := h.facts(ctx, k.Day, func(of wire.DayItem, hash uint64) {
				if list, asked := lists[of]; asked {
					lists[of] = binary.BigEndian.AppendUint64(list, hash)
				}
			})
			if err != nil {
				return nil, err
			}
		}
		out = append(out, lists[k])
	}
	return out, nil
}

// facts calls each with every fact of a day that is compared.
func (h *holdings) facts(ctx context.Context, day int64, each func(of wire.DayItem, hash uint64)) error {
	q, scope, from, to := h.in.db.Read(), h.ref.Scope(), day*wire.DayUs, (day+1)*wire.DayUs
	recorded, err := coverage.Recorded(ctx, q, h.streams, from, to)
	if err != nil {
		return err
	}
	for s, ranges := range recorded {
		for _, r := range ranges {
			each(wire.DayItem{Day: day, Stream: s, Kind: wire.KindCoverage}, wire.HashRange(r))
		}
	}
	err = coverage.GapsOf(ctx, q, scope, h.streams, from, to, func(g wire.GapFact) {
		each(wire.DayItem{Day: day, Stream: g.Stream, Kind: wire.KindGap}, wire.HashGap(g))
	})
	if err != nil {
		return err
	}
	err = events.Day(ctx, q, scope, h.ref.Site, from, to, func(e wire.EventFact) {
		each(wire.DayItem{Day: day, Stream: id.Stream{Camera: e.Camera}, Kind: wire.KindEvent}, wire.HashEvent(e))
	})
	if err != nil {
		return err
	}
	for _, camera := range h.cameras {
		list, err := clips.ToldOf(ctx, q, scope, camera, from, to)
		if err != nil {
			return err
		}
		for _, c := range list {
			each(wire.DayItem{Day: day, Stream: id.Stream{Camera: camera}, Kind: wire.KindClip}, wire.HashClip(c.Clip, c.State))
		}
	}
	return nil
}
