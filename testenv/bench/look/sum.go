package look

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Tries are all tries of a run.
type Tries []Try

// parse reads tries, one a line.
func parse(text []byte) (Tries, error) {
	var all Tries
	for line := range bytes.Lines(text) {
		var t Try
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&t); err != nil {
			return nil, fmt.Errorf("read try %q: %w", bytes.TrimSpace(line), err)
		}
		if t.Kind == "" || len(t.MS) == 0 {
			return nil, fmt.Errorf("read try %q: it has no kind or no moments", bytes.TrimSpace(line))
		}
		all = append(all, t)
	}
	return all, nil
}

// last is what the tries of a kind end with.
func last(kind string) string {
	switch kind {
	case Cold, Warm, Click:
		return Latency
	case Seek:
		return Exact
	}
	return Painted
}

// complete checks that every try that was ordered is there, and came to its end.
func (t Tries) complete(o Order) error {
	for _, kind := range o.Parts {
		cameras := []string{""}
		if kind == Cold {
			cameras = cameras[:0]
			for _, c := range o.Cameras {
				cameras = append(cameras, c.Name)
			}
		}
		for _, c := range cameras {
			if n := len(t.Of(kind, c, last(kind))); n != o.Tries {
				return fmt.Errorf("look at pictures: %d of %d tries of %s %s came to their end", n, o.Tries, kind, c)
			}
		}
	}
	return nil
}

// Of returns a moment of all tries of a kind that have it, at a camera or at all when it is empty, from the least to the
// most.
func (t Tries) Of(kind, camera, moment string) Times {
	var out Times
	for _, one := range t {
		if ms, ok := one.MS[moment]; ok && one.Kind == kind && (camera == "" || one.Camera == camera) {
			out = append(out, ms)
		}
	}
	slices.Sort(out)
	return out
}

// Every returns a moment that all tries of a kind have; nil when one of them lacks it.
func (t Tries) Every(kind, moment string) Times {
	out := t.Of(kind, "", moment)
	for _, one := range t {
		if _, ok := one.MS[moment]; one.Kind == kind && !ok {
			return nil
		}
	}
	return out
}

// Times are milliseconds from the least to the most.
type Times []float64

// At is the least of the times that so large a share of all, from 0 to 1, does not exceed (the nearest rank); NaN without
// any.
func (l Times) At(share float64) float64 {
	if len(l) == 0 {
		return math.NaN()
	}
	// What a product lacks to a whole number is rounding: 0.95 of 40 is the 38th.
	rank := int(math.Ceil(share*float64(len(l)) - 1e-9))
	return l[min(max(rank, 1), len(l))-1]
}
