package stage

import (
	"math"

	"holdfast/testenv/scenes/render"
)

// car is a vehicle's shape: outlines seen from the side, nose at +X, wheels on Y=0.
type car struct {
	Body, Cabin      render.Outline
	Half             float64 // half width of the body, metres
	Roof             float64 // half width of the cabin's top
	Front, Rear, Rim float64 // axles along X, wheel radius
	Long, High       float64 // half length, height
	Glass            render.Outline
	Pillars          []float64
}

func saloon() car {
	return car{
		Body: render.Outline{
			{-2.2, 0.28},
			{-2.24, 0.62},
			{-2.16, 0.93},
			{-1.5, 0.98},
			{0.9, 0.96},
			{1.75, 0.84},
			{2.12, 0.72},
			{2.22, 0.5},
			{2.16, 0.26},
			{1.8, 0.2},
			{-1.9, 0.2},
		},
		Cabin: render.Outline{{-1.75, 0.92}, {-1.05, 1.38}, {-0.5, 1.45}, {0.1, 1.43}, {0.45, 1.34}, {1.15, 0.92}},
		Glass: render.Outline{{-1.42, 0.98}, {-0.95, 1.3}, {-0.45, 1.37}, {0.08, 1.35}, {0.36, 1.28}, {0.88, 0.98}},
		Half:  0.89, Roof: 0.6, Front: 1.36, Rear: -1.32, Rim: 0.32, Long: 2.26, High: 1.46,
		Pillars: []float64{-0.98, -0.2},
	}
}

func hatch() car {
	return car{
		Body: render.Outline{
			{-1.95, 0.3},
			{-2.0, 0.6},
			{-1.92, 0.98},
			{0.95, 1.0},
			{1.55, 0.9},
			{1.9, 0.76},
			{2.0, 0.52},
			{1.95, 0.28},
			{1.6, 0.21},
			{-1.7, 0.21},
		},
		Cabin: render.Outline{{-1.92, 0.95}, {-1.6, 1.42}, {-0.9, 1.52}, {0.0, 1.5}, {0.38, 1.4}, {1.1, 0.95}},
		Glass: render.Outline{{-1.74, 1.02}, {-1.5, 1.36}, {-0.85, 1.43}, {-0.02, 1.42}, {0.3, 1.33}, {0.83, 1.02}},
		Half:  0.87, Roof: 0.62, Front: 1.25, Rear: -1.22, Rim: 0.31, Long: 2.02, High: 1.53,
		Pillars: []float64{-1.12, -0.22},
	}
}

func suv() car {
	return car{
		Body: render.Outline{
			{-2.2, 0.36},
			{-2.26, 0.7},
			{-2.2, 1.1},
			{1.0, 1.12},
			{1.8, 1.02},
			{2.16, 0.88},
			{2.24, 0.6},
			{2.18, 0.34},
			{1.8, 0.27},
			{-1.95, 0.27},
		},
		Cabin: render.Outline{{-2.16, 1.08}, {-1.92, 1.6}, {-1.1, 1.72}, {0.1, 1.7}, {0.42, 1.6}, {1.1, 1.08}},
		Glass: render.Outline{{-2.0, 1.15}, {-1.8, 1.54}, {-1.05, 1.62}, {0.06, 1.6}, {0.34, 1.52}, {0.84, 1.15}},
		Half:  0.94, Roof: 0.68, Front: 1.4, Rear: -1.38, Rim: 0.37, Long: 2.28, High: 1.74,
		Pillars: []float64{-1.2, -0.25},
	}
}

func van() car {
	return car{
		Body: render.Outline{
			{-2.7, 0.34}, {-2.74, 1.2}, {1.6, 1.22}, {2.3, 1.05}, {2.55, 0.8}, {2.6, 0.5}, {2.5, 0.32}, {-2.4, 0.28},
		},
		Cabin: render.Outline{{-2.74, 1.1}, {-2.7, 2.2}, {-2.55, 2.32}, {0.75, 2.32}, {1.1, 2.18}, {1.9, 1.15}},
		Glass: render.Outline{{0.15, 1.3}, {0.15, 1.98}, {0.95, 1.98}, {1.5, 1.3}},
		Half:  0.98, Roof: 0.9, Front: 1.75, Rear: -1.7, Rim: 0.35, Long: 2.78, High: 2.34,
	}
}

// solid returns the car's shape.
func (c car) solid() *render.Solid {
	return &render.Solid{
		Box:  render.Box{Min: vec{X: -c.Long - 0.04, Y: 0, Z: -c.Half - 0.14}, Max: vec{X: c.Long + 0.04, Y: c.High + 0.03, Z: c.Half + 0.14}},
		Dist: c.dist,
	}
}

func (c car) dist(p vec) float64 {
	z := math.Abs(p.Z)
	q := vec{X: p.X, Y: p.Y, Z: z}
	// The body draws in towards nose and tail.
	half := c.Half - 0.06*math.Pow(math.Abs(p.X)/c.Long, 4)
	const round = 0.075
	d := slab(c.Body.Dist(p.X, p.Y)+round, z-half+round) - round
	arch := math.Min(math.Hypot(p.X-c.Front, p.Y-c.Rim), math.Hypot(p.X-c.Rear, p.Y-c.Rim)) - c.Rim - 0.07
	d = math.Max(d, math.Min(-arch, math.Abs(z-c.Half)*8+0.3))
	d = math.Max(d, -math.Max(arch, c.Half-0.26-z))
	belt := c.Glass[0][1] - 0.06
	lean := (half - 0.03) + (c.Roof-half+0.03)*min(max((p.Y-belt)/(c.High-belt), 0), 1)
	cabin := slab(c.Cabin.Dist(p.X, p.Y)+0.09, (z-lean+0.09)*0.92) - 0.09
	d = render.Melt(d, cabin, 0.06)
	for _, x := range [2]float64{c.Front, c.Rear} {
		d = math.Min(d, render.Disc(q, vec{X: x, Y: c.Rim, Z: c.Half - 0.13}, c.Rim-0.02, 0.1)-0.02)
	}
	// Mirrors.
	d = math.Min(d, render.RoundBox(q, vec{X: c.Glass[len(c.Glass)-1][0] - 0.1, Y: belt + 0.14, Z: c.Half + 0.06}, vec{X: 0.05, Y: 0.06, Z: 0.09}, 0.03))
	return d * 0.85
}

