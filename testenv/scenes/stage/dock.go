package stage

import (
	"math"

	"holdfast/testenv/scenes/render"
)

const dockWall = 15.5 // where the wall with the doors stands

// Dock is the inside of a goods-in hall with three loading doors.
func Dock() Scene {
	set := &render.Set{
		Camera: render.Camera{At: vec{X: -8.6, Y: 4.7, Z: 0.4}, Look: vec{X: 0.9, Y: 0.7, Z: 10.2}, FOV: 1.28, Barrel: 0.06},
		Props:  dockProps(),
		Lights: []render.Light{
			{At: vec{X: -4.5, Y: 5.4, Z: 6}, Aim: vec{Y: -1}, Cone: 1.45, Panel: vec{X: 0.9, Z: 0.3}, Color: vec{X: 9, Y: 9.2, Z: 9}},
			{At: vec{X: 4, Y: 5.4, Z: 6}, Aim: vec{Y: -1}, Cone: 1.45, Panel: vec{X: 0.9, Z: 0.3}, Color: vec{X: 9, Y: 9.2, Z: 9}},
			{At: vec{X: 0, Y: 5.4, Z: 12.5}, Aim: vec{Y: -1}, Cone: 1.45, Panel: vec{X: 0.9, Z: 0.3}, Color: vec{X: 8, Y: 8.2, Z: 8}},
			{At: vec{X: 5.6, Y: 2.4, Z: dockWall + 1.2}, Aim: vec{X: -0.2, Y: -0.35, Z: -1}.Norm(), Cone: 1.2, Panel: vec{X: 1.3, Y: 1.2}, Color: vec{X: 24, Y: 25, Z: 27}},
		},
		Sky: vec{X: 0.27, Y: 0.28, Z: 0.3}, Floor: vec{X: 0.2, Y: 0.2, Z: 0.19}, Reach: 2.2,
		Horizon: sky(vec{X: 1.5, Y: 1.7, Z: 2}, vec{X: 2, Y: 2.05, Z: 2.1}),
		Sensor: render.Sensor{
			Exposure: 1.0, Vignette: 0.32, Fade: 0.2, Tint: vec{X: 0.97, Y: 1, Z: 1.0}, Noise: 2, Sharpen: 0.55, Lift: 0.02,
		},
	}
	return Scene{Name: "dock", Title: "LOADING DOCK", Seconds: 12, Set: set, Cast: dockCast}
}

func dockCast(t float64) []render.Actor {
	const loop = 12
	var actors []render.Actor
	drive := route{
		Points: []vec{{X: 11.5, Z: 5.4}, {X: 3.5, Z: 6.2}, {X: 1.2, Z: 7.6}, {X: 0.1, Z: 10}, {X: 0, Z: 26.6}}, Pace: 3.1, From: 11,
	}
	if s, ok := drive.at(t, loop); ok {
		actors = append(actors, forklift(s.At, s.Yaw))
	}
	worker := func(i int) look {
		l := outfit(i)
		l.Vest, l.Bag, l.Cap = true, false, false
		return l
	}
	walkers := []walker{
		{look: worker(3), route: route{Points: []vec{{X: 3.2, Z: 26}, {X: 5.2, Z: 17}, {X: 5.2, Z: 12}, {X: 2.6, Z: 9.3}, {X: -4, Z: 8.6}, {X: -9.8, Z: 7}}, Pace: 1.9, From: 7}},
		{look: worker(0), Arms: 0.55, route: route{Points: []vec{{X: -9.8, Z: 10.2}, {X: -4.6, Z: 11.2}, {X: -3.5, Z: 13.5}, {X: -9.8, Z: 14}}, Pace: 1.35, From: 2}},
	}
	for _, w := range walkers {
		actors = w.cast(actors, t, loop)
	}
	return append(actors, person(worker(2), pose{
		Arms: 0.55 + 0.15*idle(t, loop, 0.33), Nod: 0.35 * idle(t, loop, 0.25), Phase: 0.6,
	}, vec{X: 5.6 + 0.05*idle(t, loop, 0.17), Z: 8.9}, -0.15+0.18*idle(t, loop, 0.09)))
}

