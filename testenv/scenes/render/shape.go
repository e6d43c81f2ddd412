package render

import "math"

// Paint is how a point of a surface takes light.
type Paint struct {
	Color Vec     // diffuse reflectance, linear
	Gloss float64 // share mirrored at normal incidence, 0..1
	Rough float64 // blur of the mirrored picture, as a slope
	Glow  Vec     // light the point gives by itself
	Retro float64 // extra share thrown straight back at a lamp beside the camera (signs, reflective tape)
}

// Skin gives the Paint at a local point with a local normal.
type Skin func(p, n Vec) Paint

// Plain is a Skin of one colour.
func Plain(c Vec) Skin { return func(_, _ Vec) Paint { return Paint{Color: c} } }

// Shape is a surface in its own local space.
type Shape interface {
	// Bounds returns a box that holds the whole shape.
	Bounds() Box
	// Hit returns the first crossing of o+t*d with 0 < t < limit, d of length 1, and the outward normal.
	Hit(o, d Vec, limit float64) (t float64, n Vec, ok bool)
}

// Prop is a Shape put somewhere in the scene.
type Prop struct {
	Shape Shape
	Skin  Skin
	At    Vec
	Turn  Turn
}

// Put returns a Prop at a place, turned by yaw radians about the vertical.
func Put(s Shape, skin Skin, at Vec, yaw float64) Prop {
	return Prop{Shape: s, Skin: skin, At: at, Turn: NewTurn(yaw)}
}

func (p *Prop) bounds() Box {
	b := p.Shape.Bounds()
	c, h := b.centre(), b.half()
	s, k := math.Abs(p.Turn.sin), math.Abs(p.Turn.cos)
	return Around(p.At.Add(p.Turn.Out(c)), Vec{k*h.X + s*h.Z, h.Y, s*h.X + k*h.Z})
}

func (p *Prop) hit(o, d Vec, limit float64) (float64, Vec, bool) {
	t, n, ok := p.Shape.Hit(p.Turn.In(o.Sub(p.At)), p.Turn.In(d), limit)
	if !ok {
		return 0, Vec{}, false
	}
	return t, p.Turn.Out(n), true
}

func (p *Prop) paint(point, n Vec) Paint {
	return p.Skin(p.Turn.In(point.Sub(p.At)), p.Turn.In(n))
}

// Block is a box with half extents Half, centred on the origin.
type Block struct{ Half Vec }

// Bounds implements Shape.
func (b Block) Bounds() Box { return Around(Vec{}, b.Half) }

// Hit implements Shape; it also hits from inside, so that a Block can be a room.
func (b Block) Hit(o, d Vec, limit float64) (float64, Vec, bool) {
	inv := inverse(d)
	axis := func(o, inv, h float64) (float64, float64) {
		t0, t1 := (-h-o)*inv, (h-o)*inv
		return min(t0, t1), max(t0, t1)
	}
	x0, x1 := axis(o.X, inv.X, b.Half.X)
	y0, y1 := axis(o.Y, inv.Y, b.Half.Y)
	z0, z1 := axis(o.Z, inv.Z, b.Half.Z)
	near, far := max(x0, y0, z0), min(x1, y1, z1)
	if near > far || far <= 0 || near >= limit {
		return 0, Vec{}, false
	}
	if near > 0 {
		switch near {
		case x0:
			return near, Vec{-math.Copysign(1, d.X), 0, 0}, true
		case y0:
			return near, Vec{0, -math.Copysign(1, d.Y), 0}, true
		}
		return near, Vec{0, 0, -math.Copysign(1, d.Z)}, true
	}
	if far >= limit {
		return 0, Vec{}, false
	}
	switch far {
	case x1:
		return far, Vec{-math.Copysign(1, d.X), 0, 0}, true
	case y1:
		return far, Vec{0, -math.Copysign(1, d.Y), 0}, true
	}
	return far, Vec{0, 0, -math.Copysign(1, d.Z)}, true
}

// Ball is a sphere about the origin.
type Ball struct{ R float64 }

