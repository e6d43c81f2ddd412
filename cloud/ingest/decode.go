package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Bounds of what a fact may hold.
const (
	maxData    = 8 << 10                     // bytes of an event's data
	maxText    = 4 << 10                     // characters of a text for a person; more is cut
	maxLabel   = 128                         // bytes of a boot ID, a version, an origin
	maxTimeUs  = 4_102_444_800_000_000       // the year 2100
	maxSegment = int64(7*24*time.Hour) / 1e3 // µs; a segment is about a minute
)

// item is one fact of a batch, decoded. A fault says why it can't be applied.
type item struct {
	seq    int64
	kind   wire.FactKind
	body   []byte
	value  any       // the body's type
	camera id.Camera // which the fact is about; empty: none
	fault  error
}

// decode reads the facts above mark.
func decode(facts []wire.Fact, mark int64) []item {
	out := make([]item, 0, len(facts))
	for _, f := range facts {
		if f.Seq <= mark {
			continue
		}
		it := item{seq: f.Seq, kind: f.Kind, body: f.Body}
		switch {
		case len(f.Body) > wire.MaxFactBytes:
			it.fault = fmt.Errorf("it has %d bytes, at most %d are allowed", len(f.Body), wire.MaxFactBytes)
			it.body = f.Body[:wire.MaxFactBytes]
		case !utf8.Valid(f.Body):
			it.fault = errors.New("it is not valid UTF-8")
		default:
			it.value, it.camera, it.fault = decodeBody(f.Kind, f.Body)
		}
		out = append(out, it)
	}
	return out
}

func decodeBody(kind wire.FactKind, body []byte) (any, id.Camera, error) {
	switch kind {
	case wire.KindEvent:
		f, err := read(body, checkEvent)
		return f, f.Camera, err
	case wire.KindCoverage:
		f, err := read(body, checkCoverage)
		return f, f.Stream.Camera, err
	case wire.KindGap:
		f, err := read(body, checkGap)
		return f, f.Stream.Camera, err
	case wire.KindTrim:
		f, err := read(body, checkTrim)
		return f, f.Stream.Camera, err
	case wire.KindCondition:
		f, err := read(body, checkCondition)
		return f, f.Camera, err
	case wire.KindRun:
		f, err := read(body, checkRun)
		return f, "", err
	case wire.KindOutage:
		f, err := read(body, checkOutage)
		return f, "", err
	case wire.KindClip:
		f, err := read(body, checkClip)
		return f, "", err
	default:
		return nil, "", fmt.Errorf("this cloud knows no fact of kind %.80q", string(kind))
	}
}

func read[T any](body []byte, check func(*T) error) (T, error) {
	var f T
	if err := json.Unmarshal(body, &f); err != nil {
		return f, fmt.Errorf("it is not the JSON of such a fact: %w", err)
	}
	return f, check(&f)
}

func checkEvent(f *wire.EventFact) error {
	if _, err := id.Parse[id.Event](string(f.ID)); err != nil {
		return err
	}
	if err := optionalCamera(f.Camera); err != nil {
		return err
	}
	data := bytes.TrimSpace(f.Data)
	if bytes.Equal(data, []byte("null")) {
		data = nil
	}
	f.Data, f.Text = data, tidy(f.Text)
	switch {
	case !word(f.Kind, 64) || strings.ToLower(f.Kind) != f.Kind:
		return fmt.Errorf("the kind %.80q is not made of lower case letters, digits and underscores", f.Kind)
	case !word(f.Source, 64):
		return fmt.Errorf("the source %.80q is not made of letters, digits and underscores", f.Source)
	case !sane(f.AtUs) || f.EndUs != 0 && (!sane(f.EndUs) || f.EndUs < f.AtUs):
		return fmt.Errorf("its time %d to %d is no time", f.AtUs, f.EndUs)
	case len(data) > maxData:
		return fmt.Errorf("its data has %d bytes, at most %d are allowed", len(data), maxData)
	case len(data) > 0 && data[0] != '{':
		return errors.New("its data is not a JSON object")
	}
	return nil
}

func checkCoverage(f *wire.CoverageFact) error {
	if err := checkStream(f.Stream); err != nil {
		return err
	}
	switch {
	case !sane(f.StartUs) || !sane(f.EndUs) || f.StartUs >= f.EndUs || f.EndUs-f.StartUs > maxSegment:
		return fmt.Errorf("its time %d to %d is no segment's", f.StartUs, f.EndUs)
	case f.Bytes < 0:
		return fmt.Errorf("its size %d is negative", f.Bytes)
	case len(f.Root) != 32 && len(f.Root) != 0:
		return fmt.Errorf("its root has %d bytes, not 32", len(f.Root))
	case f.Origin != "" && !label(f.Origin):
		return fmt.Errorf("its origin %.80q is not a short word", f.Origin)
	}
	return nil
}

func checkGap(f *wire.GapFact) error {
	if err := checkStream(f.Stream); err != nil {
		return err
	}
	f.Detail = tidy(f.Detail)
	switch {
	case f.ID < 1:
		return fmt.Errorf("its ID %d is not above 0", f.ID)
	case !sane(f.StartUs) || f.EndUs != 0 && (!sane(f.EndUs) || f.EndUs < f.StartUs):
		return fmt.Errorf("its time %d to %d is no time", f.StartUs, f.EndUs)
	}
	return checkReason(f.Reason)
}

