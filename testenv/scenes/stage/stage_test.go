package stage_test

import (
	"math"
	"testing"

	"holdfast/testenv/scenes/render"
	"holdfast/testenv/scenes/stage"
)

const rate = 15

// seen are the actors that stand where the camera may look.
func seen(s stage.Scene, t float64) []render.Actor {
	var out []render.Actor
	ahead := s.Set.Camera.Look.Sub(s.Set.Camera.At).Norm()
	for _, a := range s.Cast(t) {
		to := a.At.Add(render.Vec{Y: 0.9}).Sub(s.Set.Camera.At)
		if to.Norm().Dot(ahead) > math.Cos(0.62*s.Set.Camera.FOV) && to.Len() < 27 {
			out = append(out, a)
		}
	}
	return out
}

// TestLoopsClose wants everyone who is seen in the last frame near the same place in the first, so that nobody
// jumps, comes or goes at the joint.
func TestLoopsClose(t *testing.T) {
	for _, s := range stage.All() {
		last, first := seen(s, float64(s.Seconds)-1.0/rate), seen(s, 0)
		if len(last) != len(first) {
			t.Errorf("%s: %d are seen at the end, %d at the beginning", s.Name, len(last), len(first))
			continue
		}
		for i := range last {
			if d := last[i].At.Sub(first[i].At).Len(); d > 0.6 {
				t.Errorf("%s: actor %d jumps %.2f m at the joint", s.Name, i, d)
			}
		}
	}
}

// TestSomethingMoves wants somebody in the picture to move in every half second.
func TestSomethingMoves(t *testing.T) {
	for _, s := range stage.All() {
		for n := range s.Seconds * 2 {
			a, b := seen(s, float64(n)/2), seen(s, float64(n)/2+1.0/rate)
			moves := len(a) != len(b)
			for i := 0; i < len(a) && i < len(b); i++ {
				moves = moves || a[i].At != b[i].At || a[i].Turn != b[i].Turn
			}
			if !moves {
				t.Errorf("%s: nobody moves at %.1f s", s.Name, float64(n)/2)
			}
		}
	}
}

// TestActorsFillTheirBoxes probes each body: its surface lies within its bounds, and there is a body.
func TestActorsFillTheirBoxes(t *testing.T) {
	for _, s := range stage.All() {
		for n := range s.Seconds {
			for i, a := range s.Cast(float64(n)) {
				inside := 0
				size := a.Solid.Box.Max.Sub(a.Solid.Box.Min)
				for k := range 3000 {
					share := render.Vec{X: render.Pick(k, 1, 0), Y: render.Pick(k, 2, 0), Z: render.Pick(k, 3, 0)}
					p := a.Solid.Box.Min.Add(share.Times(size))
					if a.Solid.Dist(p) < 0 {
						inside++
					}
					// The same point pushed out through a side of the box must be free.
					p.Z = a.Solid.Box.Max.Z + 0.01
					if a.Solid.Dist(p) < -0.01 {
						t.Fatalf("%s: actor %d at %d s reaches out of its box at %+v", s.Name, i, n, p)
					}
				}
				if inside == 0 {
					t.Fatalf("%s: actor %d at %d s is empty", s.Name, i, n)
				}
			}
		}
	}
}

func TestFind(t *testing.T) {
	if s, err := stage.Find("dock"); err != nil || s.Title == "" {
		t.Fatalf("found %+v, %v", s, err)
	}
	if _, err := stage.Find("attic"); err == nil {
		t.Fatal("found a scene that is not there")
	}
}