func dockProps() []render.Prop {
	props := []render.Prop{
		render.Put(render.Ground{Reach: 80}, dockFloor, vec{}, 0),
		render.Put(render.Block{Half: vec{X: 12, Y: 0.1, Z: 9.5}}, dockRoof, vec{Y: 5.9, Z: 7}, 0),
		render.Put(render.Block{Half: vec{X: 0.1, Y: 3, Z: 9}}, dockCladding, vec{X: -10.2, Y: 3, Z: 7}, 0),
		render.Put(render.Block{Half: vec{X: 0.1, Y: 3, Z: 9}}, dockCladding, vec{X: 12, Y: 3, Z: 7}, 0),
	}
	props = append(props, dockDoors()...)
	props = append(props, trailer()...)
	props = append(props, racks()...)
	props = append(props, staged()...)
	for k := range 4 {
		z := -1 + 5.2*float64(k)
		props = append(props, render.Put(render.Block{Half: vec{X: 11, Y: 0.18, Z: 0.07}}, render.Plain(render.Hex(0x5d6468)), vec{X: 1, Y: 5.6, Z: z}, 0))
	}
	for _, x := range [2]float64{-4.5, 4} {
		props = append(props, render.Put(render.Block{Half: vec{X: 0.9, Y: 0.04, Z: 0.16}}, func(_, _ vec) render.Paint {
			return render.Paint{Color: render.Hex(0xffffff), Glow: vec{X: 3, Y: 3, Z: 3}}
		}, vec{X: x, Y: 5.46, Z: 6}, 0))
	}
	return props
}

func dockFloor(p, _ vec) render.Paint {
	if p.Z > dockWall+0.3 {
		base := 0.16 + 0.08*render.Clouds(p.X, p.Z, 4, 3)
		return daylit(render.Paint{Color: vec{X: base, Y: base, Z: base}})
	}
	base := 0.27 + 0.1*(render.Clouds(p.X*0.5, p.Z*0.5, 4, 2)-0.5) + 0.05*(render.Clouds(p.X*9, p.Z*9, 3, 5)-0.5)
	// Where the forklifts turn, tyres have left their marks.
	arc := math.Abs(math.Hypot(p.X-4.2, p.Z-11.5) - 4.1)
	base *= 1 - 0.28*render.Smooth(0.5, 0, arc)*render.Clouds(p.X*3, p.Z*3, 3, 7)
	if math.Mod(p.X+50, 5) < 0.025 || math.Mod(p.Z+50.2, 5) < 0.025 {
		base *= 0.55
	}
	c := vec{X: base, Y: base * 0.99, Z: base * 0.95}
	worn := render.Smooth(0.22, 0.45, render.Clouds(p.X*3, p.Z*3, 4, 9))
	if dockLine(p) {
		c = c.Mix(render.Hex(0xe0b01c), 0.3+0.6*worn)
	} else if hatched(p) {
		c = c.Mix(render.Hex(0xe0b01c), 0.25+0.5*worn)
	}
	return render.Paint{Color: c, Gloss: 0.025, Rough: 0.06}
}

// dockLine says whether a lane line covers the floor at p.
func dockLine(p vec) bool {
	if p.Z > dockWall-1.2 {
		return false
	}
	lane := math.Abs(math.Abs(p.X)-1.75) < 0.06 && p.Z > 9
	across := math.Abs(p.Z-4.6) < 0.06 || (math.Abs(p.Z-7.6) < 0.06 && math.Abs(p.X) > 1.7)
	bay := p.X > 3 && p.X < 8.2 && p.Z > 9.2 && p.Z < 12.9 &&
		(math.Abs(math.Mod(p.X-3+5.2, 1.7)-0.04) < 0.05 || math.Abs(p.Z-9.3) < 0.06)
	left := p.X < -5.4 && p.X > -8.8 && math.Abs(p.Z-12) < 0.06
	return lane || across || bay || left
}

// hatched is the keep-clear area before the doors.
func hatched(p vec) bool {
	return p.Z > dockWall-1.2 && p.Z < dockWall-0.2 && math.Mod(p.X+p.Z+60, 0.6) < 0.22 && math.Abs(p.X) < 8
}

