package stage

import (
	"math"

	"holdfast/testenv/scenes/render"
)

func shopProps() []render.Prop {
	props := shopRoom()
	for _, x := range [4]float64{-2.0, 1.2, 4.4, 7.6} {
		props = append(props, gondola(x, 5.2, 12.8, int(x*10))...)
	}
	props = append(props, chillers()...)
	props = append(props, produce()...)
	for i, x := range [3]float64{2.3, 5.3, 8.3} {
		props = append(props, till(x, i)...)
	}
	return append(props, signs()...)
}

func shopRoom() []render.Prop {
	mid := vec{X: (shopLeft + shopRight) / 2, Y: shopHigh / 2, Z: (shopNear + shopFar) / 2}
	half := vec{X: (shopRight - shopLeft) / 2, Y: shopHigh / 2, Z: (shopFar - shopNear) / 2}
	return []render.Prop{render.Put(render.Block{Half: half}, func(p, n vec) render.Paint {
		w := p.Add(mid)
		switch {
		case n.Y > 0.5:
			return shopTiles(w)
		case n.Y < -0.5:
			return shopCeiling(w)
		case w.Z < shopNear+0.1:
			return shopFront(w)
		}
		return shopWall(w)
	}, mid, 0)}
}

func shopTiles(p vec) render.Paint {
	x, z := math.Mod(p.X+60, 0.6), math.Mod(p.Z+60, 0.6)
	tone := 0.93 + 0.1*render.Pick(int((p.X+60)/0.6), int((p.Z+60)/0.6), 2) + 0.1*(render.Clouds(p.X*0.8, p.Z*0.8, 3, 5)-0.5)
	if x < 0.012 || z < 0.012 {
		tone *= 0.72
	}
	return render.Paint{Color: render.Hex(0xb9b4aa).Mul(tone), Gloss: 0.05, Rough: 0.012}
}

func shopCeiling(p vec) render.Paint {
	x, z := math.Mod(p.X+60, 1.2), math.Mod(p.Z+60, 1.2)
	if x < 0.03 || z < 0.03 {
		return render.Paint{Color: render.Hex(0x9c9c98)}
	}
	if int((p.X+60)/1.2)%3 == 1 && int((p.Z+60)/1.2)%3 == 0 {
		return render.Paint{Color: render.Hex(0xffffff), Glow: vec{X: 3.2, Y: 3.2, Z: 3.1}}
	}
	return render.Paint{Color: render.Hex(0xdedcd6), Glow: vec{X: 0.1, Y: 0.1, Z: 0.095}}
}

func shopWall(p vec) render.Paint {
	if p.Y > 2.35 && p.Y < 2.62 {
		return render.Paint{Color: render.Hex(0x1f6a50)}
	}
	return render.Paint{Color: render.Hex(0xd9d2c2).Mul(0.92 + 0.12*render.Clouds(p.X*0.5+p.Z*0.5, p.Y, 3, 6))}
}

// shopFront is the glazed wall to the street, with its sliding door.
func shopFront(p vec) render.Paint {
	door := p.X > -2.6 && p.X < 0.2
	if p.Y > 2.5 || (!door && p.Y < 0.5) || p.X < -7.5 {
		return shopWall(p)
	}
	bar := math.Mod(p.X+60.2, 1.4)
	if bar < 0.06 || p.Y > 2.44 || (p.Y < 0.56 && !door) || p.Y < 0.06 {
		return render.Paint{Color: render.Hex(0x54595c)}
	}
	// Beyond the glass: pavement, road, the far side of the street.
	tone := vec{X: 1.1, Y: 1.15, Z: 1.2}
	switch {
	case p.Y < 0.75+0.03*p.X:
		tone = vec{X: 0.62, Y: 0.6, Z: 0.57}
	case p.Y < 1.0+0.02*p.X:
		tone = vec{X: 0.34, Y: 0.35, Z: 0.37}
	case p.Y < 1.75+0.5*(render.Cloud(p.X*1.3, 0, 60)-0.5):
		tone = vec{X: 0.42, Y: 0.5, Z: 0.33}.Mul(0.8 + 0.5*render.Clouds(p.X*5, p.Y*5, 3, 61))
	}
	return render.Paint{Color: render.Hex(0x202428), Glow: tone.Mul(0.95)}
}

