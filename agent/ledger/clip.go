package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// maxClipGaps bounds the gaps that one clip reports, so that the fact keeps below the wire's limit.
const maxClipGaps = 100

// Clip is a clip that the cloud has asked for.
type Clip struct {
	Order  wire.ClipOrder
	State  wire.ClipState
	File   string        // name of the cut clip, empty before it is cut
	Bytes  int64         // of the cut clip
	SHA256 []byte        // of the cut clip
	Fact   wire.ClipFact // what is reported of it; Clip and State are filled in
}

// Source returns the stream that the clip is cut from: the one that was ordered, or the one in its place.
func (c Clip) Source() id.Stream {
	kind := c.Order.Stream
	if c.Fact.Stream != "" {
		kind = c.Fact.Stream
	}
	return id.Stream{Camera: c.Order.Camera, Kind: kind}
}

// PutClip notes an order; fresh is false when the clip is known already. Of a known one that is not being cut yet the new
// range counts, and of every one the new priority.
func (l *Ledger) PutClip(ctx context.Context, o wire.ClipOrder) (fresh bool, err error) {
	if o.Clip == "" || o.EndUs <= o.StartUs {
		return false, fmt.Errorf("note clip: the order %q of [%d, %d) names no clip or no time", o.Clip, o.StartUs, o.EndUs)
	}
	wish, err := json.Marshal(o)
	if err != nil {
		return false, fmt.Errorf("note clip %s: %w", o.Clip, err)
	}
	err = l.write(ctx, "note clip "+string(o.Clip), func(t *tx) error {
		n, err := t.count(`INSERT INTO clip (id, state, wish) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			o.Clip, wire.ClipWanted, string(wish))
		if fresh = n > 0; err != nil || fresh {
			return err
		}
		if n, err = t.count(`UPDATE clip SET wish = ? WHERE id = ? AND state = ?`, string(wish), o.Clip, wire.ClipWanted); err != nil || n > 0 {
			return err
		}
		return t.exec(`UPDATE clip SET wish = json_set(wish, '$.priority', ?) WHERE id = ?`, int(o.Priority.Known()), o.Clip)
	})
	return fresh, err
}

// SetClip records how far a clip has come, and tells the cloud when announce is set. The error wraps ErrNotFound
// when the clip was dropped meanwhile, or lost.
func (l *Ledger) SetClip(ctx context.Context, c Clip, announce bool) error {
	return l.write(ctx, "record clip "+string(c.Order.Clip), func(t *tx) error { return t.setClip(c, announce) })
}

func (t *tx) setClip(c Clip, announce bool) error {
	c.Fact.Clip, c.Fact.State = c.Order.Clip, c.State
	c.Fact.OrderStartUs, c.Fact.OrderEndUs = c.Order.StartUs, c.Order.EndUs
	c.Fact.Gaps = c.Fact.Gaps[:min(len(c.Fact.Gaps), maxClipGaps)]
	c.Fact.Reason = cut(c.Fact.Reason, maxDetail)
	fact, err := json.Marshal(c.Fact)
	if err != nil {
		return fmt.Errorf("record clip %s: %w", c.Order.Clip, err)
	}
	n, err := t.count(`UPDATE clip SET state = ?1, file = ?, bytes = ?, sent = ?, sha256 = ?, fact = ? WHERE id = ?
		AND (state <> 'lost' OR ?1 = 'lost')`, c.State, c.File, c.Bytes, c.Fact.Sent, c.SHA256, string(fact), c.Order.Clip)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrNotFound
	}
	t.touch(wire.DayItem{Day: c.Order.StartUs / wire.DayUs, Stream: id.Stream{Camera: c.Order.Camera}, Kind: wire.KindClip})
	if !announce {
		return nil
	}
	where := liveQueue
	if urgentState(c.State) {
		where = urgentQueue
	}
	_, _, err = t.fact(where, wire.KindClip, c.Fact)
	return err
}

// Clips returns the clips in the given states, all of them without one, in the order of their IDs.
func (l *Ledger) Clips(ctx context.Context, states ...wire.ClipState) ([]Clip, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT state, wish, file, bytes, sha256, fact FROM clip ORDER BY id`)
	out, err := list(rows, err, func(rows *sql.Rows) (c Clip, err error) {
		var wish, fact string
		if err := rows.Scan(&c.State, &wish, &c.File, &c.Bytes, &c.SHA256, &fact); err != nil {
			return c, err
		}
		if err := json.Unmarshal([]byte(wish), &c.Order); err != nil {
			return c, fmt.Errorf("read a clip's order: %w", err)
		}
		if fact != "" {
			err = json.Unmarshal([]byte(fact), &c.Fact)
		}
		return c, err
	})
	out = slices.DeleteFunc(out, func(c Clip) bool { return len(states) > 0 && !slices.Contains(states, c.State) })
	return out, explain("read clips", err)
}

// DropClip forgets a clip: it is stored in the cloud, or no longer wanted.
func (l *Ledger) DropClip(ctx context.Context, clip id.Clip) error {
	return l.write(ctx, "drop clip "+string(clip), func(t *tx) error {
		k := wire.DayItem{Kind: wire.KindClip}
		err := t.get([]any{&k.Day, &k.Stream.Camera}, `DELETE FROM clip WHERE id = ? RETURNING json_extract(wish, '$.start_us'),
			json_extract(wish, '$.camera')`, clip)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		k.Day /= wire.DayUs
		t.touch(k)
		return err
	})
}