func dockRoof(p, _ vec) render.Paint {
	rib := 0.75 + 0.25*math.Abs(math.Mod(p.X+60, 0.4)-0.2)/0.2
	return render.Paint{Color: render.Hex(0x9a9fa2).Mul(rib)}
}

func dockCladding(p, _ vec) render.Paint {
	u := p.X + p.Z
	rib := 0.8 + 0.2*render.Smooth(0.02, 0.05, math.Abs(math.Mod(u+60, 0.3)-0.15))
	y := p.Y + 3
	switch {
	case y < 1.1:
		tone := 0.85 + 0.2*render.Clouds(u, y, 3, 31)
		return render.Paint{Color: render.Hex(0x7f8487).Mul(tone)}
	case y < 1.22:
		return render.Paint{Color: render.Hex(0xd9a91c)}
	}
	return render.Paint{Color: render.Hex(0xc6c9c6).Mul(rib)}
}

// dockDoors is the wall with its openings, frames, seals and numbers.
func dockDoors() []render.Prop {
	const half, high = 1.55, 3.25
	xs := [3]float64{-5.6, 0, 5.6}
	var props []render.Prop
	wall := func(x0, x1, y0, y1 float64) {
		h := vec{X: (x1 - x0) / 2, Y: (y1 - y0) / 2, Z: 0.15}
		mid := vec{X: (x0 + x1) / 2, Y: (y0 + y1) / 2, Z: dockWall}
		props = append(props, render.Put(render.Block{Half: h}, func(p, n vec) render.Paint {
			return dockCladding(vec{X: p.X + mid.X, Y: p.Y + mid.Y - 3}, n)
		}, mid, 0))
	}
	wall(-11, xs[0]-half, 0, 6)
	wall(xs[0]+half, xs[1]-half, 0, 6)
	wall(xs[1]+half, xs[2]-half, 0, 6)
	wall(xs[2]+half, 12, 0, 6)
	for i, x := range xs {
		wall(x-half, x+half, high, 6)
		props = append(props, doorTrim(x, half, high, i)...)
	}
	shutter := func(p, _ vec) render.Paint {
		y := math.Mod(p.Y+20, 0.22)
		return render.Paint{Color: render.Hex(0xaab0b4).Mul(0.7 + 0.35*render.Smooth(0, 0.08, y)), Gloss: 0.03}
	}
	return append(props,
		render.Put(render.Block{Half: vec{X: half, Y: high / 2, Z: 0.04}}, shutter, vec{X: xs[0], Y: high / 2, Z: dockWall + 0.05}, 0),
		render.Put(render.Block{Half: vec{X: half, Y: 0.3, Z: 0.05}}, shutter, vec{X: xs[2], Y: high - 0.25, Z: dockWall + 0.05}, 0),
	)
}

func doorTrim(x, half, high float64, i int) []render.Prop {
	stripes := func(p, _ vec) render.Paint {
		if math.Mod(p.Y+p.X+p.Z+20, 0.36) < 0.18 {
			return render.Paint{Color: render.Hex(0xe2b21e)}
		}
		return render.Paint{Color: render.Hex(0x1a1a1a)}
	}
	number := func(p, n vec) render.Paint {
		if n.Z < -0.5 && render.Lettered(string(rune('1'+i)), p.X, p.Y, 0.075) {
			return render.Paint{Color: vec{X: 0.85, Y: 0.85, Z: 0.85}}
		}
		return render.Paint{Color: render.Hex(0x1c3f73)}
	}
	lamp := func(_, _ vec) render.Paint {
		glow := vec{X: 1.4, Y: 0.12, Z: 0.08}
		if i == 1 {
			glow = vec{X: 0.1, Y: 1.3, Z: 0.25}
		}
		return render.Paint{Color: render.Hex(0x202020), Glow: glow}
	}
	var props []render.Prop
	for s := -1.0; s <= 1; s += 2 {
		props = append(props,
			render.Put(render.Block{Half: vec{X: 0.09, Y: high / 2, Z: 0.2}}, stripes, vec{X: x + s*(half+0.08), Y: high / 2, Z: dockWall - 0.02}, 0),
			render.Put(render.Post{R: 0.1, H: 1.1}, stripes, vec{X: x + s*(half+0.5), Z: dockWall - 0.75}, 0),
		)
	}
	return append(props,
		render.Put(render.Block{Half: vec{X: half + 0.17, Y: 0.09, Z: 0.2}}, stripes, vec{X: x, Y: high + 0.08, Z: dockWall - 0.02}, 0),
		render.Put(render.Block{Half: vec{X: 0.36, Y: 0.36, Z: 0.03}}, number, vec{X: x, Y: high + 0.75, Z: dockWall - 0.18}, 0),
		render.Put(render.Block{Half: vec{X: 0.07, Y: 0.12, Z: 0.05}}, lamp, vec{X: x + half + 0.45, Y: 1.9, Z: dockWall - 0.2}, 0),
	)
}

