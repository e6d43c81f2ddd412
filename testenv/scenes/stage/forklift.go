package stage

import (
	"math"

	"holdfast/testenv/scenes/render"
)

// Parts of a forklift, by paint.
const (
	truckYellow = iota
	truckBlack
	truckSteel
	truckTyre
	truckLoad
	truckWood
	truckDriver
	truckSkin
	truckHelmet
)

// forklift carries a pallet on its forks, a driver in the seat; it drives towards local +X.
func forklift(at vec, yaw float64) render.Actor {
	parts := func(p vec) (float64, int) {
		z := math.Abs(p.Z)
		q := vec{X: p.X, Y: p.Y, Z: z}
		best, what := math.Inf(1), 0
		take := func(d float64, paint int) {
			if d < best {
				best, what = d, paint
			}
		}
		take(render.RoundBox(p, vec{X: -0.25, Y: 0.58, Z: 0}, vec{X: 0.85, Y: 0.26, Z: 0.5}, 0.08), truckYellow)
		take(render.RoundBox(p, vec{X: -0.95, Y: 0.75, Z: 0}, vec{X: 0.32, Y: 0.4, Z: 0.52}, 0.14), truckYellow)
		take(render.RoundBox(p, vec{X: 0.42, Y: 0.95, Z: 0}, vec{X: 0.1, Y: 0.3, Z: 0.4}, 0.06), truckBlack)
		take(render.RoundBox(p, vec{X: -0.45, Y: 1.02, Z: 0}, vec{X: 0.3, Y: 0.08, Z: 0.26}, 0.05), truckBlack)
		take(render.RoundBox(p, vec{X: -0.72, Y: 1.28, Z: 0}, vec{X: 0.06, Y: 0.3, Z: 0.24}, 0.05), truckBlack)
		take(render.Capsule(q, vec{X: 0.5, Y: 0.9, Z: 0.46}, vec{X: 0.25, Y: 2.1, Z: 0.42}, 0.035, 0.035), truckBlack)
		take(render.Capsule(q, vec{X: -1.0, Y: 1.0, Z: 0.44}, vec{X: -0.85, Y: 2.1, Z: 0.42}, 0.035, 0.035), truckBlack)
		take(render.RoundBox(p, vec{X: -0.3, Y: 2.12, Z: 0}, vec{X: 0.62, Y: 0.03, Z: 0.47}, 0.02), truckBlack)
		take(render.RoundBox(q, vec{X: 0.78, Y: 1.1, Z: 0.3}, vec{X: 0.06, Y: 1.05, Z: 0.06}, 0.02), truckSteel)
		for _, y := range [3]float64{0.25, 1.1, 2.05} {
			take(render.RoundBox(p, vec{X: 0.78, Y: y, Z: 0}, vec{X: 0.04, Y: 0.05, Z: 0.3}, 0.01), truckSteel)
		}
		take(render.RoundBox(q, vec{X: 1.42, Y: 0.22, Z: 0.24}, vec{X: 0.6, Y: 0.025, Z: 0.07}, 0.01), truckSteel)
		take(render.Disc(q, vec{X: 0.48, Y: 0.32, Z: 0.5}, 0.3, 0.1)-0.02, truckTyre)
		take(render.Disc(q, vec{X: -0.85, Y: 0.26, Z: 0.46}, 0.24, 0.09)-0.02, truckTyre)
		take(render.RoundBox(p, vec{X: 1.5, Y: 0.32, Z: 0}, vec{X: 0.5, Y: 0.07, Z: 0.6}, 0.01), truckWood)
		take(render.RoundBox(p, vec{X: 1.5, Y: 0.78, Z: 0}, vec{X: 0.47, Y: 0.39, Z: 0.57}, 0.02), truckLoad)
		driver(p, q, take)
		return best, what
	}
	return render.Actor{
		Solid: &render.Solid{
			Box:  render.Box{Min: vec{X: -1.32, Z: -0.66}, Max: vec{X: 2.08, Y: 2.2, Z: 0.66}},
			Dist: func(p vec) float64 { d, _ := parts(p); return d * 0.95 },
		},
		Skin: func(p, n vec) render.Paint { _, what := parts(p); return truckPaint(p, n, what) },
		At:   at, Turn: render.NewTurn(yaw),
		Blobs: []render.Blob{
			{At: vec{X: -0.8, Y: 0.5}, R: 0.55},
			{At: vec{X: 0.1, Y: 0.5}, R: 0.55},
			{At: vec{X: 1.2, Y: 0.6}, R: 0.5},
			{At: vec{X: 1.7, Y: 0.6}, R: 0.5},
			{At: vec{X: -0.4, Y: 1.4}, R: 0.35},
		},
	}
}

