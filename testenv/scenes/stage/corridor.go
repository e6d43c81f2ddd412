package stage

import (
	"math"

	"holdfast/testenv/scenes/render"
)

const (
	hallWide = 1.35 // half width
	hallHigh = 2.75
	hallLong = 27.0
	crossAt  = 13.6 // where another corridor crosses
	crossTo  = 15.6
)

// Corridor is an office corridor at night, seen by infrared light.
func Corridor() Scene {
	set := &render.Set{
		Camera: render.Camera{At: vec{X: 0.35, Y: 2.5, Z: 0.1}, Look: vec{X: -0.06, Y: 0.95, Z: 8}, FOV: 1.22, Barrel: 0.08},
		Props:  corridorProps(),
		Lights: []render.Light{
			{
				At: vec{X: 0.3, Y: 2.56, Z: 0.1}, Aim: vec{X: -0.3, Y: -1.6, Z: 8}.Norm(), Cone: 0.82,
				Panel: vec{X: 0.05, Y: 0.05}, Wide: 3.5, Color: vec{X: 27, Y: 27, Z: 27}, Beside: true,
			},
			{At: vec{Y: 1.6, Z: 26.4}, Panel: vec{X: 0.9, Y: 0.5}, Color: vec{X: 3.4, Y: 3.4, Z: 3.4}},
			{At: vec{X: -3.4, Y: 2.3, Z: 14.6}, Panel: vec{X: 0.2, Z: 0.4}, Color: vec{X: 3.6, Y: 3.6, Z: 3.6}},
		},
		Sky: vec{X: 0.035, Y: 0.035, Z: 0.035}, Floor: vec{X: 0.03, Y: 0.03, Z: 0.03}, Reach: 1.5,
		Horizon: func(vec) vec { return vec{X: 0.02, Y: 0.02, Z: 0.02} },
		Sensor: render.Sensor{
			Exposure: 1.25, Vignette: 0.45, Mono: true, Noise: 4.2, Grain: 0.6, Sharpen: 0.4, Lift: 0.035,
		},
	}
	return Scene{Name: "corridor", Title: "CORRIDOR B", Seconds: 20, Set: set, Cast: corridorCast}
}

func corridorCast(t float64) []render.Actor {
	const loop = 20
	var actors []render.Actor
	guard := outfit(0)
	guard.Vest, guard.Bag = true, false
	walkers := []walker{
		{look: guard, route: route{Points: []vec{{X: 0.2, Z: 26.2}, {X: 0.35, Z: 15}, {X: 0.15, Z: 6}, {X: 0.3, Z: -1.2}}, Pace: 1.5, From: 1}},
		{look: outfit(3), route: route{Points: []vec{{X: -5, Z: 14.4}, {X: 0, Z: 14.6}, {X: 5, Z: 14.5}}, Pace: 1.3, From: 12.2}},
		{look: outfit(2), route: route{Points: []vec{{X: 5, Z: 15.1}, {X: 0.8, Z: 15}, {X: 0.55, Z: 17}, {X: 0.5, Z: 26.6}}, Pace: 1.45, From: 16.5}},
	}
	for _, w := range walkers {
		actors = w.cast(actors, t, loop)
	}
	return append(actors, blinker(vec{X: 0.35, Y: hallHigh - 0.07, Z: 7.2}, math.Mod(t, 2) < 0.35))
}

// blinker is a smoke detector's lamp.
func blinker(at vec, on bool) render.Actor {
	glow := vec{X: 0.02, Y: 0.02, Z: 0.02}
	if on {
		glow = vec{X: 3, Y: 3, Z: 3}
	}
	return render.Actor{
		Solid: &render.Solid{
			Box:  render.Around(vec{}, vec{X: 0.035, Y: 0.035, Z: 0.035}),
			Dist: func(p vec) float64 { return p.Len() - 0.03 },
		},
		Skin: func(_, _ vec) render.Paint { return render.Paint{Color: render.Hex(0x303030), Glow: glow} },
		At:   at, Turn: render.NewTurn(0),
	}
}