// gondola is a double-sided shelf along Z, filled with goods.
func gondola(x, z0, z1 float64, seed int) []render.Prop {
	long, mid := (z1-z0)/2, (z0+z1)/2
	metal := render.Plain(render.Hex(0xc9c7c0))
	props := []render.Prop{
		render.Put(render.Block{Half: vec{X: 0.03, Y: 0.85, Z: long}}, metal, vec{X: x, Y: 0.85, Z: mid}, 0),
		render.Put(render.Block{Half: vec{X: 0.5, Y: 0.07, Z: long}}, render.Plain(render.Hex(0x5a5a58)), vec{X: x, Y: 0.07, Z: mid}, 0),
	}
	for level := range 4 {
		y := 0.16 + 0.41*float64(level)
		depth := 0.46 - 0.04*float64(level)
		rail := func(p, n vec) render.Paint {
			if math.Abs(n.X) > 0.5 && math.Mod(p.Z+40, 0.5) < 0.3 {
				return render.Paint{Color: render.Hex(0xe9c22e)}
			}
			return render.Paint{Color: render.Hex(0xd2d0ca)}
		}
		props = append(props, render.Put(render.Block{Half: vec{X: depth, Y: 0.02, Z: long}}, rail, vec{X: x, Y: y, Z: mid}, 0))
		for side := -1.0; side <= 1; side += 2 {
			props = append(props, goods(x, side, depth, y+0.02, z0, z1, seed+level*7+int(side)*3)...)
		}
	}
	// The end of the shelf, with an offer on it.
	for _, z := range [2]float64{z0 - 0.03, z1 + 0.03} {
		props = append(props, render.Put(render.Block{Half: vec{X: 0.46, Y: 0.8, Z: 0.02}}, render.Plain(render.Hex(0xd8d4cb)), vec{X: x, Y: 0.82, Z: z}, 0))
	}
	return append(props, offer(x, z0-0.32, seed)...)
}

// goods fills one side of one shelf: runs of equal packets, here and there a hole.
func goods(x, side, depth, y, z0, z1 float64, seed int) []render.Prop {
	colors := [...]uint32{0xc23b2e, 0xe0a326, 0x2c66a8, 0x3d8a4a, 0xe8e2d2, 0x7d3f7c, 0x1f2f52, 0xd86a2a, 0x8fb8c9, 0x5c3a25, 0xe5d04c, 0xb5b9bd}
	var props []render.Prop
	k := 0
	for z := z0 + 0.05; z < z1-0.3; k++ {
		wide, high := 0.09+0.16*render.Pick(seed, k, 1), 0.17+0.17*render.Pick(seed, k, 2)
		main := render.Hex(colors[int(render.Pick(seed, k, 3)*float64(len(colors)))])
		label := render.Hex(colors[int(render.Pick(seed, k, 4)*float64(len(colors)))])
		for n := 0; n < 2+int(3*render.Pick(seed, k, 5)) && z < z1-0.3; n++ {
			if render.Pick(seed, k*9+n, 6) > 0.07 {
				back := 0.05 * render.Pick(seed, k*9+n, 7)
				at := vec{X: x + side*(depth-0.13-back), Y: y + high/2, Z: z + wide/2}
				props = append(props, packet(at, vec{X: 0.11, Y: high / 2, Z: wide/2 - 0.006}, main, label, render.Pick(seed, k, 8) < 0.3))
			}
			z += wide
		}
		z += 0.02
	}
	return props
}

func packet(at, half, main, label vec, round bool) render.Prop {
	skin := func(p, n vec) render.Paint {
		y := p.Y
		if round {
			y -= half.Y
		}
		if math.Abs(y) < half.Y*0.45 {
			return render.Paint{Color: label}
		}
		return render.Paint{Color: main}
	}
	if round {
		at.Y -= half.Y
		return render.Put(render.Post{R: math.Min(half.Z, 0.055), H: half.Y * 2}, skin, at, 0)
	}
	return render.Put(render.Block{Half: half}, skin, at, 0)
}