// trailer is the lorry body docked at the middle door, seen from behind, and the yard beyond the third door.
func trailer() []render.Prop {
	inside := func(p, n vec) render.Paint {
		switch {
		case n.Y > 0.5:
			return render.Paint{Color: render.Hex(0x5a4632).Mul(0.8 + 0.4*render.Clouds(p.X*8, p.Z, 3, 2))}
		case math.Abs(n.X) > 0.5 && (math.Mod(p.Z+40, 1.2) < 0.06 || math.Abs(p.Y+0.3) < 0.05):
			return render.Paint{Color: render.Hex(0x5f6264)}
		}
		return render.Paint{Color: render.Hex(0x8d9090)}
	}
	mid := dockWall + 6.8
	props := []render.Prop{
		render.Put(render.Block{Half: vec{X: 1.4, Y: 0.01, Z: 6.5}}, inside, vec{Y: 0.01, Z: mid}, 0),
		render.Put(render.Block{Half: vec{X: 1.6, Y: 0.06, Z: 6.5}}, inside, vec{Y: 3.1, Z: mid}, 0),
		render.Put(render.Block{Half: vec{X: 0.06, Y: 1.5, Z: 6.5}}, inside, vec{X: -1.42, Y: 1.55, Z: mid}, 0),
		render.Put(render.Block{Half: vec{X: 0.06, Y: 1.5, Z: 6.5}}, inside, vec{X: 1.42, Y: 1.55, Z: mid}, 0),
		render.Put(render.Block{Half: vec{X: 1.5, Y: 1.5, Z: 0.05}}, inside, vec{Y: 1.55, Z: mid + 6.5}, 0),
		render.Put(render.Block{Half: vec{X: 1.5, Y: 0.02, Z: 0.8}}, render.Plain(render.Hex(0x6f7375)), vec{Y: 0.025, Z: dockWall}, 0),
		// The yard: a wall across and a parked lorry.
		render.Put(render.Block{Half: vec{X: 20, Y: 3, Z: 0.5}}, func(p, n vec) render.Paint {
			return daylit(brick(p.X, p.Y+3))
		}, vec{X: 18, Y: 3, Z: 48}, 0),
		render.Put(van().solid(), func(p, n vec) render.Paint {
			return daylit(van().paintwork(render.Hex(0xd8dad8), 0)(p, n))
		}, vec{X: 8.4, Z: 29}, 2.5),
	}
	for k := range 3 {
		props = append(props, pallet(vec{X: -0.65 + 0.1*render.Pick(k, 2, 2), Y: 0.02, Z: dockWall + 8.4 + 1.3*float64(k)}, 0.02, 4, k+20)...)
	}
	return props
}

// daylit is paint out in the yard, where the day lights it and not the lamps of the hall.
func daylit(p render.Paint) render.Paint {
	p.Glow = p.Glow.Add(p.Color.Mul(1.5))
	return p
}