func corridorProps() []render.Prop {
	floor := func(p, _ vec) render.Paint {
		x, z := math.Abs(p.X), math.Mod(p.Z+60, 0.5)
		tone := 0.9 + 0.14*render.Pick(int((p.X+60)/0.5), int((p.Z+60)/0.5), 3)
		c := render.Hex(0x8d8f8a)
		if x > hallWide-0.28 && x < hallWide+0.01 {
			c = render.Hex(0x4a4d50)
		}
		if z < 0.01 || math.Mod(p.X+60.25, 0.5) < 0.01 {
			tone *= 0.75
		}
		return render.Paint{Color: c.Mul(tone), Gloss: 0.06, Rough: 0.004}
	}
	ceiling := func(p, _ vec) render.Paint {
		x, z := math.Mod(p.X+60.3, 0.6), math.Mod(p.Z+60, 0.6)
		if x < 0.02 || z < 0.02 {
			return render.Paint{Color: render.Hex(0x777777)}
		}
		w := p.Z + hallLong/2
		if math.Abs(p.X) < 0.3 && math.Mod(w, 4.8) < 1.2 {
			return render.Paint{Color: render.Hex(0xe6e6e6), Gloss: 0.05}
		}
		return render.Paint{Color: render.Hex(0xb8b8b4).Mul(0.9 + 0.2*render.Clouds(p.X*30, p.Z*30, 2, 4))}
	}
	props := []render.Prop{
		render.Put(render.Ground{Reach: 60}, floor, vec{}, 0),
		render.Put(render.Block{Half: vec{X: 8, Y: 0.1, Z: hallLong/2 + 0.5}}, ceiling, vec{Y: hallHigh + 0.1, Z: hallLong / 2}, 0),
	}
	for side := -1.0; side <= 1; side += 2 {
		props = append(props, hallWall(side, -1.5, crossAt)...)
		props = append(props, hallWall(side, crossTo, hallLong)...)
		props = append(props, render.Put(render.Block{Half: vec{X: 0.1, Y: 1.4, Z: 2}}, render.Plain(render.Hex(0xa6a6a0)), vec{X: side * 6, Y: 1.4, Z: 14.6}, 0))
	}
	props = append(props, hallEnd()...)
	return append(props, hallFittings()...)
}

// hallWall is one side of the corridor from z0 to z1.
func hallWall(side, z0, z1 float64) []render.Prop {
	mid, long := (z0+z1)/2, (z1-z0)/2
	skin := func(p, n vec) render.Paint {
		w := vec{Y: p.Y + hallHigh/2, Z: p.Z + mid}
		if n.X*side > -0.5 {
			return render.Paint{Color: render.Hex(0xb0aea6)}
		}
		return hallPaint(w, side)
	}
	rail := render.Plain(render.Hex(0x5a5046))
	return []render.Prop{
		render.Put(render.Block{Half: vec{X: 0.15, Y: hallHigh / 2, Z: long}}, skin, vec{X: side * (hallWide + 0.15), Y: hallHigh / 2, Z: mid}, 0),
		render.Put(render.Block{Half: vec{X: 0.03, Y: 0.05, Z: long}}, rail, vec{X: side * (hallWide - 0.03), Y: 0.05, Z: mid}, 0),
	}
}

// doors stand at these places along a side.
func doorAt(z, side float64) (centre float64, ok bool) {
	shift := 0.0
	if side > 0 {
		shift = 1.1
	}
	k := math.Round((z - 2.9 - shift) / 3.7)
	centre = 2.9 + shift + 3.7*k
	return centre, math.Abs(z-centre) < 0.56 && centre > 1 && (centre < crossAt-0.6 || centre > crossTo+0.6)
}

func hallPaint(w vec, side float64) render.Paint {
	tone := 0.93 + 0.1*render.Clouds(w.Z*0.7, w.Y*0.7, 3, 8)
	centre, door := doorAt(w.Z, side)
	if !door || w.Y > 2.14 {
		return hallPlaster(w, centre, tone)
	}
	x := (w.Z - centre) * side
	switch {
	case math.Abs(x) > 0.49 || w.Y > 2.07:
		return render.Paint{Color: render.Hex(0x6b665e)} // frame
	case w.Y < 0.28:
		return render.Paint{Color: render.Hex(0x9a9a98), Gloss: 0.12} // kick plate
	case math.Abs(x-0.4) < 0.05 && math.Abs(w.Y-1.02) < 0.025:
		return render.Paint{Color: render.Hex(0xd0d0d0), Gloss: 0.2} // handle
	case math.Abs(x-0.28) < 0.08 && w.Y > 1.15 && w.Y < 1.85:
		glow := vec{}
		if centre > 8.5 && centre < 11.5 && side < 0 {
			glow = vec{X: 0.55, Y: 0.55, Z: 0.55}
		}
		return render.Paint{Color: render.Hex(0x181a1c), Gloss: 0.1, Glow: glow}
	}
	grain := 0.85 + 0.3*render.Clouds(w.Z*14, w.Y*1.2, 3, 17)
	return render.Paint{Color: render.Hex(0x8f6f50).Mul(grain)}
}

