package ingest

import (
	"encoding/json"
	"testing"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// FuzzFact decodes anything as every kind of fact: it has a fault, or holds only what may be stored.
func FuzzFact(f *testing.F) {
	stream := id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}
	kinds := []wire.FactKind{
		wire.KindEvent, wire.KindCoverage, wire.KindGap, wire.KindTrim, wire.KindCondition, wire.KindRun, wire.KindOutage, wire.KindClip, "other",
	}
	for i, v := range []any{
		wire.EventFact{ID: id.New[id.Event](), Kind: "motion", Source: "nvr", AtUs: 5, Data: json.RawMessage(`{"a":[1]}`)},
		wire.CoverageFact{Stream: stream, Run: 1, Segment: 2, StartUs: 3, EndUs: 4, Bytes: 5, Root: make([]byte, 32)},
		wire.GapFact{ID: 1, Stream: stream, StartUs: 3, EndUs: 4, Reason: wire.Stalled, Detail: "x"},
		wire.TrimFact{Stream: stream, StartUs: 3, EndUs: 4, Reason: wire.Lost},
		wire.ConditionFact{Name: "disk", State: wire.Failing, Text: "full", SinceUs: 9},
		wire.RunFact{Run: 1, BootID: "b", WallUs: 5, EndMono: 6, EndedBy: wire.HostOff},
		wire.OutageFact{StartUs: 1, EndUs: 2, Text: "x"},
		wire.ClipFact{Clip: id.New[id.Clip](), State: wire.ClipQueued, AtUs: 4, StartUs: 1, EndUs: 2},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		for _, it := range decode([]wire.Fact{{Seq: 1, Kind: kinds[int(which)%len(kinds)], Body: body}}, 0) {
			if it.fault != nil {
				continue
			}
			switch v := it.value.(type) {
			case wire.CoverageFact:
				if v.EndUs <= v.StartUs || v.StartUs <= 0 || len(v.Origin) > maxLabel {
					t.Fatalf("%+v was taken", v)
				}
			case wire.GapFact:
				if v.EndUs != 0 && v.EndUs < v.StartUs || len([]rune(v.Detail)) > maxText {
					t.Fatalf("%+v was taken", v)
				}
			case wire.TrimFact:
				if v.EndUs <= v.StartUs {
					t.Fatalf("%+v was taken", v)
				}
			case wire.EventFact:
				if len(v.Data) > 0 && (v.Data[0] != '{' || !json.Valid(v.Data)) || len(v.Data) > maxData {
					t.Fatalf("%+v was taken", v)
				}
			}
		}
	})
}