func driver(p, q vec, take func(float64, int)) {
	take(render.Capsule(p, vec{X: -0.5, Y: 1.15}, vec{X: -0.46, Y: 1.52}, 0.17, 0.17), truckDriver)
	take(render.Capsule(q, vec{X: -0.45, Y: 1.16, Z: 0.1}, vec{X: 0.02, Y: 1.18, Z: 0.13}, 0.085, 0.07), truckBlack)
	take(render.Capsule(q, vec{X: 0.02, Y: 1.18, Z: 0.13}, vec{X: 0.18, Y: 0.85, Z: 0.13}, 0.065, 0.05), truckBlack)
	take(render.Capsule(q, vec{X: -0.44, Y: 1.55, Z: 0.2}, vec{X: -0.22, Y: 1.34, Z: 0.24}, 0.06, 0.05), truckDriver)
	take(render.Capsule(q, vec{X: -0.22, Y: 1.34, Z: 0.24}, vec{X: 0.08, Y: 1.32, Z: 0.14}, 0.045, 0.04), truckSkin)
	take(render.Capsule(p, vec{X: -0.42, Y: 1.72}, vec{X: -0.41, Y: 1.8}, 0.09, 0.1), truckSkin)
	take(render.Capsule(p, vec{X: -0.44, Y: 1.84}, vec{X: -0.41, Y: 1.86}, 0.108, 0.108), truckHelmet)
}

func truckPaint(p, n vec, what int) render.Paint {
	switch what {
	case truckYellow:
		if p.X < -1.1 && math.Mod(p.Y+p.Z+10, 0.24) < 0.12 {
			return render.Paint{Color: render.Hex(0x1c1c1c)}
		}
		return render.Paint{Color: render.Hex(0xdf8f1a), Gloss: 0.04}
	case truckSteel:
		return render.Paint{Color: render.Hex(0x53575a), Gloss: 0.06}
	case truckTyre:
		return render.Paint{Color: render.Hex(0x161616)}
	case truckWood:
		return render.Paint{Color: render.Hex(0xa07c50).Mul(0.7 + 0.5*render.Clouds(p.X*4, p.Z*18, 2, 5))}
	case truckLoad:
		if math.Abs(math.Abs(p.Z)-0.0) < 0.012 || math.Abs(p.X-1.5) < 0.012 || math.Abs(p.Y-0.78) < 0.012 {
			return render.Paint{Color: render.Hex(0x5c4328)}
		}
		if math.Abs(n.Y) < 0.5 && math.Abs(p.Y-0.95) < 0.06 && math.Abs(math.Mod(p.X+p.Z+10, 0.5)-0.25) < 0.08 {
			return render.Paint{Color: render.Hex(0xe9e6dd)}
		}
		return render.Paint{Color: render.Hex(0xbb8f5c)}
	case truckDriver:
		if math.Abs(p.Y-1.3) < 0.03 || math.Abs(p.Y-1.45) < 0.03 {
			return render.Paint{Color: render.Hex(0xd8dcd8), Retro: 2}
		}
		return render.Paint{Color: render.Hex(0xe2741c), Glow: render.Hex(0xe2741c).Mul(0.06)}
	case truckSkin:
		return render.Paint{Color: render.Hex(0xc4906c)}
	case truckHelmet:
		return render.Paint{Color: render.Hex(0xe8e8e4), Gloss: 0.05}
	}
	return render.Paint{Color: render.Hex(0x222426), Gloss: 0.03}
}