func hallPlaster(w vec, door, tone float64) render.Paint {
	switch {
	case math.Abs(w.Y-0.92) < 0.07:
		return render.Paint{Color: render.Hex(0x6a6e74)} // bumper rail
	case math.Abs(w.Z-door-0.78) < 0.1 && math.Abs(w.Y-1.6) < 0.07:
		return render.Paint{Color: render.Hex(0xe8e8e4)} // name plate
	case w.Y < 0.92:
		return render.Paint{Color: render.Hex(0x8a9494).Mul(tone)}
	}
	return render.Paint{Color: render.Hex(0xc2bfb6).Mul(tone)}
}

// hallEnd is the glazed double door at the far end and the exit sign above it.
func hallEnd() []render.Prop {
	skin := func(p, n vec) render.Paint {
		x, y := math.Abs(p.X), p.Y+hallHigh/2
		if x > 1.05 || y > 2.15 {
			return render.Paint{Color: render.Hex(0xb5b2a8)}
		}
		if x < 0.03 || x > 0.98 || y > 2.08 {
			return render.Paint{Color: render.Hex(0x505458)}
		}
		if math.Abs(x-0.5) < 0.3 && y > 0.9 && y < 1.95 {
			return render.Paint{Color: render.Hex(0x202020), Glow: vec{X: 0.8, Y: 0.8, Z: 0.8}.Mul(0.7 + 0.5*render.Clouds(p.X*2, y*2, 3, 22))}
		}
		return render.Paint{Color: render.Hex(0x7d7468)}
	}
	sign := func(p, n vec) render.Paint {
		if render.Lettered("EXIT", p.X, p.Y, 0.028) {
			return render.Paint{Color: vec{X: 0.9, Y: 0.9, Z: 0.9}, Glow: vec{X: 1.6, Y: 1.6, Z: 1.6}}
		}
		return render.Paint{Color: render.Hex(0x206040), Glow: vec{X: 0.25, Y: 0.25, Z: 0.25}}
	}
	board := func(text string) render.Skin {
		return func(p, n vec) render.Paint {
			if n.Z < -0.5 && render.Lettered(text, p.X, p.Y, 0.016) {
				return render.Paint{Color: vec{X: 0.04, Y: 0.04, Z: 0.04}}
			}
			return render.Paint{Color: render.Hex(0xdcdcd6)}
		}
	}
	return []render.Prop{
		render.Put(render.Block{Half: vec{X: 3, Y: hallHigh / 2, Z: 0.1}}, skin, vec{Y: hallHigh / 2, Z: hallLong}, 0),
		render.Put(render.Block{Half: vec{X: 0.38, Y: 0.14, Z: 0.03}}, sign, vec{Y: 2.42, Z: 16.4}, 0),
		render.Put(render.Block{Half: vec{X: 0.62, Y: 0.1, Z: 0.02}}, board("ROOMS B1-B14"), vec{X: -0.55, Y: 2.52, Z: 8.6}, 0),
	}
}

