package rtc

import (
	"encoding/json"
	"math"
	"testing"
)

// FuzzOp reads anything as a word of a viewer: what is taken is one of the few there are, within its bounds.
func FuzzOp(f *testing.F) {
	for _, text := range []string{
		`{"type":"seek","at_us":1790000000000000}`, `{"type":"rate","rate":16}`, `{"type":"play"}`, `{"type":"rate","rate":-16.9}`, `{"type":"rate","rate":-0.9}`,
		`{"type":"step","count":-1}`, `{"type":"scrub","at_us":9223372036854775807}`, `{"type":"seek","at_us":-1}`, `null`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var o Op
		if json.Unmarshal(text, &o) != nil || !o.tidy() {
			return
		}
		switch o.Type {
		case "play", "pause", "live":
		case "rate":
			if speed := math.Abs(o.Rate); speed < Slowest/Slack || speed > Fastest*Slack || o.Rate < 0 && speed < 1/Slack || math.IsNaN(o.Rate) {
				t.Fatalf("%+v was taken", o)
			}
		case "scrub":
			if !Recorded(o.AtUs - 1) {
				t.Fatalf("%+v was taken", o)
			}
		case "step":
			if o.Count == 0 || max(o.Count, -o.Count) > MaxStep {
				t.Fatalf("%+v was taken", o)
			}
		case "seek":
			if o.AtUs <= 0 {
				t.Fatalf("%+v was taken", o)
			}
		default:
			t.Fatalf("%+v was taken", o)
		}
	})
}
