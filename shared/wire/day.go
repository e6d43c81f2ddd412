package wire

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/shared/id"
)

// DayUs is the length of a day, microseconds. Days are those of UTC, numbered from 1970.
const DayUs = int64(86_400_000_000)

// Limits of comparing days.
const (
	MaxAskedDays = 64  // days of one DayAsk, and as many for Open
	MaxAskedKeys = 64  // items of DayAsk.Facts
	MaxRestated  = 500 // facts of one Restatement
)

// Digest is a count and an order-independent hash of facts: what two ends hold is the same if their digests are.
type Digest struct {
	Count int64  `json:"n"`
	Hash  uint64 `json:"h"` // sum of the facts' hashes, modulo 2^64
}

// Add counts one fact by its hash.
func (d *Digest) Add(hash uint64) {
	d.Count++
	d.Hash += hash
}

// DayItem names what is compared: the facts of one kind about one stream and one UTC day. Coverage lies in the day,
// cut at its ends; gaps, events and clips begin in it. Events and clips are a camera's: their Stream has no Kind, and
// an event of the site itself no Camera either.
type DayItem struct {
	Day    int64     `json:"day"`
	Stream id.Stream `json:"stream"`
	Kind   FactKind  `json:"kind"` // coverage, gap, event or clip
}

// FromUs returns where the day begins.
func (k DayItem) FromUs() int64 { return k.Day * DayUs }

// Check reports whether the item is one that can be compared.
func (k DayItem) Check() error {
	streamed := k.Kind == KindCoverage || k.Kind == KindGap
	switch {
	case k.Day < 0 || k.Day > 1<<20:
		return fmt.Errorf("%d is not a day", k.Day)
	case streamed && !k.Stream.Kind.Valid(), !streamed && k.Stream.Kind != "":
		return fmt.Errorf("%q is not a stream of such facts", k.Stream.Kind)
	case !streamed && k.Kind != KindEvent && k.Kind != KindClip:
		return fmt.Errorf("facts of kind %q are not compared", k.Kind)
	case k.Stream.Camera == "" && k.Kind == KindEvent:
		return nil
	}
	_, err := id.Parse[id.Camera](string(k.Stream.Camera))
	return err
}

// ItemDigest is what one end holds of an item.
type ItemDigest struct {
	DayItem
	Digest
}

// DayDigest is what one end holds of a day, all items together; Items are listed where they were asked for.
type DayDigest struct {
	Day int64 `json:"day"`
	Digest
	Items []ItemDigest `json:"items,omitempty"`
}

// SumDay adds items up; those that hold nothing count for nothing.
func SumDay(day int64, items []ItemDigest) DayDigest {
	out := DayDigest{Day: day}
	for _, it := range items {
		if it.Count == 0 {
			continue
		}
		key := hashOf(func(b []byte) []byte {
			b = binary.BigEndian.AppendUint64(word(word(word(b, string(it.Stream.Camera)), string(it.Stream.Kind)), string(it.Kind)), it.Hash)
			return binary.BigEndian.AppendUint64(b, uint64(it.Count))
		})
		out.Count += it.Count
		out.Hash += key
	}
	return out
}

// DayAsk compares days that have ended. Since version 2.
type DayAsk struct {
	Epoch string      `json:"epoch"`
	Days  []DayDigest `json:"days"`  // what the site holds; those that differ are answered
	Open  []int64     `json:"open"`  // days whose items are asked for
	Facts []DayItem   `json:"facts"` // items whose facts are asked for, each by its hash
}

// Check reports whether a DayAsk keeps its limits.
func (a DayAsk) Check() error {
	if a.Epoch == "" || len(a.Epoch) > maxEpoch {
		return errors.New("the epoch is missing or too long")
	}
	if len(a.Days) > MaxAskedDays || len(a.Open) > MaxAskedDays || len(a.Facts) > MaxAskedKeys {
		return fmt.Errorf("%d days, %d open ones and %d items are asked at once", len(a.Days), len(a.Open), len(a.Facts))
	}
	for _, d := range a.Days {
		if d.Day < 0 || d.Day > 1<<20 {
			return fmt.Errorf("%d is not a day", d.Day)
		}
	}
	for _, d := range a.Open {
		if d < 0 || d > 1<<20 {
			return fmt.Errorf("%d is not a day", d)
		}
	}
	for _, k := range a.Facts {
		if err := k.Check(); err != nil {
			return err
		}
	}
	return nil
}