// slab is the distance to an outline pulled to a half width: both given as distances.
func slab(a, b float64) float64 {
	return math.Hypot(math.Max(a, 0), math.Max(b, 0)) + math.Min(math.Max(a, b), 0)
}

// paintwork paints the car; lamps is 0..1 for switched-on lights.
func (c car) paintwork(color vec, lamps float64) render.Skin {
	return func(p, n vec) render.Paint {
		z := math.Abs(p.Z)
		if w := c.wheel(p, z); w != nil {
			return *w
		}
		if c.glazed(p, n, z) {
			return render.Paint{Color: render.Hex(0x10151a), Gloss: 0.12}
		}
		if paint, ok := c.trim(p, n, z, lamps); ok {
			return paint
		}
		return render.Paint{Color: color, Gloss: 0.045}
	}
}

func (c car) wheel(p vec, z float64) *render.Paint {
	for _, x := range [2]float64{c.Front, c.Rear} {
		r := math.Hypot(p.X-x, p.Y-c.Rim)
		if r > c.Rim+0.03 || z < c.Half-0.3 {
			continue
		}
		if r > c.Rim*0.66 {
			return &render.Paint{Color: render.Hex(0x1b1b1c)}
		}
		spokes := math.Cos(5 * math.Atan2(p.Y-c.Rim, p.X-x))
		if r > 0.08 && spokes < -0.1 && r < c.Rim*0.58 {
			return &render.Paint{Color: render.Hex(0x242526)}
		}
		return &render.Paint{Color: render.Hex(0x9a9da0), Gloss: 0.1}
	}
	return nil
}

func (c car) glazed(p, n vec, z float64) bool {
	if p.Y < c.Glass[0][1]-0.02 {
		return false
	}
	if math.Abs(n.Z) > 0.75 {
		for _, x := range c.Pillars {
			if math.Abs(p.X-x) < 0.045 {
				return false
			}
		}
		return c.Glass.Dist(p.X, p.Y) < 0.015
	}
	// Windscreen and rear window: the sloped ends of the cabin.
	steep := math.Abs(n.X) > 0.34 && n.Y < 0.93
	inside := p.Y < c.High-0.13 && z < c.Roof+0.12*(c.High-p.Y)
	return steep && inside && (p.X > 0 || len(c.Pillars) > 0)
}

func (c car) trim(p, n vec, z, lamps float64) (render.Paint, bool) {
	low := c.Body[0][1]
	nose, tail := p.X > c.Long-0.42, p.X < -c.Long+0.3
	bar := low + 0.38*(c.Glass[0][1]-low)
	switch {
	case p.Y < low+0.05:
		return render.Paint{Color: render.Hex(0x1a1b1c)}, true
	case nose && z > c.Half-0.42 && p.Y > bar+0.06 && p.Y < bar+0.22 && n.X > 0.2:
		glow := vec{X: 2.2, Y: 2.1, Z: 1.9}.Mul(lamps)
		return render.Paint{Color: render.Hex(0xd8dde0), Gloss: 0.1, Glow: glow, Retro: 0.8}, true
	case tail && z > c.Half-0.32 && p.Y > bar+0.08 && p.Y < bar+0.3 && n.X < -0.2:
		return render.Paint{Color: render.Hex(0xa01418), Gloss: 0.06, Glow: vec{X: 0.9, Y: 0.03, Z: 0.03}.Mul(lamps), Retro: 0.7}, true
	case math.Abs(n.X) > 0.7 && z < 0.26 && p.Y > bar-0.06 && p.Y < bar+0.06:
		return render.Paint{Color: render.Hex(0xe6e6de), Retro: 1.2}, true
	case nose && n.X > 0.6 && z < 0.5 && p.Y > bar-0.14 && p.Y < bar+0.16:
		return render.Paint{Color: render.Hex(0x17181a), Gloss: 0.04}, true
	}
	if math.Abs(n.Z) > 0.7 && p.Y > low+0.12 {
		door := c.Pillars
		for _, x := range append([]float64{c.Front - 0.52}, door...) {
			if math.Abs(p.X-x) < 0.012 {
				return render.Paint{Color: render.Hex(0x141516)}, true
			}
		}
	}
	return render.Paint{}, false
}

// parked is the car as something that stands still.
func (c car) parked(color vec, x, z, yaw float64) render.Prop {
	return render.Put(c.solid(), c.paintwork(color, 0), vec{X: x, Z: z}, yaw)
}

// driven is the car in motion, lights on.
func (c car) driven(color vec, at vec, yaw float64) render.Actor {
	var blobs []render.Blob
	for _, x := range [5]float64{-0.8, -0.4, 0, 0.4, 0.8} {
		blobs = append(blobs, render.Blob{At: vec{X: x * c.Long, Y: 0.45}, R: 0.75})
	}
	return render.Actor{
		Solid: c.solid(), Skin: c.paintwork(color, 1), At: at, Turn: render.NewTurn(yaw), Blobs: blobs,
	}
}