// Bounds implements Shape.
func (b Ball) Bounds() Box { return Around(Vec{}, Vec{b.R, b.R, b.R}) }

// Hit implements Shape.
func (b Ball) Hit(o, d Vec, limit float64) (float64, Vec, bool) {
	k := o.Dot(d)
	disc := k*k - o.Dot(o) + b.R*b.R
	if disc < 0 {
		return 0, Vec{}, false
	}
	t := -k - math.Sqrt(disc)
	if t <= 0 || t >= limit {
		return 0, Vec{}, false
	}
	return t, o.Add(d.Mul(t)).Mul(1 / b.R), true
}

// Post is an upright cylinder with radius R from Y=0 to Y=H.
type Post struct{ R, H float64 }

// Bounds implements Shape.
func (c Post) Bounds() Box { return Box{Vec{-c.R, 0, -c.R}, Vec{c.R, c.H, c.R}} }

// Hit implements Shape.
func (c Post) Hit(o, d Vec, limit float64) (float64, Vec, bool) {
	best, normal := limit, Vec{}
	a := d.X*d.X + d.Z*d.Z
	if a > 1e-12 {
		k := o.X*d.X + o.Z*d.Z
		disc := k*k - a*(o.X*o.X+o.Z*o.Z-c.R*c.R)
		if disc < 0 {
			return 0, Vec{}, false
		}
		t := (-k - math.Sqrt(disc)) / a
		if y := o.Y + t*d.Y; t > 0 && t < best && y >= 0 && y <= c.H {
			best, normal = t, Vec{(o.X + t*d.X) / c.R, 0, (o.Z + t*d.Z) / c.R}
		}
	}
	if d.Y < 0 && o.Y > c.H {
		t := (c.H - o.Y) / d.Y
		if x, z := o.X+t*d.X, o.Z+t*d.Z; t < best && x*x+z*z <= c.R*c.R {
			best, normal = t, Vec{0, 1, 0}
		}
	}
	return best, normal, best < limit
}

// Ground is the endless plane Y=0, cut to a square of side 2*Reach.
type Ground struct{ Reach float64 }

// Bounds implements Shape.
func (g Ground) Bounds() Box { return Around(Vec{}, Vec{g.Reach, 0.001, g.Reach}) }

// Hit implements Shape; the plane is seen from above only.
func (g Ground) Hit(o, d Vec, limit float64) (float64, Vec, bool) {
	if d.Y >= 0 || o.Y <= 0 {
		return 0, Vec{}, false
	}
	t := -o.Y / d.Y
	if t >= limit || math.Abs(o.X+t*d.X) > g.Reach || math.Abs(o.Z+t*d.Z) > g.Reach {
		return 0, Vec{}, false
	}
	return t, Vec{0, 1, 0}, true
}

// Leaves is a ball of foliage: three shells full of holes, so that light and background come through.
type Leaves struct {
	R    float64
	Leaf float64 // size of a leaf, metres
	Seed int
}

// Bounds implements Shape.
func (l Leaves) Bounds() Box { return Around(Vec{}, Vec{l.R, l.R, l.R}) }

// Hit implements Shape.
func (l Leaves) Hit(o, d Vec, limit float64) (float64, Vec, bool) {
	for shell := range 3 {
		r := l.R * (1 - 0.2*float64(shell))
		t, n, ok := Ball{r}.Hit(o, d, limit)
		if !ok {
			continue
		}
		p := o.Add(d.Mul(t)).Mul(1 / l.Leaf)
		x, y, z := int(math.Floor(p.X)), int(math.Floor(p.Y)), int(math.Floor(p.Z))
		key := l.Seed + shell*13 + z*101
		if hash(x, y, key) < 0.45 {
			continue
		}
		bent := Vec{hash(x, y, key+1) - 0.5, hash(x, y, key+2) - 0.2, hash(x, y, key+3) - 0.5}
		return t, n.Add(bent.Mul(1.3)).Norm(), true
	}
	return 0, Vec{}, false
}
