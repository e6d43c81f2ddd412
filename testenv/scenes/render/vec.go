package render

import "math"

// Vec is a point or direction in metres (X right, Y up, Z into the scene), or a linear RGB colour.
type Vec struct{ X, Y, Z float64 }

// Add returns a+b.
func (a Vec) Add(b Vec) Vec { return Vec{a.X + b.X, a.Y + b.Y, a.Z + b.Z} }

// Sub returns a-b.
func (a Vec) Sub(b Vec) Vec { return Vec{a.X - b.X, a.Y - b.Y, a.Z - b.Z} }

// Mul returns a scaled by s.
func (a Vec) Mul(s float64) Vec { return Vec{a.X * s, a.Y * s, a.Z * s} }

// Times multiplies component by component, as colours are filtered.
func (a Vec) Times(b Vec) Vec { return Vec{a.X * b.X, a.Y * b.Y, a.Z * b.Z} }

// Dot returns the scalar product.
func (a Vec) Dot(b Vec) float64 { return a.X*b.X + a.Y*b.Y + a.Z*b.Z }

// Cross returns the vector product.
func (a Vec) Cross(b Vec) Vec {
	return Vec{a.Y*b.Z - a.Z*b.Y, a.Z*b.X - a.X*b.Z, a.X*b.Y - a.Y*b.X}
}

// Len returns the length.
func (a Vec) Len() float64 { return math.Sqrt(a.Dot(a)) }

// Norm returns a with length 1; the zero vector stays zero.
func (a Vec) Norm() Vec {
	l := a.Len()
	if l == 0 {
		return a
	}
	return a.Mul(1 / l)
}

// Mix returns the point a share t (0..1) of the way from a to b.
func (a Vec) Mix(b Vec, t float64) Vec { return a.Add(b.Sub(a).Mul(t)) }

// Luma returns the brightness of a linear colour (BT.709 weights).
func (a Vec) Luma() float64 { return 0.2126*a.X + 0.7152*a.Y + 0.0722*a.Z }

// Hex returns the linear colour of an sRGB value such as 0xF0C020.
func Hex(rgb uint32) Vec {
	lin := func(shift uint) float64 {
		c := float64(rgb>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return Vec{lin(16), lin(8), lin(0)}
}

// Turn is a rotation about the vertical axis.
type Turn struct{ sin, cos float64 }

// NewTurn returns the rotation that takes +X to (cos yaw, 0, sin yaw); yaw in radians.
func NewTurn(yaw float64) Turn { return Turn{math.Sin(yaw), math.Cos(yaw)} }

// Out rotates from local to world.
func (t Turn) Out(v Vec) Vec { return Vec{t.cos*v.X - t.sin*v.Z, v.Y, t.sin*v.X + t.cos*v.Z} }

// In rotates from world to local.
func (t Turn) In(v Vec) Vec { return Vec{t.cos*v.X + t.sin*v.Z, v.Y, -t.sin*v.X + t.cos*v.Z} }

// Box is an axis-aligned box.
type Box struct{ Min, Max Vec }

// Around returns the box with centre c and half extents h.
func Around(c, h Vec) Box { return Box{c.Sub(h), c.Add(h)} }

func (b Box) union(o Box) Box {
	return Box{
		Vec{min(b.Min.X, o.Min.X), min(b.Min.Y, o.Min.Y), min(b.Min.Z, o.Min.Z)},
		Vec{max(b.Max.X, o.Max.X), max(b.Max.Y, o.Max.Y), max(b.Max.Z, o.Max.Z)},
	}
}

func (b Box) centre() Vec { return b.Min.Add(b.Max).Mul(0.5) }

func (b Box) half() Vec { return b.Max.Sub(b.Min).Mul(0.5) }

// span returns where the ray o+t*d is inside the box; inv is 1/d by component.
func (b Box) span(o, inv Vec, limit float64) (near, far float64, ok bool) {
	tx0, tx1 := (b.Min.X-o.X)*inv.X, (b.Max.X-o.X)*inv.X
	ty0, ty1 := (b.Min.Y-o.Y)*inv.Y, (b.Max.Y-o.Y)*inv.Y
	tz0, tz1 := (b.Min.Z-o.Z)*inv.Z, (b.Max.Z-o.Z)*inv.Z
	near = max(min(tx0, tx1), min(ty0, ty1), min(tz0, tz1), 0)
	far = min(max(tx0, tx1), max(ty0, ty1), max(tz0, tz1), limit)
	return near, far, near <= far
}

func inverse(d Vec) Vec {
	inv := func(x float64) float64 {
		if math.Abs(x) < 1e-12 {
			return math.Copysign(1e12, x)
		}
		return 1 / x
	}
	return Vec{inv(d.X), inv(d.Y), inv(d.Z)}
}