func checkTrim(f *wire.TrimFact) error {
	if err := checkStream(f.Stream); err != nil {
		return err
	}
	if !sane(f.StartUs) || !sane(f.EndUs) || f.StartUs >= f.EndUs {
		return fmt.Errorf("its time %d to %d is no time", f.StartUs, f.EndUs)
	}
	switch f.Reason {
	case wire.Expired, wire.DeletedByPerson, wire.Lost:
		return nil
	default:
		return fmt.Errorf("the reason %.80q does not say why video is gone", string(f.Reason))
	}
}

func checkCondition(f *wire.ConditionFact) error {
	if err := optionalCamera(f.Camera); err != nil {
		return err
	}
	f.Text = tidy(f.Text)
	switch {
	case !word(f.Name, 64):
		return fmt.Errorf("the name %.80q is not made of letters, digits and underscores", f.Name)
	case f.Kind != "" && !id.StreamKind(f.Kind).Valid():
		return fmt.Errorf("%.80q is not a stream", f.Kind)
	case f.State != wire.OK && f.State != wire.Failing && f.State != wire.StateUnknown:
		return fmt.Errorf("%.80q is not a state", string(f.State))
	case !sane(f.SinceUs):
		return fmt.Errorf("its time %d is no time", f.SinceUs)
	case f.Reason == "":
		return nil
	}
	return checkReason(f.Reason)
}

func checkRun(f *wire.RunFact) error {
	switch {
	case f.Run < 1:
		return fmt.Errorf("its number %d is not above 0", f.Run)
	case !sane(f.WallUs) || f.EndMono < 0 || f.EndMono > maxTimeUs:
		return fmt.Errorf("its time %d + %d is no time", f.WallUs, f.EndMono)
	case !label(f.BootID) || !label(f.AgentVer):
		return errors.New("its boot ID or version is too long or not printable")
	case f.EndedBy == "":
		return nil
	}
	return checkReason(f.EndedBy)
}

func checkOutage(f *wire.OutageFact) error {
	f.Text = tidy(f.Text)
	if !sane(f.StartUs) || !sane(f.EndUs) || f.EndUs < f.StartUs {
		return fmt.Errorf("its time %d to %d is no time", f.StartUs, f.EndUs)
	}
	return nil
}

func checkClip(f *wire.ClipFact) error {
	if _, err := id.Parse[id.Clip](string(f.Clip)); err != nil {
		return err
	}
	f.Reason = tidy(f.Reason)
	switch f.State {
	case wire.ClipWanted, wire.ClipCutting, wire.ClipQueued, wire.ClipUploading, wire.ClipUnavailable, wire.ClipLost:
	default:
		return fmt.Errorf("%.80q is not a state of a clip that an agent reports", string(f.State))
	}
	for _, us := range []int64{f.StartUs, f.EndUs, f.NearestUs, f.OrderStartUs, f.OrderEndUs} {
		if us != 0 && !sane(us) {
			return fmt.Errorf("its time %d is no time", us)
		}
	}
	for i := range f.Gaps {
		if err := checkGapOfClip(&f.Gaps[i]); err != nil {
			return err
		}
	}
	switch {
	case f.Stream != "" && f.Stream != id.Main && f.Stream != id.Sub:
		return fmt.Errorf("a camera has no stream %.80q", string(f.Stream))
	case !sane(f.AtUs) || f.EndUs < f.StartUs || f.OrderEndUs < f.OrderStartUs:
		return fmt.Errorf("its time %d, %d to %d is no time", f.AtUs, f.StartUs, f.EndUs)
	case f.Bytes < 0 || f.Sent < 0 || f.Sent > f.Bytes:
		return fmt.Errorf("its sizes %d of %d make no sense", f.Sent, f.Bytes)
	case !label(f.Codec):
		return errors.New("its codec is too long or not printable")
	}
	return nil
}

// checkGapOfClip is checkGap without an ID, which a clip's gap need not have.
func checkGapOfClip(g *wire.GapFact) error {
	g.Detail = tidy(g.Detail)
	if !sane(g.StartUs) || g.EndUs != 0 && (!sane(g.EndUs) || g.EndUs < g.StartUs) {
		return fmt.Errorf("a gap's time %d to %d is no time", g.StartUs, g.EndUs)
	}
	return checkReason(g.Reason)
}

func checkStream(s id.Stream) error {
	if !s.Kind.Valid() {
		return fmt.Errorf("%.80q is not a stream", string(s.Kind))
	}
	_, err := id.Parse[id.Camera](string(s.Camera))
	return err
}

func optionalCamera(c id.Camera) error {
	if c == "" {
		return nil
	}
	_, err := id.Parse[id.Camera](string(c))
	return err
}

func checkReason(r wire.Reason) error {
	for _, known := range wire.Reasons() {
		if r == known {
			return nil
		}
	}
	return fmt.Errorf("the reason %.80q is not one of the closed list", string(r))
}

// sane reports whether us is a wall time that a clock can show, a wrong one included.
func sane(us int64) bool { return us > 0 && us < maxTimeUs }

// word reports whether s is made of letters, digits, underscores and dashes, and at most limit long.
func word(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// label reports whether s is short and printable; it may be empty.
func label(s string) bool {
	return len(s) <= maxLabel && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// tidy makes a text safe to store and show. An event is not lost for its words.
func tidy(s string) string { return wire.CleanText(s, maxText) }