// offer is a stack of boxes at the end of a shelf.
func offer(x, z float64, seed int) []render.Prop {
	colors := [...]uint32{0xc8402f, 0x2f72b0, 0xe3ab2a, 0x4b9150}
	c := render.Hex(colors[(seed/7+40)%len(colors)])
	var props []render.Prop
	for row := range 4 {
		for col := range 3 {
			if row == 3 && col == seed%3 {
				continue
			}
			at := vec{X: x - 0.3 + 0.3*float64(col), Y: 0.15 + 0.24*float64(row), Z: z + 0.02*render.Pick(row, col, seed)}
			props = append(props, packet(at, vec{X: 0.14, Y: 0.115, Z: 0.16}, c, render.Hex(0xf0ece0), false))
		}
	}
	return append(props, render.Put(render.Block{Half: vec{X: 0.48, Y: 0.06, Z: 0.28}}, render.Plain(render.Hex(0x7a5a3a)), vec{X: x, Y: 0.0, Z: z}, 0))
}

// chillers are the lit glass-fronted cabinets along the far wall.
func chillers() []render.Prop {
	skin := func(p, n vec) render.Paint {
		if n.Z > -0.5 {
			return render.Paint{Color: render.Hex(0x3a3e42)}
		}
		x, y := math.Mod(p.X+60, 1.15), p.Y+1.1
		if x < 0.05 || y < 0.22 || y > 2.08 {
			return render.Paint{Color: render.Hex(0x33373b), Gloss: 0.05}
		}
		row := int((y - 0.22) / 0.37)
		if math.Mod(y-0.22, 0.37) < 0.025 {
			return render.Paint{Color: render.Hex(0xc8ccd0), Glow: vec{X: 0.35, Y: 0.37, Z: 0.4}}
		}
		cell := int((p.X + 60) / 0.14)
		colors := [...]uint32{0xe8e6e0, 0x3f79b5, 0xd9533c, 0xf2e9c8, 0x76a94e, 0xe9c64a}
		c := render.Hex(colors[int(render.Pick(cell/3, row, 90)*6)]).Mul(0.75 + 0.3*render.Pick(cell, row, 91))
		if math.Mod(p.X+60, 0.14) < 0.012 || math.Mod(y-0.22, 0.37) > 0.3 {
			c = c.Mul(0.25)
		}
		return render.Paint{Color: c.Mul(0.5), Glow: c.Mul(0.55), Gloss: 0.04}
	}
	return []render.Prop{render.Put(render.Block{Half: vec{X: 9, Y: 1.1, Z: 0.4}}, skin, vec{X: 0.5, Y: 1.1, Z: shopFar - 0.42}, 0)}
}

// produce is the fruit and vegetable stand.
func produce() []render.Prop {
	fruits := [...]uint32{0xe07a1f, 0xb8242a, 0x7fa83a, 0xe8c62f, 0x6a2f4f, 0xc9a06a}
	var props []render.Prop
	for table := range 2 {
		x0, z0 := -6.1, 5.6+2.6*float64(table)
		props = append(props, render.Put(render.Block{Half: vec{X: 0.62, Y: 0.36, Z: 1.15}}, render.Plain(render.Hex(0x6e4f33)), vec{X: x0, Y: 0.36, Z: z0}, 0))
		for k := range 6 {
			x, z := x0-0.3+0.6*float64(k%2), z0-0.76+0.76*float64(k/2)
			crate := render.Plain(render.Hex(0x3c5a46))
			if k%2 == 1 {
				crate = render.Plain(render.Hex(0x9a7b50))
			}
			props = append(props, render.Put(render.Block{Half: vec{X: 0.28, Y: 0.07, Z: 0.36}}, crate, vec{X: x, Y: 0.79, Z: z}, 0))
			c := render.Hex(fruits[(k+3*table)%len(fruits)])
			for n := range 44 {
				r := 0.05 + 0.012*render.Pick(n, k, table)
				at := vec{X: x - 0.22 + 0.44*render.Pick(n, 1, k+9*table), Y: 0.87 + 0.05*render.Pick(n, 3, k), Z: z - 0.3 + 0.6*render.Pick(n, 2, k+9*table)}
				props = append(props, render.Put(render.Ball{R: r}, render.Plain(c.Mul(0.8+0.4*render.Pick(n, 4, k))), at, 0))
			}
		}
	}
	return props
}