// hallFittings are what stands about in the corridor.
func hallFittings() []render.Prop {
	red := func(p, _ vec) render.Paint {
		if p.Y > 0.22 && p.Y < 0.34 {
			return render.Paint{Color: render.Hex(0xe6e6e0)}
		}
		return render.Paint{Color: render.Hex(0xa01a1a), Gloss: 0.06}
	}
	wood := render.Plain(render.Hex(0x94744e))
	dark := render.Plain(render.Hex(0x2c2e30))
	detector := render.Plain(render.Hex(0xe2e2de))
	props := []render.Prop{
		render.Put(render.Post{R: 0.085, H: 0.52}, red, vec{X: hallWide - 0.12, Y: 0.35, Z: 6.35}, 0),
		render.Put(render.Post{R: 0.03, H: 0.1}, dark, vec{X: hallWide - 0.12, Y: 0.87, Z: 6.35}, 0),
		render.Put(render.Block{Half: vec{X: 0.015, Y: 0.2, Z: 0.14}}, render.Plain(render.Hex(0xd8d8d4)), vec{X: hallWide - 0.01, Y: 1.55, Z: 6.35}, 0),
		// A bench with a plant beside it.
		render.Put(render.Block{Half: vec{X: 0.2, Y: 0.03, Z: 0.8}}, wood, vec{X: -hallWide + 0.24, Y: 0.45, Z: 4.75}, 0),
		render.Put(render.Block{Half: vec{X: 0.03, Y: 0.2, Z: 0.03}}, dark, vec{X: -hallWide + 0.24, Y: 0.22, Z: 4.1}, 0),
		render.Put(render.Block{Half: vec{X: 0.03, Y: 0.2, Z: 0.03}}, dark, vec{X: -hallWide + 0.24, Y: 0.22, Z: 5.4}, 0),
		render.Put(render.Post{R: 0.19, H: 0.42}, render.Plain(render.Hex(0x7c7a76)), vec{X: -hallWide + 0.28, Z: 8.5}, 0),
		render.Put(render.Post{R: 0.09, H: 0.06}, detector, vec{X: 0.35, Y: hallHigh - 0.06, Z: 7.2}, 0),
		// A notice board.
		render.Put(render.Block{Half: vec{X: 0.012, Y: 0.36, Z: 0.55}}, noticeBoard, vec{X: -hallWide + 0.01, Y: 1.55, Z: 4.75}, 0),
	}
	for k := range 9 {
		at := vec{X: -hallWide + 0.3 + 0.16*(render.Pick(k, 1, 3)-0.5), Y: 0.6 + 0.09*float64(k), Z: 8.5 + 0.3*(render.Pick(k, 2, 3)-0.5)}
		props = append(props, render.Put(render.Leaves{R: 0.14 + 0.12*render.Pick(k, 3, 3), Leaf: 0.028, Seed: k}, render.Plain(render.Hex(0xa8b898)), at, 0))
	}
	return append(props, cart(0.95, 10.3)...)
}

func noticeBoard(p, _ vec) render.Paint {
	if math.Abs(p.Y) > 0.33 || math.Abs(p.Z) > 0.52 {
		return render.Paint{Color: render.Hex(0x5b4a38)}
	}
	cell := int((p.Z + 0.6) / 0.2)
	y := p.Y + 0.1*render.Pick(cell, 1, 50)
	if math.Mod(p.Z+0.6, 0.2) < 0.15 && math.Mod(y+1, 0.3) < 0.21 {
		line := math.Mod(y+1, 0.03) < 0.012 && math.Mod(y+1, 0.3) < 0.17
		if line {
			return render.Paint{Color: render.Hex(0x8c8c88)}
		}
		return render.Paint{Color: render.Hex(0xe4e2da)}
	}
	return render.Paint{Color: render.Hex(0x9c7c58)}
}

// cart is a cleaner's trolley with a bucket and a sack.
func cart(x, z float64) []render.Prop {
	frame := render.Plain(render.Hex(0x6a6e72))
	return []render.Prop{
		render.Put(render.Block{Half: vec{X: 0.22, Y: 0.04, Z: 0.45}}, frame, vec{X: x, Y: 0.2, Z: z}, 0),
		render.Put(render.Block{Half: vec{X: 0.2, Y: 0.12, Z: 0.2}}, render.Plain(render.Hex(0x3058a0)), vec{X: x, Y: 0.36, Z: z - 0.2}, 0),
		render.Put(render.Block{Half: vec{X: 0.2, Y: 0.34, Z: 0.17}}, render.Plain(render.Hex(0xc8b83a)), vec{X: x, Y: 0.6, Z: z + 0.26}, 0),
		render.Put(render.Post{R: 0.015, H: 1.2}, frame, vec{X: x - 0.1, Y: 0.3, Z: z - 0.1}, 0),
		render.Put(render.Post{R: 0.018, H: 0.8}, frame, vec{X: x - 0.2, Y: 0.2, Z: z + 0.45}, 0),
		render.Put(render.Post{R: 0.018, H: 0.8}, frame, vec{X: x + 0.2, Y: 0.2, Z: z + 0.45}, 0),
	}
}
