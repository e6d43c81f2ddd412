package coverage

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"holdfast/cloud/store"
	"holdfast/cloud/store/bulk"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Source names the queue that speaks. A ledger lets no word overtake the one that it corrects: both go into one
// queue, or the later one waits until the earlier is acked. So words are applied as they come.
type Source struct {
	Org   id.Org
	Agent id.Agent
	Epoch string
	Queue int64
}

// Word says of [StartUs, EndUs) of a stream that it is recorded, or, with Gone, that it was and is removed.
type Word struct {
	Stream         id.Stream
	StartUs, EndUs int64
	Origin         string
	Gone           wire.Reason
}

// window is a time range of one stream that words can touch, with the slack around them.
type window struct {
	stream id.Stream
	lo, hi int64
}

// Write applies words in their order. Saying the same again changes nothing.
func Write(ctx context.Context, q store.Querier, org id.Org, words []Word) error {
	known, err := loadSpans(ctx, q, windows(words))
	if err != nil {
		return err
	}
	said := map[id.Stream][]Word{}
	for _, w := range words {
		said[w.Stream] = append(said[w.Stream], w)
	}
	var c change
	for stream, words := range said {
		c.note(stream, known[stream], apply(known[stream], words))
	}
	return c.save(ctx, q, org)
}

// apply returns the spans after the words.
func apply(spans pieces, words []Word) pieces {
	now := slices.Clone(spans)
	for _, w := range words {
		p := piece{w.StartUs, w.EndUs, w.Origin, string(w.Gone)}
		if w.Gone != "" || w.Origin == "" {
			now = now.put(p)
			continue
		}
		// What the agent recorded itself is not replaced by what was fetched.
		for _, free := range now.without(p) {
			now = now.put(free)
		}
	}
	return now
}

// windows returns the time ranges that words touch, joined where they meet: short ones, so that a word about
// long ago and one about now do not read all that lies between.
func windows(words []Word) []window {
	sorted := slices.Clone(words)
	slices.SortFunc(sorted, func(a, b Word) int {
		return cmp.Or(cmp.Compare(a.Stream.Camera, b.Stream.Camera), cmp.Compare(a.Stream.Kind, b.Stream.Kind),
			cmp.Compare(a.StartUs, b.StartUs))
	})
	var out []window
	for _, w := range sorted {
		n := len(out) - 1
		if n < 0 || out[n].stream != w.Stream || w.StartUs-slackUs > out[n].hi {
			out = append(out, window{stream: w.Stream, lo: w.StartUs - slackUs})
			n++
		}
		out[n].hi = max(out[n].hi, w.EndUs+slackUs)
	}
	return out
}

// change collects the rows that differ after a write.
type change struct {
	gone  []row
	fresh []row
}

type row struct {
	stream id.Stream
	piece
}

func (c *change) note(stream id.Stream, old, now pieces) {
	gone, changed := now.diff(old)
	for _, start := range gone {
		c.gone = append(c.gone, row{stream, piece{start: start}})
	}
	for _, p := range changed {
		c.fresh = append(c.fresh, row{stream, p})
	}
}

func (c *change) save(ctx context.Context, q store.Querier, org id.Org) error {
	for _, r := range c.gone {
		_, err := q.ExecContext(ctx, `DELETE FROM span WHERE org = $1 AND camera = $2 AND stream = $3 AND start_us = $4`,
			org, r.stream.Camera, r.stream.Kind, r.start)
		if err != nil {
			return fmt.Errorf("remove span: %w", err)
		}
	}
	rows := bulk.New(7, len(c.fresh))
	for _, r := range c.fresh {
		rows.Add(org, r.stream.Camera, r.stream.Kind, r.start, r.end, r.origin, r.gone)
	}
	err := rows.Exec(ctx, q, `INSERT INTO span (org, camera, stream, start_us, end_us, origin, gone)`,
		`ON CONFLICT (camera, stream, start_us) DO UPDATE
		SET end_us = excluded.end_us, origin = excluded.origin, gone = excluded.gone`)
	if err != nil {
		return fmt.Errorf("write spans: %w", err)
	}
	return nil
}
