package look

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestSharesAreNearestRanks(t *testing.T) {
	forty := make(Times, 40)
	for i := range forty {
		forty[i] = float64(i + 1)
	}
	for _, c := range []struct {
		of    Times
		share float64
		want  float64
	}{
		{forty, 0.5, 20},
		{forty, 0.95, 38},
		{forty, 1, 40},
		{forty, 0, 1},
		{Times{7}, 0.5, 7},
		{Times{7}, 0.95, 7},
		{Times{1, 2, 3}, 0.5, 2},
		{Times{1, 2, 3}, 0.95, 3},
		{Times{1, 2}, 0.5, 1},
	} {
		if got := c.of.At(c.share); got != c.want {
			t.Errorf("%v of %d times is %v, want %v", c.share, len(c.of), got, c.want)
		}
	}
	if got := (Times{}).At(0.5); !math.IsNaN(got) {
		t.Errorf("without times there is %v, want none", got)
	}
}

const printed = `{"kind":"cold","camera":"gop1","ms":{"answer":31.5,"painted":60,"latency":30}}
{"kind":"cold","camera":"gop10","ms":{"answer":29,"packet":40,"painted":50,"latency":20}}
{"kind":"warm","camera":"","ms":{"painted":22,"latency":10}}
`

func TestTriesAreRead(t *testing.T) {
	all, err := parse([]byte(printed))
	if err != nil {
		t.Fatal(err)
	}
	if got := all.Of(Cold, "", Painted); !slices.Equal(got, Times{50, 60}) {
		t.Errorf("cold pictures came after %v, want them sorted", got)
	}
	if got := all.Of(Cold, "gop1", Painted); !slices.Equal(got, Times{60}) {
		t.Errorf("at one camera after %v", got)
	}
	if got := all.Every(Cold, Answer); !slices.Equal(got, Times{29, 31.5}) {
		t.Errorf("answers after %v", got)
	}
	if got := all.Every(Cold, Packet); got != nil {
		t.Errorf("a moment that one try lacks gives %v, want nothing", got)
	}
	if got := all.Every(Warm, Painted); !slices.Equal(got, Times{22}) {
		t.Errorf("warm pictures after %v", got)
	}
}

func TestWhatIsNoTryIsAnError(t *testing.T) {
	for _, text := range []string{
		"hello\n", `{"kind":"cold"}` + "\n", `{"ms":{"painted":1}}` + "\n", `{"kind":"cold","ms":{"painted":"soon"}}` + "\n",
		`{"kind":"cold","ms":{"painted":1},"more":2}` + "\n",
	} {
		if all, err := parse([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, all)
		}
	}
}

func TestATryThatIsMissingIsAnError(t *testing.T) {
	all, err := parse([]byte(printed))
	if err != nil {
		t.Fatal(err)
	}
	o := Order{Parts: []string{Cold, Warm}, Tries: 1, Cameras: []Camera{{Name: "gop1"}, {Name: "gop10"}}}
	if err := all.complete(o); err != nil {
		t.Errorf("all tries are there: %v", err)
	}
	o.Parts = append(o.Parts, Seek)
	if err := all.complete(o); err == nil || !strings.Contains(err.Error(), "0 of 1 tries of seek") {
		t.Errorf("no seek is there: %v", err)
	}
	o.Parts, o.Tries = []string{Warm}, 2
	if err := all.complete(o); err == nil {
		t.Error("one of two tries is missing, and it is no error")
	}
	delete(all[2].MS, Latency)
	if o.Tries = 1; all.complete(o) == nil {
		t.Error("a try does not say how old its picture was, and it is no error")
	}
}
