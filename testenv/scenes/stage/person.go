package stage

import (
	"math"

	"holdfast/testenv/scenes/render"
)

type vec = render.Vec

// look is what a person wears.
type look struct {
	Height            float64 // metres
	Jacket, Trousers  vec
	Skin, Hair, Shoes vec
	Vest              bool // hi-vis waistcoat with reflective tape
	Bag               bool // over the shoulder
	Cap               bool
	Skirt             bool
}

// pose is how the body stands in one frame.
type pose struct {
	Phase  float64 // of the walk, radians; a full turn is two steps
	Stride float64 // 0 stands still, 1 walks at full stride
	Arms   float64 // 0: they swing; 1: both held out in front, to push or carry
	Reach  float64 // right arm up to a shelf, 0..1
	Nod    float64 // head turned, radians
}

// limb is a rod of the body with what covers it.
type limb struct {
	a, b   vec
	ra, rb float64
	cloth  int
	melt   float64
}

// What covers a limb.
const (
	jacket = iota
	trousers
	skin
	hair
	shoes
	bag
)

// person returns an actor that faces local +X, its feet at the origin.
func person(l look, s pose, at vec, yaw float64) render.Actor {
	limbs := body(l, s)
	low := 1.0
	for _, b := range limbs {
		low = min(low, b.a.Y-b.ra, b.b.Y-b.rb)
	}
	for i := range limbs {
		limbs[i].a.Y -= low
		limbs[i].b.Y -= low
	}
	h := l.Height
	groups := bundle(limbs)
	return render.Actor{
		Solid: &render.Solid{
			Box:  render.Box{Min: vec{X: -0.62, Y: 0, Z: -0.5}, Max: vec{X: 0.75, Y: h*1.04 + 0.35*s.Reach, Z: 0.5}},
			Dist: func(p vec) float64 { return bodyDist(p, groups) },
			Bound: func(p vec) float64 {
				near := math.Inf(1)
				for i := range groups {
					near = min(near, p.Sub(groups[i].mid).Len()-groups[i].r)
				}
				return near - meltReach
			},
		},
		Skin: dress(l, limbs), At: at, Turn: render.NewTurn(yaw),
		Blobs: []render.Blob{
			{At: vec{Y: 0.12, X: limbs[1].b.X}, R: 0.13},
			{At: vec{Y: 0.12, X: limbs[4].b.X}, R: 0.13},
			{At: vec{Y: h * 0.3}, R: 0.2},
			{At: vec{Y: h * 0.62}, R: 0.28},
			{At: vec{Y: h * 0.93}, R: 0.13},
		},
	}
}

// group is some limbs that lie together, in a sphere.
type group struct {
	limbs []limb
	mid   vec
	r     float64
}

// bundle puts limbs that follow each other into groups.
func bundle(limbs []limb) []group {
	var groups []group
	for len(limbs) > 0 {
		n := min(3, len(limbs))
		g := group{limbs: limbs[:n]}
		for _, b := range g.limbs {
			g.mid = g.mid.Add(b.a.Add(b.b).Mul(0.5 / float64(n)))
		}
		for _, b := range g.limbs {
			g.r = max(g.r, b.a.Sub(g.mid).Len()+b.ra, b.b.Sub(g.mid).Len()+b.rb)
		}
		groups, limbs = append(groups, g), limbs[n:]
	}
	return groups
}

// meltReach is how far away a limb still changes the surface of another.
const meltReach = 0.1

// bodyDist is the distance to the body; limbs too far away to matter are passed over.
func bodyDist(p vec, groups []group) float64 {
	var away [12]float64
	first, near := 0, math.Inf(1)
	for i := range groups {
		away[i] = p.Sub(groups[i].mid).Len() - groups[i].r
		if away[i] < near {
			first, near = i, away[i]
		}
	}
	d := groups[first].melt(p, math.Inf(1))
	for i := range groups {
		if i != first && away[i] < d+meltReach {
			d = groups[i].melt(p, d)
		}
	}
	return d * 0.9
}

