package stage

import (
	"math"

	"holdfast/testenv/scenes/render"
)

// CarPark is a shop's car park by day.
func CarPark() Scene {
	set := &render.Set{
		Camera: render.Camera{At: vec{X: -3, Y: 5.6, Z: -1.5}, Look: vec{X: 0.8, Y: 0.6, Z: 14}, FOV: 1.22, Barrel: 0.05},
		Props:  carParkProps(),
		Lights: []render.Light{{
			Toward: vec{X: -0.62, Y: 0.62, Z: -0.35}.Norm(), Panel: vec{X: 0.02}, Color: vec{X: 2.5, Y: 2.3, Z: 1.95},
		}},
		Sky: vec{X: 0.62, Y: 0.72, Z: 0.88}, Floor: vec{X: 0.22, Y: 0.21, Z: 0.19}, Reach: 2.5,
		Horizon: sky(render.Hex(0x6f9bd0), render.Hex(0xd5dde6)),
		Sensor: render.Sensor{
			Exposure: 0.56, Vignette: 0.3, Fade: 0.3, Tint: vec{X: 0.98, Y: 1, Z: 1.04}, Noise: 1.6, Sharpen: 0.55, Lift: 0.02,
		},
	}
	return Scene{Name: "carpark", Title: "CAR PARK NORTH", Seconds: 12, Set: set, Cast: carParkCast}
}

// CarParkNight is the same car park from the other corner, under infrared.
func CarParkNight() Scene {
	set := &render.Set{
		Camera: render.Camera{At: vec{X: 9.5, Y: 4.6, Z: 1}, Look: vec{X: -2.2, Y: 0.5, Z: 15}, FOV: 1.25, Barrel: 0.05},
		Props:  carParkProps(),
		Lights: []render.Light{
			{
				At: vec{X: 9.6, Y: 4.9, Z: 0.9}, Aim: vec{X: -11.7, Y: -4.5, Z: 14}.Norm(), Cone: 0.95,
				Panel: vec{X: 0.05, Y: 0.05}, Wide: 5, Color: vec{X: 125, Y: 125, Z: 125}, Beside: true,
			},
			{At: vec{X: -7.5, Y: 6.1, Z: 22.9}, Aim: vec{Y: -1}, Cone: 1.25, Panel: vec{X: 0.2, Z: 0.1}, Color: vec{X: 14, Y: 12, Z: 9}},
		},
		Sky: vec{X: 0.02, Y: 0.02, Z: 0.022}, Floor: vec{X: 0.01, Y: 0.01, Z: 0.01}, Reach: 2.5,
		Horizon: func(d vec) vec { return vec{X: 0.012, Y: 0.012, Z: 0.012}.Mul(1 + 2*max(0, 0.2-d.Y)) },
		Sensor: render.Sensor{
			Exposure: 1.45, Vignette: 0.4, Mono: true, Noise: 4.5, Grain: 0.6, Sharpen: 0.4, Lift: 0.035,
		},
	}
	return Scene{Name: "carpark-night", Title: "CAR PARK SOUTH", Seconds: 12, Set: set, Cast: carParkNightCast}
}

func carParkCast(t float64) []render.Actor {
	const loop = 12
	var actors []render.Actor
	drive := route{Points: []vec{{X: -26, Z: 14.9}, {X: 30, Z: 14.9}}, Pace: 6.2, From: 10.2}
	if s, ok := drive.at(t, loop); ok {
		actors = append(actors, hatch().driven(render.Hex(0xb3261e), s.At, s.Yaw))
	}
	second := route{Points: []vec{{X: 28, Z: 12.2}, {X: -24, Z: 12.2}}, Pace: 7.2, From: 5.4}
	if s, ok := second.at(t, loop); ok {
		actors = append(actors, suv().driven(render.Hex(0x39424c), s.At, s.Yaw))
	}
	walkers := []walker{
		{look: outfit(3), route: route{Points: []vec{{X: 2.2, Z: 2}, {X: 2.9, Z: 9.5}, {X: 4.2, Z: 13}, {X: 5.2, Z: 17.5}}, Pace: 1.42, From: 11.4}},
		{look: outfit(1), route: route{Points: []vec{{X: 13, Z: 24}, {X: -3.4, Z: 23.7}}, Pace: 1.38, From: 4}},
		{look: outfit(6), route: route{Points: []vec{{X: -15, Z: 23.4}, {X: 1.8, Z: 23.6}, {X: 2, Z: 26.6}}, Pace: 1.62, From: 0}},
	}
	for _, w := range walkers {
		actors = w.cast(actors, t, loop)
	}
	return actors
}

