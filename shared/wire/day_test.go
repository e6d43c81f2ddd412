package wire

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"holdfast/shared/id"
)

func TestCanon(t *testing.T) {
	const s = int64(1_000_000)
	for name, c := range map[string]struct{ have, want []Covered }{
		"nothing":               {nil, nil},
		"abutting":              {[]Covered{{60*s + 1000, 120 * s, ""}, {0, 60 * s, ""}}, []Covered{{0, 120 * s, ""}}},
		"a hole":                {[]Covered{{60*s + 1001, 120 * s, ""}, {0, 60 * s, ""}}, []Covered{{0, 60 * s, ""}, {60*s + 1001, 120 * s, ""}}},
		"cut at the ends":       {[]Covered{{-5 * s, 5 * s, ""}, {990 * s, 2000 * s, ""}}, []Covered{{0, 5 * s, ""}, {990 * s, 1000 * s, ""}}},
		"slivers":               {[]Covered{{5 * s, 5*s + 900, ""}, {-s, 800, ""}}, nil},
		"own hides fetched":     {[]Covered{{0, 60 * s, "nvr"}, {20 * s, 40 * s, ""}}, []Covered{{0, 20 * s, "nvr"}, {20 * s, 40 * s, ""}, {40 * s, 60 * s, "nvr"}}},
		"origins by their name": {[]Covered{{0, 60 * s, "nvr"}, {20 * s, 80 * s, "card"}}, []Covered{{0, 20 * s, "nvr"}, {20 * s, 80 * s, "card"}}},
	} {
		if got := Canon(c.have, 0, 1000*s); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestCanonIsOneForm: whatever order and pieces ranges come in, their form is the same, and is its own form.
func TestCanonIsOneForm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var ranges []Covered
		for range 1 + r.IntN(12) {
			start := int64(r.IntN(30_000))
			ranges = append(ranges, Covered{start, start + 1 + int64(r.IntN(9000)), []string{"", "", "card", "nvr"}[r.IntN(4)]})
		}
		want := Canon(append([]Covered{}, ranges...), 2000, 28_000)
		var pieces []Covered
		for _, x := range ranges {
			middle := x.StartUs + (x.EndUs-x.StartUs)/2
			pieces = append(pieces, Covered{middle, x.EndUs, x.Origin}, Covered{x.StartUs, middle, x.Origin})
		}
		r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
		if got := Canon(pieces, 2000, 28_000); !reflect.DeepEqual(got, want) {
			t.Fatalf("%v in pieces: %v, want %v", ranges, got, want)
		}
		if again := Canon(append([]Covered{}, want...), 2000, 28_000); len(want) > 0 && !reflect.DeepEqual(again, want) {
			t.Fatalf("the form of %v is %v", want, again)
		}
	}
}

// TestHashesSurviveTheLine: a fact hashes alike before it is sent and after the other end has cleaned it.
func TestHashesSurviveTheLine(t *testing.T) {
	event := EventFact{
		ID: eventID, Kind: "door_opened", Source: "local", AtUs: 1, Text: "a\x00b\u202e <c>\xff\xfe\n",
		Data: json.RawMessage("{ \"a\": \"<b>\" }"),
	}
	var there EventFact
	if err := json.Unmarshal(mustJSON(event), &there); err != nil {
		t.Fatal(err)
	}
	there.Text = CleanText(there.Text, maxSentence)
	if HashEvent(event) != HashEvent(there) {
		t.Errorf("%q hashes otherwise than %q", event.Text, there.Text)
	}
	changed := there
	changed.EndUs = 5
	if HashEvent(changed) == HashEvent(there) {
		t.Error("an event with an end hashes like one without")
	}
	gap := GapFact{ID: 4, StartUs: 1, Reason: SlowDisk, Detail: "x\r\ny"}
	clean := GapFact{ID: 9, Run: 3, StartUs: 1, Reason: SlowDisk, Detail: "x  y"}
	if HashGap(gap) != HashGap(clean) || HashGap(gap) == HashGap(GapFact{StartUs: 1, Reason: Lost, Detail: "x  y"}) {
		t.Error("a gap's hash is not what it says alone")
	}
}

func TestSumDay(t *testing.T) {
	item := func(kind FactKind, hash uint64) ItemDigest {
		return ItemDigest{DayItem{Day: 3, Stream: id.Stream{Camera: cameraID}, Kind: kind}, Digest{Count: 1, Hash: hash}}
	}
	a, b, empty := item(KindEvent, 5), item(KindClip, 6), ItemDigest{DayItem: DayItem{Day: 3, Kind: KindEvent}}
	if got := SumDay(3, []ItemDigest{b, empty, a}); !reflect.DeepEqual(got, SumDay(3, []ItemDigest{a, b})) || got.Count != 2 || got.Day != 3 {
		t.Errorf("%+v", got)
	}
	if SumDay(3, []ItemDigest{item(KindEvent, 6), item(KindClip, 5)}).Digest == SumDay(3, []ItemDigest{a, b}).Digest {
		t.Error("what belongs to which item does not count")
	}
}

func TestDayLimits(t *testing.T) {
	stream := id.Stream{Camera: cameraID, Kind: id.Main}
	for name, k := range map[string]DayItem{
		"a negative day":     {Day: -1, Stream: stream, Kind: KindGap},
		"no stream":          {Day: 1, Stream: id.Stream{Camera: cameraID}, Kind: KindGap},
		"no camera":          {Day: 1, Stream: id.Stream{Kind: id.Main}, Kind: KindCoverage},
		"a stream of events": {Day: 1, Stream: stream, Kind: KindEvent},
		"another kind":       {Day: 1, Stream: id.Stream{Camera: cameraID}, Kind: KindRun},
	} {
		if k.Check() == nil {
			t.Errorf("%s is let in", name)
		}
	}
	good := Restatement{Epoch: "e", Seq: 1, Item: DayItem{Day: 1, Stream: stream, Kind: KindGap}, FromUs: DayUs, ToUs: 2 * DayUs}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Restatement){
		"no epoch":       func(r *Restatement) { r.Epoch = "" },
		"no number":      func(r *Restatement) { r.Seq = 0 },
		"another day":    func(r *Restatement) { r.ToUs++ },
		"too many facts": func(r *Restatement) { r.Gaps = make([]GapFact, MaxRestated+1) },
	} {
		r := good
		change(&r)
		if r.Check() == nil {
			t.Errorf("%s is let in", name)
		}
	}
	if (DayAsk{Epoch: "e", Open: make([]int64, MaxAskedDays+1)}).Check() == nil || (DayAsk{}).Check() == nil {
		t.Error("a DayAsk beyond the limits is let in")
	}
}