func (g *group) melt(p vec, d float64) float64 {
	for i := range g.limbs {
		b := &g.limbs[i]
		d = render.Melt(d, render.Capsule(p, b.a, b.b, b.ra, b.rb), b.melt)
	}
	return d
}

// body lays the limbs out: legs first (thigh, shin, foot, twice), then the trunk, arms and head.
func body(l look, s pose) []limb {
	h := l.Height
	hip, knee, shoulder := h*0.53, h*0.25, h*0.815
	var limbs []limb
	for side := -1.0; side <= 1; side += 2 {
		ph := s.Phase
		if side > 0 {
			ph += math.Pi
		}
		swing := s.Stride * (0.44*math.Sin(ph) + 0.02)
		bend := s.Stride*(0.12+0.95*math.Max(0, math.Cos(ph))*math.Max(0, math.Cos(ph))) + 0.03
		limbs = append(limbs, leg(l, vec{Y: hip, Z: side * 0.095}, hip-knee, knee-0.05, swing, bend)...)
	}
	lean := 0.05 * s.Stride
	neck := vec{X: lean * 0.6, Y: h * 0.83}
	chest := vec{X: lean * 0.45, Y: h * 0.73}
	twist := 0.05 * s.Stride * math.Sin(s.Phase)
	wide := h * 0.098
	limbs = append(limbs,
		limb{vec{Y: hip + 0.02, Z: -0.07}, vec{Y: hip + 0.02, Z: 0.07}, 0.125, 0.125, trousers, 0.05},
		limb{vec{X: 0.01, Y: hip + 0.1, Z: -0.05}, vec{X: chest.X, Y: chest.Y, Z: -0.08}, 0.12, 0.125, jacket, 0.06},
		limb{vec{X: 0.01, Y: hip + 0.1, Z: 0.05}, vec{X: chest.X, Y: chest.Y, Z: 0.08}, 0.12, 0.125, jacket, 0.06},
		limb{vec{X: chest.X + twist, Y: shoulder - 0.075, Z: -wide}, vec{X: chest.X - twist, Y: shoulder - 0.075, Z: wide}, 0.07, 0.07, jacket, 0.09},
		limb{vec{X: chest.X, Y: shoulder - 0.05, Z: -0.06}, vec{X: chest.X, Y: shoulder - 0.05, Z: 0.06}, 0.075, 0.075, jacket, 0.09},
	)
	for side := -1.0; side <= 1; side += 2 {
		limbs = append(limbs, arm(l, s, vec{X: chest.X - side*twist, Y: shoulder - 0.075, Z: side * (wide + 0.045)}, side)...)
	}
	limbs = append(limbs, head(l, s, neck)...)
	if l.Skirt {
		limbs = append(limbs, limb{vec{Y: hip}, vec{X: 0.02, Y: knee + 0.07}, 0.15, 0.21, trousers, 0.04})
	}
	if l.Bag {
		limbs = append(limbs, limb{vec{X: -0.02, Y: hip + 0.12, Z: wide + 0.16}, vec{X: -0.02, Y: hip - 0.06, Z: wide + 0.16}, 0.1, 0.12, bag, 0.01})
	}
	return limbs
}

func leg(l look, hip vec, thigh, shin, swing, bend float64) []limb {
	knee := hip.Add(vec{X: math.Sin(swing), Y: -math.Cos(swing)}.Mul(thigh))
	low := swing - bend
	ankle := knee.Add(vec{X: math.Sin(low), Y: -math.Cos(low)}.Mul(shin))
	tilt := low * 0.6
	toe := ankle.Add(vec{X: 0.17 * math.Cos(tilt), Y: -0.035 + 0.17*math.Sin(tilt)})
	heel := ankle.Add(vec{X: -0.03, Y: -0.03})
	cover := trousers
	if l.Skirt {
		cover = skin
	}
	return []limb{
		{hip, knee, 0.095, 0.068, cover, 0.03},
		{knee, ankle, 0.066, 0.05, cover, 0.02},
		{heel, toe, 0.05, 0.042, shoes, 0.015},
	}
}

