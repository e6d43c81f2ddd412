package line_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"holdfast/cloud/gateway"
	"holdfast/cloud/store/agents"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/line"
)

// TestDaysOnTheLine: comparing days crosses the line as it is, in the name of the agent that asks, and a refusal too.
func TestDaysOnTheLine(t *testing.T) {
	item := wire.DayItem{Day: 20_000, Stream: id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}, Kind: wire.KindGap}
	ask := wire.DayAsk{Epoch: "e1", Days: []wire.DayDigest{{Day: 20_000, Digest: wire.Digest{Count: 3, Hash: 1<<64 - 1}}}, Open: []int64{1}, Facts: []wire.DayItem{item}}
	answer := wire.DayAnswer{Days: []wire.DayDigest{{Day: 20_000, Items: []wire.ItemDigest{{DayItem: item}}}}, Facts: [][]byte{{1, 2}}, Restated: 4}
	said := wire.Restatement{Epoch: "e1", Seq: 5, Item: item, FromUs: item.FromUs(), ToUs: item.FromUs() + 1, Gaps: []wire.GapFact{{ID: 3, Reason: wire.Lost}}}
	var asked []wire.DayAsk
	var told []wire.Restatement
	var by []agents.Ref
	r := newRig(t, func(_ *gateway.Config, h *gateway.Hooks) {
		h.Days = func(_ context.Context, ref agents.Ref, a wire.DayAsk) (wire.DayAnswer, error) {
			asked, by = append(asked, a), append(by, ref)
			return answer, nil
		}
		h.Restate = func(_ context.Context, ref agents.Ref, s wire.Restatement) (wire.Restated, error) {
			if told, by = append(told, s), append(by, ref); len(told) > 1 {
				return wire.Restated{}, wire.Refuse(wire.RefusedConflict, "another ledger")
			}
			return wire.Restated{Seq: s.Seq, Parked: 1}, nil
		}
	})
	me := r.enrol()
	a := run(t, me, echo)
	line.Get(t, a.opened, "welcome")
	got, err := a.Days(t.Context(), ask)
	if err != nil || !reflect.DeepEqual(got, answer) || !reflect.DeepEqual(asked, []wire.DayAsk{ask}) {
		t.Errorf("asked %+v, answered %+v, %v", asked, got, err)
	}
	restated, err := a.Restate(t.Context(), said)
	if err != nil || restated != (wire.Restated{Seq: 5, Parked: 1}) || !reflect.DeepEqual(told, []wire.Restatement{said}) {
		t.Errorf("told %+v, answered %+v, %v", told, restated, err)
	}
	var refusal *wire.Refusal
	if _, err := a.Restate(t.Context(), said); !errors.As(err, &refusal) || refusal.Code != wire.RefusedConflict {
		t.Errorf("refused with %v", err)
	}
	for _, ref := range by {
		if ref.Agent != me.Agent || ref.Site != r.Site {
			t.Errorf("in the name of %+v", ref)
		}
	}
}