func carParkNightCast(t float64) []render.Actor {
	const loop = 12
	var actors []render.Actor
	drive := route{Points: []vec{{X: 24, Z: 12.4}, {X: -30, Z: 12.4}}, Pace: 7.5, From: 3}
	if s, ok := drive.at(t, loop); ok {
		a := saloon().driven(render.Hex(0x7c8790), s.At, s.Yaw)
		a.Glow = &render.Lamp{
			At: s.At.Add(vec{X: -2.6, Y: 0.7}), Color: vec{X: 9, Y: 9, Z: 9}, Aim: vec{X: -1, Y: -0.1}.Norm(), Cone: 0.6,
		}
		actors = append(actors, a)
	}
	guard := outfit(4)
	guard.Vest = true
	walkers := []walker{
		{look: guard, route: route{Points: []vec{{X: 6.4, Z: 3.4}, {X: 3.4, Z: 10.4}, {X: -1, Z: 14.8}, {X: -9.5, Z: 15.8}}, Pace: 1.6, From: 9}},
		{look: outfit(2), route: route{Points: []vec{{X: -16, Z: 23.5}, {X: 3.5, Z: 23.5}}, Pace: 1.66, From: 1}},
	}
	for _, w := range walkers {
		actors = w.cast(actors, t, loop)
	}
	return actors
}

func carParkProps() []render.Prop {
	props := []render.Prop{
		render.Put(render.Ground{Reach: 120}, asphalt, vec{}, 0),
		render.Put(render.Block{Half: vec{X: 40, Y: 0.07, Z: 1.35}}, paving, vec{Y: 0.0, Z: 24.05}, 0),
	}
	props = append(props, building()...)
	props = append(props, parkedCars()...)
	props = append(props, greens()...)
	return append(props, furniture()...)
}

// asphalt is the ground with its markings.
func asphalt(p, _ vec) render.Paint {
	if p.Z > 44 || p.Z < -30 || math.Abs(p.X) > 46 {
		g := render.Clouds(p.X*0.4, p.Z*0.4, 3, 9)
		return render.Paint{Color: render.Hex(0x55683a).Mul(0.7 + 0.6*g)}
	}
	base := 0.085 + 0.05*render.Clouds(p.X*0.22, p.Z*0.22, 4, 1) + 0.05*(render.Clouds(p.X*26, p.Z*26, 2, 5)-0.5)
	// Tyres polish the lane; oil drips in the bays.
	base *= 1 - 0.16*render.Smooth(0.7, 0, math.Abs(math.Abs(math.Abs(p.Z-13.6)-1.35)-0.75))
	bay := math.Mod(p.X+200*2.6, 2.6) - 1.3
	oil := render.Smooth(0.5, 0.1, math.Hypot(bay, (p.Z-20.4)*0.7)) * render.Clouds(p.X*3, p.Z*3, 3, 8)
	base *= 1 - 0.5*oil
	crack := math.Abs(render.Clouds(p.X*0.35, p.Z*0.35, 4, 21) - 0.5)
	base *= 1 - 0.35*render.Smooth(0.006, 0.002, crack)
	c := vec{X: base, Y: base * 0.99, Z: base * 0.97}
	if w := marking(p); w > 0 {
		worn := render.Smooth(0.16, 0.42, render.Clouds(p.X*4, p.Z*4, 4, 3))
		c = c.Mix(vec{X: 0.72, Y: 0.72, Z: 0.69}, w*(0.35+0.6*worn))
	}
	return render.Paint{Color: c}
}