// racks are the pallet racks along the right-hand wall.
func racks() []render.Prop {
	blue, orange := render.Plain(render.Hex(0x23559a)), render.Plain(render.Hex(0xd8641e))
	var props []render.Prop
	for k := range 4 {
		z := 2.2 + 2.9*float64(k)
		for _, x := range [2]float64{9.6, 10.7} {
			props = append(props, render.Put(render.Block{Half: vec{X: 0.05, Y: 2.3, Z: 0.05}}, blue, vec{X: x, Y: 2.3, Z: z}, 0))
		}
		if k == 3 {
			continue
		}
		for level := range 3 {
			y := 0.1 + 1.65*float64(level)
			if level > 0 {
				props = append(props, render.Put(render.Block{Half: vec{X: 0.04, Y: 0.07, Z: 1.45}}, orange, vec{X: 9.6, Y: y, Z: z + 1.45}, 0))
			}
			for n := range 2 {
				if render.Pick(k, level, n+70) < 0.15 {
					continue
				}
				props = append(props, pallet(vec{X: 10.2, Y: y + 0.07, Z: z + 0.78 + 1.3*float64(n)}, 0, 2+int(2*render.Pick(k, level, n)), k*7+level*3+n)...)
			}
		}
	}
	return props
}

// staged are the pallets that wait on the floor.
func staged() []render.Prop {
	var props []render.Prop
	for i, p := range [][3]float64{
		{3.9, 10.2, 0.02},
		{3.95, 11.7, -0.03},
		{6.9, 10.2, 0.05},
		{7.2, 11.8, -0.02},
		{-7, 13.2, 0.04},
		{-8.4, 13.3, -0.05},
		{-7.2, 5.9, 0.03},
		{-8.6, 6.2, 0.1},
		{2.2, 2.4, -0.04},
		{5.4, 2.2, 0.07},
	} {
		props = append(props, pallet(vec{X: p[0], Z: p[1]}, p[2], 2+i%3, i)...)
	}
	// Empty pallets in a pile.
	for k := range 7 {
		props = append(props, pallet(vec{X: -8.3 + 0.03*float64(k%3), Y: 0.14 * float64(k), Z: 9.2}, 0.03*float64(k%2), 0, k)...)
	}
	return props
}

// pallet carries rows of cartons, or none.
func pallet(at vec, yaw float64, rows, seed int) []render.Prop {
	wood := func(p, n vec) render.Paint {
		tone := 0.75 + 0.4*render.Clouds(p.X*3, p.Z*20, 3, seed)
		if n.Y > 0.5 && math.Mod(p.X+10, 0.2) < 0.05 {
			tone *= 0.3
		}
		if math.Abs(n.Y) < 0.5 && math.Abs(p.Y) < 0.035 && math.Mod(math.Abs(p.X+p.Z)+0.12, 0.5) > 0.16 {
			tone *= 0.12
		}
		return render.Paint{Color: render.Hex(0xa98458).Mul(tone)}
	}
	props := []render.Prop{render.Put(render.Block{Half: vec{X: 0.5, Y: 0.07, Z: 0.6}}, wood, at.Add(vec{Y: 0.07}), yaw)}
	wrapped := render.Pick(seed, 5, 5) < 0.35
	colors := [...]uint32{0xb98d5a, 0xc49a68, 0xa87c4c, 0xd8d4c8}
	color := render.Hex(colors[int(4*render.Pick(seed, 6, 6))])
	turn := render.NewTurn(yaw)
	for row := range rows {
		for k := range 4 {
			x, z := -0.245+0.49*float64(k%2), -0.295+0.59*float64(k/2)
			if row == rows-1 && render.Pick(seed, k, row) < 0.25 {
				continue
			}
			c := color.Mul(0.88 + 0.22*render.Pick(seed, k, row+9))
			props = append(props, render.Put(render.Block{Half: vec{X: 0.235, Y: 0.165, Z: 0.285}}, carton(c, wrapped),
				at.Add(turn.Out(vec{X: x, Y: 0.31 + 0.335*float64(row), Z: z})), yaw))
		}
	}
	return props
}

func carton(c vec, wrapped bool) render.Skin {
	return func(p, n vec) render.Paint {
		paint := render.Paint{Color: c}
		switch {
		case n.Y > 0.5 && math.Abs(p.X) < 0.03:
			paint.Color = render.Hex(0xcbb892)
		case math.Abs(n.Y) < 0.5 && math.Abs(p.Y-0.02) < 0.05 && math.Abs(p.X+p.Z-0.1) < 0.09:
			paint.Color = render.Hex(0xe9e6dd)
		}
		if wrapped {
			paint.Color = paint.Color.Mix(render.Hex(0xd8dcdc), 0.3)
			paint.Gloss = 0.05
		}
		return paint
	}
}
