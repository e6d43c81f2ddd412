package stage

import (
	"math"

	"holdfast/testenv/scenes/render"
)

const (
	shopHigh  = 3.3
	shopLeft  = -9.0
	shopRight = 10.0
	shopNear  = -3.2
	shopFar   = 16.0
)

// Shop is the sales floor of a small supermarket.
func Shop() Scene {
	set := shopSet(render.Camera{At: vec{X: -8.2, Y: 3.0, Z: -1.4}, Look: vec{X: 0.6, Y: 0.55, Z: 7.4}, FOV: 1.3, Barrel: 0.07})
	return Scene{Name: "shop", Title: "SHOP FLOOR", Seconds: 16, Set: set, Cast: shopCast}
}

// Checkout is the same shop seen from above the shelves towards the tills and the door.
func Checkout() Scene {
	set := shopSet(render.Camera{At: vec{X: 9.6, Y: 2.95, Z: 4.9}, Look: vec{X: 2.4, Y: 0.6, Z: -0.4}, FOV: 1.3, Barrel: 0.07})
	set.Sensor.Exposure = 0.7
	return Scene{Name: "checkout", Title: "CHECKOUT", Seconds: 12, Set: set, Cast: checkoutCast}
}

func shopSet(c render.Camera) *render.Set {
	lamp := func(x, z float64) render.Light {
		return render.Light{
			At: vec{X: x, Y: 3.2, Z: z}, Aim: vec{Y: -1}, Cone: 1.5, Panel: vec{X: 1.3, Z: 1.3}, Color: vec{X: 4.3, Y: 4.2, Z: 3.95},
		}
	}
	return &render.Set{
		Camera: c, Props: shopProps(),
		Lights: []render.Light{
			lamp(-4.8, 1.6),
			lamp(4.2, 1.2),
			lamp(-4.4, 9),
			lamp(3.6, 8.4),
			lamp(-0.5, 13.8),
		},
		Sky: vec{X: 0.66, Y: 0.66, Z: 0.64}, Floor: vec{X: 0.5, Y: 0.49, Z: 0.46}, Reach: 1.6,
		Horizon: func(vec) vec { return vec{X: 0.9, Y: 0.95, Z: 1.05} },
		Sensor: render.Sensor{
			Exposure: 0.74, Vignette: 0.32, Fade: 0.22, Tint: vec{X: 1.02, Y: 1, Z: 0.97}, Noise: 1.8, Sharpen: 0.55, Lift: 0.02,
		},
	}
}

func shopCast(t float64) []render.Actor {
	const loop = 16
	var actors []render.Actor
	push := walker{look: outfit(1), Arms: 0.75, route: route{
		Points: []vec{{X: -0.4, Z: 16.5}, {X: -0.4, Z: 4.2}, {X: -2.2, Z: 2.7}, {X: -9.5, Z: 2.5}}, Pace: 1.35, From: 12.4,
	}}
	actors = push.cast(actors, t, loop)
	if s, ok := push.at(t, loop); ok {
		ahead := vec{X: math.Cos(s.Yaw), Z: math.Sin(s.Yaw)}
		actors = append(actors, trolley(s.At.Add(ahead.Mul(0.86)), s.Yaw))
	}
	walkers := []walker{
		{look: outfit(5), route: route{Points: []vec{{X: 11, Z: 3.3}, {X: -3.2, Z: 3.4}, {X: -3.7, Z: 9}, {X: -3.6, Z: 16.6}}, Pace: 1.5, From: 3}},
		{look: outfit(2), route: route{Points: []vec{{X: 2.8, Z: 17}, {X: 2.8, Z: 3.9}, {X: 6, Z: 3}, {X: 11, Z: 3}}, Pace: 1.45, From: 7.5}},
	}
	for _, w := range walkers {
		actors = w.cast(actors, t, loop)
	}
	staff := outfit(0)
	staff.Jacket, staff.Bag, staff.Cap = render.Hex(0x1f6a50), false, true
	reach := render.Smooth(0.1, 0.8, idle(t, loop, 0.19)) * 0.9
	actors = append(actors,
		person(staff, pose{Reach: reach, Arms: 0.45, Phase: 0.4, Nod: 0.25 * idle(t, loop, 0.13)}, vec{X: -2.75, Z: 6.9}, 0.05),
		person(outfit(6), pose{Arms: 0.3, Nod: 0.5 * idle(t, loop, 0.19), Phase: 1}, vec{X: -5.15, Z: 5.2}, math.Pi-0.1+0.12*idle(t, loop, 0.125)),
	)
	return actors
}