// marking is how much white paint covers the ground at p.
func marking(p vec) float64 {
	line := func(d, half float64) float64 { return render.Smooth(half+0.015, half-0.015, math.Abs(d)) }
	edge := math.Abs(math.Mod(p.X+200*2.6+1.3, 2.6) - 1.3)
	if math.Abs(p.X) < 19 && ((p.Z > 17.6 && p.Z < 22.6) || (p.Z > 4.6 && p.Z < 9.6)) {
		return line(edge, 0.06)
	}
	if p.X > -19 && p.X < 19 && (math.Abs(p.Z-22.6) < 0.1 || math.Abs(p.Z-4.6) < 0.1) {
		return line(p.Z-22.6, 0.06) + line(p.Z-4.6, 0.06)
	}
	// Direction arrows.
	for _, a := range [4][3]float64{{-8.5, 14.9, 1}, {5.5, 14.9, 1}, {-3, 12.2, -1}, {11, 12.2, -1}} {
		x, z := (p.X-a[0])*a[2], math.Abs(p.Z-a[1])
		if x > -1.2 && x < 0.35 && z < 0.09 {
			return 1
		}
		if x >= 0.35 && x < 1.2 && z < (1.2-x)*0.42 {
			return 1
		}
	}
	// A dashed line in the middle of the lane.
	if math.Abs(p.Z-13.55) < 0.06 && math.Mod(p.X+300, 3) < 1.5 && math.Abs(p.X) < 30 {
		return 0.9
	}
	return 0
}

func paving(p, n vec) render.Paint {
	if n.Y < 0.5 {
		return render.Paint{Color: render.Hex(0x9a9890)}
	}
	row := math.Floor(p.Z / 0.4)
	x := p.X + 0.3*math.Mod(math.Abs(row), 2)
	joint := math.Abs(math.Mod(x+400, 0.6)-0.3) > 0.288 || math.Abs(math.Mod(p.Z+40, 0.4)-0.2) > 0.19
	tone := 0.9 + 0.2*render.Pick(int(math.Floor(x/0.6)), int(row), 4)
	if joint {
		tone *= 0.72
	}
	return render.Paint{Color: render.Hex(0xa8a298).Mul(tone)}
}

// building is the shop behind the car park: brick, a glazed front, a canopy and a sign.
func building() []render.Prop {
	front := 26.4
	wall := func(p, n vec) render.Paint {
		if n.Z > -0.5 {
			return brick(p.X+p.Z, p.Y)
		}
		// The local origin is the middle of the block.
		x, y := p.X, p.Y+3.1
		if y < 2.9 && y > 0.25 && math.Abs(x-1) < 9.2 {
			return shopWindow(x, y)
		}
		return brick(x, y)
	}
	fascia := func(p, n vec) render.Paint {
		if n.Z < -0.5 && math.Abs(p.X-1.5) < 4.4 && math.Abs(p.Y) < 0.26 && signText(p.X-1.5, p.Y) {
			return render.Paint{Color: vec{X: 0.85, Y: 0.85, Z: 0.82}, Glow: vec{X: 0.05, Y: 0.05, Z: 0.05}}
		}
		return render.Paint{Color: render.Hex(0x1f5a4a)}
	}
	return []render.Prop{
		render.Put(render.Block{Half: vec{X: 17, Y: 3.1, Z: 6}}, wall, vec{X: 1, Y: 3.1, Z: front + 6}, 0),
		render.Put(render.Block{Half: vec{X: 17.2, Y: 0.12, Z: 6.2}}, render.Plain(render.Hex(0x8c8a86)), vec{X: 1, Y: 6.3, Z: front + 6}, 0),
		render.Put(render.Block{Half: vec{X: 9.6, Y: 0.42, Z: 0.55}}, fascia, vec{X: 2, Y: 3.5, Z: front - 0.4}, 0),
		render.Put(render.Block{Half: vec{X: 9, Y: 4.6, Z: 7}}, slabWall, vec{X: 32, Y: 4.6, Z: front + 13}, 0),
		render.Put(render.Block{Half: vec{X: 12, Y: 3.4, Z: 7}}, slabWall, vec{X: -33, Y: 3.4, Z: front + 16}, 0),
	}
}