func arm(l look, s pose, shoulder vec, side float64) []limb {
	h := l.Height
	ph := s.Phase
	if side < 0 {
		ph += math.Pi
	}
	swing := 0.5*s.Stride*math.Sin(ph)*(1-s.Arms) + 0.85*s.Arms
	bend := 0.2 + 0.25*s.Stride*math.Max(0, math.Sin(ph)) + 0.75*s.Arms
	if side > 0 {
		swing += s.Reach * 1.7
		bend += s.Reach * 0.3
	}
	elbow := shoulder.Add(vec{X: math.Sin(swing), Y: -math.Cos(swing), Z: side * 0.1}.Mul(h * 0.17))
	fore := swing + bend
	wrist := elbow.Add(vec{X: math.Sin(fore), Y: -math.Cos(fore), Z: -side * 0.06}.Mul(h * 0.145))
	hand := wrist.Add(wrist.Sub(elbow).Norm().Mul(0.07))
	return []limb{
		{shoulder, elbow, 0.056, 0.047, jacket, 0.05},
		{elbow, wrist, 0.048, 0.038, jacket, 0.03},
		{wrist, hand, 0.036, 0.04, skin, 0.01},
	}
}

func head(l look, s pose, neck vec) []limb {
	h := l.Height
	face := vec{X: math.Cos(s.Nod), Z: math.Sin(s.Nod)}
	mid := neck.Add(vec{X: 0.02, Y: h * 0.092})
	limbs := []limb{
		{neck, neck.Add(vec{X: 0.015, Y: 0.07}), 0.055, 0.05, skin, 0.03},
		{mid.Add(face.Mul(0.018)).Add(vec{Y: -0.035}), mid.Add(vec{Y: 0.025}), 0.078, 0.094, skin, 0.02},
		{mid.Add(face.Mul(-0.028)).Add(vec{Y: -0.02}), mid.Add(face.Mul(-0.005)).Add(vec{Y: 0.045}), 0.085, 0.092, hair, 0.006},
	}
	if l.Cap {
		limbs = append(limbs, limb{mid.Add(vec{Y: 0.07}), mid.Add(face.Mul(0.13)).Add(vec{Y: 0.055}), 0.085, 0.03, bag, 0.006})
	}
	return limbs
}

// dress paints a body by the limb nearest to the point.
func dress(l look, limbs []limb) render.Skin {
	return func(p, n vec) render.Paint {
		best, cloth := math.Inf(1), 0
		for i := range limbs {
			b := &limbs[i]
			if d := render.Capsule(p, b.a, b.b, b.ra, b.rb); d < best {
				best, cloth = d, b.cloth
			}
		}
		crease := 0.88 + 0.24*render.Clouds(p.X*9+p.Z*7, p.Y*6, 2, 3)
		switch cloth {
		case trousers:
			return render.Paint{Color: l.Trousers.Mul(crease)}
		case skin:
			return render.Paint{Color: l.Skin}
		case hair:
			return render.Paint{Color: l.Hair, Gloss: 0.02}
		case shoes:
			return render.Paint{Color: l.Shoes}
		case bag:
			return render.Paint{Color: l.Shoes.Mix(render.Hex(0x6b4a2f), 0.5)}
		}
		if l.Vest && math.Abs(p.Z) < 0.25 {
			return vest(p, l, crease)
		}
		return render.Paint{Color: l.Jacket.Mul(crease)}
	}
}

func vest(p vec, l look, crease float64) render.Paint {
	y := p.Y / l.Height
	tape := math.Abs(y-0.60) < 0.016 || math.Abs(y-0.69) < 0.016 || (y > 0.69 && math.Abs(math.Abs(p.Z)-0.11) < 0.025)
	if tape {
		return render.Paint{Color: render.Hex(0xd8dcd8), Retro: 2.2, Glow: vec{X: 0.03, Y: 0.03, Z: 0.03}}
	}
	return render.Paint{Color: render.Hex(0xd7e82a).Mul(crease), Glow: render.Hex(0xd7e82a).Mul(0.06)}
}
