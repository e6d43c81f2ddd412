package render

import "math"

// Solid is a shape given by a signed distance: how far a local point is from the surface, negative inside.
// The distance may be an underestimate, never an overestimate.
type Solid struct {
	Box   Box
	Dist  func(Vec) float64
	Bound func(Vec) float64 // optional: a cheap distance that is never above Dist, to come near by
}

// Bounds implements Shape.
func (s *Solid) Bounds() Box { return s.Box }

const (
	marchSteps = 90
	marchEps   = 0.0015
)

// Hit implements Shape by sphere tracing.
func (s *Solid) Hit(o, d Vec, limit float64) (float64, Vec, bool) {
	t, end, ok := s.Box.span(o, inverse(d), limit)
	if !ok {
		return 0, Vec{}, false
	}
	for range marchSteps {
		dist := s.near(o.Add(d.Mul(t)))
		if dist < marchEps {
			if t <= marchEps {
				return 0, Vec{}, false // starts on the surface
			}
			return t, s.normal(o.Add(d.Mul(t))), true
		}
		t += dist
		if t > end {
			return 0, Vec{}, false
		}
	}
	return 0, Vec{}, false
}

// near is Dist close to the surface and less far away from it.
func (s *Solid) near(p Vec) float64 {
	if s.Bound != nil {
		if far := s.Bound(p); far > 0.15 {
			return far
		}
	}
	return s.Dist(p)
}

func (s *Solid) normal(p Vec) Vec {
	const e = 0.002
	a := s.Dist(Vec{p.X + e, p.Y - e, p.Z - e})
	b := s.Dist(Vec{p.X - e, p.Y - e, p.Z + e})
	c := s.Dist(Vec{p.X - e, p.Y + e, p.Z - e})
	d := s.Dist(Vec{p.X + e, p.Y + e, p.Z + e})
	return Vec{a - b - c + d, -a - b + c + d, -a + b - c + d}.Norm()
}

// shade returns how much light (0..1) comes through from o along d up to limit; soft is the lamp's size
// as an angle (radians): the larger, the wider the penumbra.
func (s *Solid) shade(o, d Vec, limit, soft float64) float64 {
	near, end, ok := s.Box.span(o, inverse(d), limit)
	if !ok {
		return 1
	}
	open, t := 1.0, max(near, 0.02)
	for range 48 {
		dist := s.Dist(o.Add(d.Mul(t)))
		if dist < 0.002 {
			return 0
		}
		open = min(open, dist/(soft*t))
		t += max(dist, 0.015)
		if t > end {
			break
		}
	}
	return open * open * (3 - 2*open)
}

// Capsule returns the distance to a rod from a to b with radius ra at a and rb at b.
func Capsule(p, a, b Vec, ra, rb float64) float64 {
	ap, ab := p.Sub(a), b.Sub(a)
	h := min(max(ap.Dot(ab)/ab.Dot(ab), 0), 1)
	return ap.Sub(ab.Mul(h)).Len() - (ra + (rb-ra)*h)
}

// RoundBox returns the distance to a box with centre c, half extents h and edges rounded by r.
func RoundBox(p, c, h Vec, r float64) float64 {
	x, y, z := math.Abs(p.X-c.X)-h.X+r, math.Abs(p.Y-c.Y)-h.Y+r, math.Abs(p.Z-c.Z)-h.Z+r
	out := Vec{max(x, 0), max(y, 0), max(z, 0)}.Len()
	return out + min(max(x, y, z), 0) - r
}

// Disc returns the distance to a wheel with its axle along Z: centre c, radius r, half width w.
func Disc(p, c Vec, r, w float64) float64 {
	x := math.Hypot(p.X-c.X, p.Y-c.Y) - r
	z := math.Abs(p.Z-c.Z) - w
	return math.Hypot(max(x, 0), max(z, 0)) + min(max(x, z), 0)
}

// Melt joins two distances with a fillet of about k metres.
func Melt(a, b, k float64) float64 {
	h := max(k-math.Abs(a-b), 0) / k
	return min(a, b) - h*h*k*0.25
}

// Outline is a closed polygon in the XY plane.
type Outline [][2]float64

// Dist returns the signed distance from (x,y) to the outline.
func (o Outline) Dist(x, y float64) float64 {
	best, inside := math.Inf(1), false
	j := len(o) - 1
	for i := range o {
		ex, ey := o[j][0]-o[i][0], o[j][1]-o[i][1]
		wx, wy := x-o[i][0], y-o[i][1]
		h := min(max((wx*ex+wy*ey)/(ex*ex+ey*ey), 0), 1)
		bx, by := wx-ex*h, wy-ey*h
		best = min(best, bx*bx+by*by)
		if (o[i][1] > y) != (o[j][1] > y) && x < (o[j][0]-o[i][0])*(y-o[i][1])/(o[j][1]-o[i][1])+o[i][0] {
			inside = !inside
		}
		j = i
	}
	if inside {
		return -math.Sqrt(best)
	}
	return math.Sqrt(best)
}