// DayAnswer is what the cloud holds. Since version 2.
type DayAnswer struct {
	Days     []DayDigest `json:"days"`     // of the days that were asked, those that differ; behind them the open ones with their items
	Facts    [][]byte    `json:"facts"`    // for each of DayAsk.Facts, the hashes of its facts, 8 bytes each
	Restated int64       `json:"restated"` // Seq of the newest Restatement of this epoch that was applied; 0: none yet
}

// Restatement says what the site holds of an item, after days were found to differ. For coverage and gaps it is the whole
// of [FromUs, ToUs): the cloud takes it over and drops what else it has there. Events and clips are added or
// replaced, and none are dropped. The cloud applies restatements of an epoch once, in the order of Seq. Since version 2.
type Restatement struct {
	Epoch  string  `json:"epoch"`
	Seq    int64   `json:"seq"` // above DayAnswer.Restated, and rising
	Item   DayItem `json:"item"`
	FromUs int64   `json:"from_us"`
	ToUs   int64   `json:"to_us"`
	// FirstUs is where the oldest video of the stream at the site begins; 0: there is none. What the cloud knows from
	// before it has expired, what it knows from after it and the site does not is lost.
	FirstUs int64       `json:"first_us"`
	Ranges  []Covered   `json:"ranges,omitempty"`
	Gaps    []GapFact   `json:"gaps,omitempty"`
	Events  []EventFact `json:"events,omitempty"`
	Clips   []ClipFact  `json:"clips,omitempty"`
}

// Check reports whether a Restatement keeps its limits.
func (r *Restatement) Check() error {
	day := r.Item.FromUs()
	switch {
	case r.Epoch == "" || len(r.Epoch) > maxEpoch:
		return errors.New("the epoch is missing or too long")
	case r.Seq < 1:
		return errors.New("restatements are numbered from 1")
	case r.FromUs < day || r.ToUs > day+DayUs || r.FromUs >= r.ToUs:
		return fmt.Errorf("[%d, %d) does not lie in day %d", r.FromUs, r.ToUs, r.Item.Day)
	case len(r.Ranges)+len(r.Gaps)+len(r.Events)+len(r.Clips) > MaxRestated:
		return fmt.Errorf("more than %d facts are restated at once", MaxRestated)
	}
	return r.Item.Check()
}

// Restated answers a Restatement after the cloud's commit. Since version 2.
type Restated struct {
	Seq int64 `json:"seq"` // of the newest one that was applied; above the Restatement's own: it came too late and was left out
	// Parked is how many of its facts could not be applied and were kept aside.
	Parked int `json:"parked,omitempty"`
}

// Covered is a range of recorded video.
type Covered struct {
	StartUs int64  `json:"start_us"`
	EndUs   int64  `json:"end_us"`
	Origin  string `json:"origin,omitempty"` // empty: recorded by the agent
}

// abutUs is how far apart two recorded ranges may be and still be one.
const abutUs = 1000

// Canon brings recorded ranges, which may overlap, into the one form in which both ends compare them: disjoint, in
// order, cut to [fromUs, toUs), those of one origin joined where they abut; the agent's own hide fetched ones, and a
// fetched one those whose origin comes later in the alphabet. What is shorter than a millisecond is left out.
func Canon(ranges []Covered, fromUs, toUs int64) []Covered {
	byOrigin := map[string][]Covered{}
	for _, r := range ranges {
		byOrigin[r.Origin] = append(byOrigin[r.Origin], r)
	}
	var origins []string
	for o := range byOrigin {
		origins = append(origins, o)
	}
	slices.Sort(origins)
	var laid []Covered
	for _, o := range origins {
		for _, r := range joined(byOrigin[o]) {
			laid = append(laid, rest(r, laid)...)
		}
		slices.SortFunc(laid, func(a, b Covered) int { return cmp.Compare(a.StartUs, b.StartUs) })
	}
	var out []Covered
	for _, r := range joinedInOrder(laid) {
		r.StartUs, r.EndUs = max(r.StartUs, fromUs), min(r.EndUs, toUs)
		if r.EndUs-r.StartUs > abutUs {
			out = append(out, r)
		}
	}
	return joinedInOrder(out) // what was left out may have lain between two
}