func brick(x, y float64) render.Paint {
	row := math.Floor(y / 0.085)
	bx := x + 0.12*math.Mod(math.Abs(row), 2)
	tone := 0.88 + 0.2*render.Pick(int(math.Floor(bx/0.24)), int(row), 6) + 0.25*(render.Clouds(x*0.5, y*0.5, 3, 2)-0.5)
	if math.Mod(y+50, 0.085) < 0.012 || math.Mod(bx+400, 0.24) < 0.012 {
		return render.Paint{Color: render.Hex(0xa39a8c).Mul(tone)}
	}
	return render.Paint{Color: render.Hex(0x8a5a48).Mul(tone)}
}

func shopWindow(x, y float64) render.Paint {
	pane := math.Mod(x+400, 2.3)
	if pane < 0.07 || y > 2.8 || y < 0.36 {
		return render.Paint{Color: render.Hex(0x3c4245)}
	}
	inside := 0.05 + 0.12*render.Smooth(0.5, 0.7, render.Clouds(x*0.9, y*1.2, 3, 31))
	glow := vec{X: inside, Y: inside * 0.95, Z: inside * 0.8}
	if y > 2.2 && y < 2.32 {
		glow = vec{X: 0.5, Y: 0.48, Z: 0.42}
	}
	if k := int((x + 400) / 2.3); k%3 == 1 && y > 0.7 && y < 1.9 && pane > 0.4 && pane < 1.9 {
		poster := [...]uint32{0xc8452c, 0xd9a520, 0x2f6f9a}[k/3%3]
		return render.Paint{Color: render.Hex(poster), Gloss: 0.05}
	}
	return render.Paint{Color: render.Hex(0x15191b), Gloss: 0.09, Glow: glow}
}

// signText says whether the letters of the sign cover (x,y), metres from its middle.
func signText(x, y float64) bool { return render.Lettered("ORCHARD MARKET", x, y, 0.07) }

func slabWall(p, n vec) render.Paint {
	tone := 0.85 + 0.25*render.Clouds(p.X*0.3+p.Z*0.3, p.Y*0.8, 3, 14)
	if n.Y < 0.5 && math.Mod(p.X+p.Z+400, 3.2) > 1.0 && math.Mod(p.X+p.Z+400, 3.2) < 2.4 && math.Mod(p.Y+20, 2.8) > 1 && math.Mod(p.Y+20, 2.8) < 2.2 {
		return render.Paint{Color: render.Hex(0x2a3238), Gloss: 0.08}
	}
	return render.Paint{Color: render.Hex(0xb9b2a4).Mul(tone)}
}

func parkedCars() []render.Prop {
	paints := [...]uint32{0x1d2a44, 0xb9bec3, 0x16181b, 0x6e1f20, 0xe2e2de, 0x4a5560, 0x2f5b46, 0x8c8f94, 0x274a78}
	shapes := [...]func() car{saloon, hatch, suv, hatch, saloon, suv}
	var props []render.Prop
	i := 0
	for bay := -7; bay <= 7; bay++ {
		if bay == -1 || bay == 2 || bay == -6 {
			continue // free bays
		}
		i++
		yaw := math.Pi/2 + 0.05*(render.Pick(bay, 1, 2)-0.5)
		if render.Pick(bay, 3, 5) < 0.4 {
			yaw += math.Pi
		}
		props = append(props, shapes[i%len(shapes)]().parked(render.Hex(paints[i%len(paints)]), float64(bay)*2.6, 20.1+0.4*render.Pick(bay, 1, 1), yaw))
	}
	props = append(props,
		van().parked(render.Hex(0xe6e7e4), -2.6*2, 7, -math.Pi/2+0.03),
		saloon().parked(render.Hex(0x2b4b7a), 0, 7.1, math.Pi/2-0.02),
		suv().parked(render.Hex(0x9aa1a6), 2.6*3, 6.9, math.Pi/2),
		hatch().parked(render.Hex(0xc99a2c), 2.6*4, 7.2, -math.Pi/2),
	)
	return props
}