func checkoutCast(t float64) []render.Actor {
	const loop = 12
	var actors []render.Actor
	walkers := []walker{
		{look: outfit(7), route: route{Points: []vec{{X: 0.9, Z: 5.5}, {X: 0.7, Z: 2}, {X: 0.6, Z: -1.4}, {X: -1.2, Z: -4.6}}, Pace: 1.25, From: 2}},
		{look: outfit(3), route: route{Points: []vec{{X: -1.6, Z: -4.8}, {X: -2.6, Z: -1}, {X: -3.6, Z: 4}, {X: -6, Z: 9}}, Pace: 1.45, From: 8}},
		{look: outfit(5), route: route{Points: []vec{{X: 11, Z: 3.3}, {X: 3.8, Z: 3.5}, {X: -8.5, Z: 3.2}}, Pace: 1.75, From: 5}},
	}
	for _, w := range walkers {
		actors = w.cast(actors, t, loop)
	}
	for i, x := range [2]float64{2.95, 5.95} {
		staff := outfit(2 + 3*i)
		staff.Jacket, staff.Bag, staff.Cap = render.Hex(0x1f6a50), false, false
		rate := 0.42 - 0.09*float64(i)
		actors = append(actors, person(staff, pose{
			Arms: 0.62 + 0.2*idle(t, loop, rate), Reach: 0.12 + 0.1*idle(t+1, loop, rate*1.5), Nod: 0.4 * idle(t, loop, 0.25),
		}, vec{X: x, Z: 0.5}, math.Pi+0.2*idle(t, loop, 0.17)))
	}
	return append(actors,
		person(outfit(1), pose{Arms: 0.25, Nod: 0.35 * idle(t, loop, 0.17), Phase: 0.8}, vec{X: 3.85, Z: 1.1}, math.Pi+0.15*idle(t, loop, 0.1)),
		person(outfit(6), pose{Arms: 0.1, Nod: 0.3 * idle(t+2, loop, 0.2), Phase: 0.3}, vec{X: 4.0, Z: 2.4}, -1.5+0.2*idle(t, loop, 0.08)),
	)
}

// trolley is a wire shopping trolley, its handle towards the one who pushes it (local -X).
func trolley(at vec, yaw float64) render.Actor {
	var rods [][2]vec
	corner := func(x, y, z float64) vec { return vec{X: x, Y: y, Z: z} }
	for _, y := range [4]float64{0.52, 0.66, 0.8, 0.94} {
		grow := (y - 0.52) * 0.12
		x0, x1, z := -0.36-grow, 0.38+grow, 0.2+grow
		a, b, c, d := corner(x0, y, -z), corner(x1, y, -z*0.8), corner(x1, y, z*0.8), corner(x0, y, z)
		rods = append(rods, [2]vec{a, b}, [2]vec{b, c}, [2]vec{c, d}, [2]vec{d, a})
	}
	for k := range 5 {
		x := -0.36 + 0.185*float64(k)
		for s := -1.0; s <= 1; s += 2 {
			rods = append(rods, [2]vec{corner(x, 0.52, s*0.19), corner(x*1.1, 0.94, s*0.23)})
		}
	}
	for s := -1.0; s <= 1; s += 2 {
		rods = append(rods,
			[2]vec{corner(-0.34, 0.18, s*0.2), corner(0.36, 0.16, s*0.16)},
			[2]vec{corner(-0.34, 0.18, s*0.2), corner(-0.4, 0.98, s*0.22)},
		)
	}
	dist := func(p vec) float64 {
		d := render.RoundBox(p, vec{X: 0.1, Y: 0.62, Z: 0.02}, vec{X: 0.16, Y: 0.12, Z: 0.11}, 0.02)
		d = math.Min(d, render.RoundBox(p, vec{X: -0.16, Y: 0.6, Z: -0.04}, vec{X: 0.1, Y: 0.09, Z: 0.12}, 0.05))
		for _, r := range rods {
			d = math.Min(d, render.Capsule(p, r[0], r[1], 0.011, 0.011))
		}
		d = math.Min(d, render.Capsule(p, vec{X: -0.42, Y: 1.0, Z: -0.25}, vec{X: -0.42, Y: 1.0, Z: 0.25}, 0.022, 0.022))
		for _, w := range [4]vec{{X: -0.32, Y: 0.07, Z: -0.2}, {X: -0.32, Y: 0.07, Z: 0.2}, {X: 0.34, Y: 0.07, Z: -0.16}, {X: 0.34, Y: 0.07, Z: 0.16}} {
			d = math.Min(d, render.Capsule(p, w, w.Add(vec{Y: 0.1}), 0.05, 0.02))
		}
		return d * 0.95
	}
	return render.Actor{
		Solid: &render.Solid{Box: render.Box{Min: vec{X: -0.5, Z: -0.3}, Max: vec{X: 0.52, Y: 1.05, Z: 0.3}}, Dist: dist},
		Skin: func(p, _ vec) render.Paint {
			switch {
			case p.X < -0.39 && p.Y > 0.97:
				return render.Paint{Color: render.Hex(0xb02a2a)}
			case p.Y < 0.13:
				return render.Paint{Color: render.Hex(0x202020)}
			case p.X > -0.06 && p.X < 0.27 && math.Abs(p.Z) < 0.14 && p.Y < 0.75 && p.Y > 0.5:
				return render.Paint{Color: render.Hex(0xc98f4a)}
			case p.X <= -0.06 && p.X > -0.27 && math.Abs(p.Z) < 0.17 && p.Y < 0.7 && p.Y > 0.5:
				return render.Paint{Color: render.Hex(0x5f8f3f)}
			}
			return render.Paint{Color: render.Hex(0xa4a9ad), Gloss: 0.2}
		},
		At: at, Turn: render.NewTurn(yaw),
		Blobs: []render.Blob{{At: vec{Y: 0.6, X: -0.1}, R: 0.22}, {At: vec{Y: 0.6, X: 0.2}, R: 0.2}, {At: vec{Y: 0.1}, R: 0.14}},
	}
}