// joined joins ranges of one origin.
func joined(ranges []Covered) []Covered {
	slices.SortFunc(ranges, func(a, b Covered) int { return cmp.Compare(a.StartUs, b.StartUs) })
	return joinedInOrder(ranges)
}

func joinedInOrder(ranges []Covered) []Covered {
	var out []Covered
	for _, r := range ranges {
		if n := len(out); n > 0 && out[n-1].Origin == r.Origin && r.StartUs <= out[n-1].EndUs+abutUs {
			out[n-1].EndUs = max(out[n-1].EndUs, r.EndUs)
			continue
		}
		out = append(out, r)
	}
	return out
}

// rest returns what of r the others, disjoint and in order, leave free.
func rest(r Covered, others []Covered) []Covered {
	var out []Covered
	for _, o := range others {
		if o.EndUs <= r.StartUs || o.StartUs >= r.EndUs {
			continue
		}
		if o.StartUs > r.StartUs {
			out = append(out, Covered{r.StartUs, o.StartUs, r.Origin})
		}
		r.StartUs = max(r.StartUs, o.EndUs)
	}
	if r.StartUs < r.EndUs {
		out = append(out, r)
	}
	return out
}

// HashRange returns the hash of a range in its canonical form.
func HashRange(r Covered) uint64 {
	return hashOf(func(b []byte) []byte { return word(number(number(b, r.StartUs), r.EndUs), r.Origin) })
}

// HashGap returns the hash of a gap: what it says, not where it was numbered.
func HashGap(g GapFact) uint64 {
	return hashOf(func(b []byte) []byte {
		return word(word(number(number(b, g.StartUs), g.EndUs), string(g.Reason)), plain(g.Detail))
	})
}

// HashEvent returns the hash of an event.
func HashEvent(e EventFact) uint64 {
	return hashOf(func(b []byte) []byte {
		b = word(word(word(word(b, string(e.ID)), string(e.Camera)), e.Kind), e.Source)
		return word(word(number(number(b, e.AtUs), e.EndUs), plain(e.Text)), compact(e.Data))
	})
}

// HashClip returns the hash of a clip's state.
func HashClip(clip id.Clip, state ClipState) uint64 {
	return hashOf(func(b []byte) []byte { return word(word(b, string(clip)), string(state)) })
}

func hashOf(fill func([]byte) []byte) uint64 {
	var room [512]byte
	sum := sha256.Sum256(fill(room[:0]))
	return binary.BigEndian.Uint64(sum[:8])
}

func number(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

// word appends a text behind its length, so that no two lists of words are the same bytes.
func word(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// plain is what is left of a sentence when it has crossed the line and was cleaned there.
func plain(s string) string {
	if simple(s, "") {
		return s
	}
	var b strings.Builder
	for _, r := range s { // each wrong byte becomes one replacement character, as in JSON
		b.WriteRune(r)
	}
	return CleanText(b.String(), maxSentence)
}

// simple reports whether a short text is of visible ASCII characters, without those of but: such a text stays as it is.
func simple(s, but string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || strings.IndexByte(but, s[i]) >= 0 {
			return false
		}
	}
	return len(s) <= maxSentence
}

// maxSentence bounds the sentences of facts that the cloud keeps, in characters.
const maxSentence = 4 << 10

// compact is how an object crosses the line: without spaces, and with what JSON escapes.
func compact(data json.RawMessage) string {
	if len(data) == 0 {
		return ""
	}
	if s := string(data); s != "null" && simple(s, " <>&") {
		return s
	}
	text, err := json.Marshal(data)
	if err != nil || bytes.Equal(text, []byte("null")) {
		return ""
	}
	return string(text)
}