// till is one checkout: belt, screen and a rail.
func till(x float64, i int) []render.Prop {
	body := func(p, n vec) render.Paint {
		if n.Y > 0.5 {
			if math.Abs(p.X) < 0.2 && p.Z > -0.3 {
				return render.Paint{Color: render.Hex(0x1c1d1e).Mul(1 + 0.2*render.Clouds(p.X*40, p.Z*3, 2, 3))}
			}
			return render.Paint{Color: render.Hex(0xb5b2aa), Gloss: 0.04}
		}
		if p.Y > 0.25 {
			return render.Paint{Color: render.Hex(0x1f6a50)}
		}
		return render.Paint{Color: render.Hex(0x8b8a85)}
	}
	screen := func(p, n vec) render.Paint {
		if n.X > 0.5 && math.Abs(p.Y) < 0.12 && math.Abs(p.Z) < 0.17 {
			return render.Paint{Color: render.Hex(0x101418), Glow: vec{X: 0.25, Y: 0.45, Z: 0.6}}
		}
		return render.Paint{Color: render.Hex(0x1a1b1c)}
	}
	sign := func(p, n vec) render.Paint {
		if math.Abs(n.Z) > 0.5 && render.Lettered(string(rune('1'+i)), -math.Copysign(p.X, p.X*n.Z), p.Y, 0.035) {
			return render.Paint{Color: vec{X: 0.05, Y: 0.2, Z: 0.12}}
		}
		return render.Paint{Color: render.Hex(0xf2f0e6), Glow: vec{X: 0.5, Y: 0.5, Z: 0.45}}
	}
	props := []render.Prop{
		render.Put(render.Block{Half: vec{X: 0.33, Y: 0.44, Z: 1.4}}, body, vec{X: x, Y: 0.44, Z: 0.6}, 0),
		render.Put(render.Block{Half: vec{X: 0.02, Y: 0.15, Z: 0.2}}, screen, vec{X: x + 0.1, Y: 1.12, Z: -0.2}, 0),
		render.Put(render.Post{R: 0.02, H: 1.0}, render.Plain(render.Hex(0x606468)), vec{X: x - 0.25, Y: 0.9, Z: 1.7}, 0),
		render.Put(render.Block{Half: vec{X: 0.15, Y: 0.16, Z: 0.08}}, sign, vec{X: x - 0.25, Y: 2.0, Z: 1.7}, 0),
		render.Put(render.Block{Half: vec{X: 0.2, Y: 0.05, Z: 0.34}}, render.Plain(render.Hex(0x4a4d50)), vec{X: x, Y: 0.9, Z: -0.75}, 0),
	}
	for k := range 5 {
		c := [...]uint32{0xd44f38, 0xf0e6c8, 0x3f7fb8, 0x74a24a, 0xe8b93a}[(k+i)%5]
		props = append(props, packet(vec{X: x - 0.06 + 0.1*render.Pick(k, i, 3), Y: 0.98, Z: 0.5 + 0.27*float64(k)},
			vec{X: 0.06, Y: 0.1, Z: 0.05}, render.Hex(c), render.Hex(0xe9e6dc), k%2 == 0))
	}
	return props
}

// signs hang from the ceiling over the aisles.
func signs() []render.Prop {
	var props []render.Prop
	for i, text := range [4]string{"BAKERY", "DRINKS", "HOME", "FROZEN"} {
		skin := func(p, n vec) render.Paint {
			if n.Z < -0.5 && render.Lettered(text, p.X, p.Y, 0.028) {
				return render.Paint{Color: vec{X: 0.92, Y: 0.92, Z: 0.88}}
			}
			return render.Paint{Color: render.Hex(0x1f6a50)}
		}
		at := vec{X: -0.4 + 3.2*float64(i), Y: 2.55, Z: 5.6}
		props = append(props, render.Put(render.Block{Half: vec{X: 0.62, Y: 0.17, Z: 0.02}}, skin, at, 0))
		for s := -0.5; s <= 0.5; s++ {
			props = append(props, render.Put(render.Post{R: 0.008, H: 0.6}, render.Plain(render.Hex(0x888888)), vec{X: at.X + s, Y: 2.7, Z: at.Z}, 0))
		}
	}
	return props
}