// leaf paints foliage.
func leaf(seed int) render.Skin {
	return func(p, n vec) render.Paint {
		g := render.Clouds(p.X*5+p.Y*3, p.Z*5-p.Y*4, 3, seed)
		return render.Paint{Color: render.Hex(0x4d6b2e).Mix(render.Hex(0x22381a), g).Mul(0.7 + 0.6*g)}
	}
}

// greens are hedges and trees.
func greens() []render.Prop {
	var props []render.Prop
	tree := func(x, z, size float64, seed int) {
		props = append(props, render.Put(render.Post{R: 0.13 * size, H: 2.6 * size}, render.Plain(render.Hex(0x4a3a2a)), vec{X: x, Z: z}, 0))
		for k := range 26 {
			a, r := 6.28*render.Pick(seed, k, 1), 1.25*size*math.Sqrt(render.Pick(seed, k, 2))
			y := size * (2.3 + 2.3*render.Pick(seed, k, 3))
			props = append(props, render.Put(render.Leaves{R: size * (0.5 + 0.4*render.Pick(seed, k, 4)), Leaf: 0.085, Seed: seed + k}, leaf(seed+k%3),
				vec{X: x + r*math.Cos(a), Y: y, Z: z + r*math.Sin(a)}, 0))
		}
	}
	tree(-12.5, 24.6, 1.05, 11)
	tree(-19.5, 25, 1.2, 12)
	tree(22, 25.5, 1.15, 13)
	tree(-27, 27, 1.3, 14)
	for k := range 34 {
		x := -46 + float64(k)*0.9
		props = append(props, render.Put(render.Leaves{R: 0.72 + 0.16*render.Pick(k, 1, 8), Leaf: 0.07, Seed: k}, leaf(30+k%2),
			vec{X: x, Y: 0.45 + 0.1*render.Pick(k, 2, 8), Z: 26.6 + 0.3*render.Pick(k, 3, 8)}, 0))
	}
	return props
}

// furniture is lamp posts, a trolley shelter, bollards and a sign.
func furniture() []render.Prop {
	steel := render.Plain(render.Hex(0x7d8285))
	props := []render.Prop{
		render.Put(render.Post{R: 0.07, H: 6.2}, steel, vec{X: -7.5, Z: 23.5}, 0),
		render.Put(render.Block{Half: vec{X: 0.16, Y: 0.06, Z: 0.5}}, steel, vec{X: -7.5, Y: 6.2, Z: 23.1}, 0),
		render.Put(render.Post{R: 0.07, H: 6.2}, steel, vec{X: 15.5, Z: 23.5}, 0),
		render.Put(render.Block{Half: vec{X: 0.16, Y: 0.06, Z: 0.5}}, steel, vec{X: 15.5, Y: 6.2, Z: 23.1}, 0),
		render.Put(render.Post{R: 0.035, H: 2.6}, steel, vec{X: 5.2, Z: 22.95}, 0),
		render.Put(render.Block{Half: vec{X: 0.32, Y: 0.32, Z: 0.02}}, func(p, n vec) render.Paint {
			if render.Lettered("P", p.X, p.Y, 0.06) && n.Z < 0 {
				return render.Paint{Color: vec{X: 0.9, Y: 0.9, Z: 0.9}, Retro: 1.5}
			}
			return render.Paint{Color: render.Hex(0x1b4fa0), Retro: 0.4}
		}, vec{X: 5.2, Y: 2.4, Z: 22.92}, 0),
	}
	for k := range 5 {
		band := func(p, _ vec) render.Paint {
			if p.Y > 0.7 && p.Y < 0.84 {
				return render.Paint{Color: render.Hex(0xe8e2c8), Retro: 2}
			}
			return render.Paint{Color: render.Hex(0x2a2c2e)}
		}
		props = append(props, render.Put(render.Post{R: 0.07, H: 0.95}, band, vec{X: -1.2 + 1.4*float64(k), Z: 23.0}, 0))
	}
	return props
}
