// Package stage is the places and people of the synthetic cameras: a car park, a shop, a corridor and a
// loading dock, by day and by night.
//
// It owns what is where and who moves when. It promises that every Scene ends as it began, so that a loop of
// it has no visible joint, and that something moves in every second of it. It draws nothing itself.
package stage

import (
	"fmt"
	"math"

	"holdfast/testenv/scenes/render"
)

// Scene is what one camera sees for the length of a loop.
type Scene struct {
	Name    string // as in the loops' file names
	Title   string // burned into the picture
	Seconds int    // length of the loop
	Set     *render.Set
	Cast    func(t float64) []render.Actor // who is there t seconds into the loop
}

// All returns the scenes, made anew.
func All() []Scene {
	return []Scene{CarPark(), Shop(), Corridor(), Dock(), CarParkNight(), Checkout()}
}

// Find returns the scene of that name.
func Find(name string) (Scene, error) {
	for _, s := range All() {
		if s.Name == name {
			return s, nil
		}
	}
	return Scene{}, fmt.Errorf("find scene %q: there is no such scene", name)
}

// route is a way through the place at a steady pace, begun at From seconds into the loop.
type route struct {
	Points []vec
	Pace   float64 // metres a second
	From   float64
}

// spot is where a route has come to.
type spot struct {
	At   vec
	Yaw  float64
	Gone float64 // metres since the start
	Left float64 // metres to the end
}

// at returns the place at t seconds into a loop of that many seconds; ok is false before and after the way.
func (r route) at(t, loop float64) (s spot, ok bool) {
	gone := math.Mod(t-r.From+2*loop, loop) * r.Pace
	whole := 0.0
	for i := 1; i < len(r.Points); i++ {
		whole += r.Points[i].Sub(r.Points[i-1]).Len()
	}
	if gone >= whole {
		return spot{}, false
	}
	here, _ := r.along(gone)
	// Corners are rounded by looking a little back and ahead.
	back, _ := r.along(max(gone-0.35, 0))
	ahead, _ := r.along(min(gone+0.35, whole))
	d := ahead.Sub(back)
	return spot{
		At: here.Mix(back.Add(ahead).Mul(0.5), 0.5), Yaw: math.Atan2(d.Z, d.X), Gone: gone, Left: whole - gone,
	}, true
}

func (r route) along(gone float64) (vec, bool) {
	for i := 1; i < len(r.Points); i++ {
		leg := r.Points[i].Sub(r.Points[i-1])
		if l := leg.Len(); gone <= l || i == len(r.Points)-1 {
			return r.Points[i-1].Add(leg.Mul(min(gone/l, 1))), true
		} else {
			gone -= l
		}
	}
	return r.Points[0], false
}

// walker is someone on a route.
type walker struct {
	look
	route
	Arms float64
}

// cast adds the walker to the actors, if it is there at t.
func (w walker) cast(actors []render.Actor, t, loop float64) []render.Actor {
	s, ok := w.at(t, loop)
	if !ok {
		return actors
	}
	step := w.Height * 0.42
	return append(actors, person(w.look, pose{Phase: s.Gone / step * math.Pi, Stride: min(w.Pace/1.3, 1.1), Arms: w.Arms}, s.At, s.Yaw))
}

// idle is the small movement of someone who stands; it comes round with the loop.
func idle(t, loop, rate float64) float64 {
	return math.Sin(2 * math.Pi * math.Round(rate*loop) * t / loop)
}

// sky is a bright hazy sky with soft clouds.
func sky(top, low vec) func(vec) vec {
	return func(d vec) vec {
		h := max(d.Y, 0)
		c := low.Mix(top, math.Sqrt(h))
		if h > 0.01 {
			cloud := render.Smooth(0.42, 0.75, render.Clouds(d.X/(h+0.12)*0.7, d.Z/(h+0.12)*0.7, 5, 40))
			c = c.Mix(low.Mul(1.12), cloud*0.8)
		}
		return c
	}
}

// outfit is one of many ways to be dressed.
func outfit(i int) look {
	jackets := [...]uint32{0x2c3e5c, 0x8a2f2b, 0x4c5a44, 0xb9a88a, 0x3a3a3f, 0x6d7f96, 0x7a4a6a, 0xd8d4c8}
	trousers := [...]uint32{0x22262e, 0x3b4a66, 0x4a4238, 0x1c1c20, 0x6a6456}
	skins := [...]uint32{0xd9a88a, 0x8a5a3c, 0xe3b99a, 0x5e3b28, 0xc4906c}
	hairs := [...]uint32{0x2a1c12, 0x121010, 0x5a3c20, 0x8c8880, 0x3a2414}
	return look{
		Height: 1.64 + 0.2*render.Pick(i, 1, 77),
		Jacket: render.Hex(jackets[i%len(jackets)]), Trousers: render.Hex(trousers[i%len(trousers)]),
		Skin: render.Hex(skins[(i*3+1)%len(skins)]), Hair: render.Hex(hairs[(i*2+1)%len(hairs)]),
		Shoes: render.Hex(0x1a1816), Bag: i%3 == 1, Cap: i%5 == 4,
	}
}
