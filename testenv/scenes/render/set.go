// Package render draws synthetic CCTV pictures: a small ray tracer in plain Go.
//
// It owns geometry, light, the lens and the sensor's look. A Set is what stands still: it is traced once,
// carefully, into a Plate. Actors move: only the parts of the picture that they or their shadows touch are
// traced again for each frame. It promises the same picture for the same input on every machine. It never
// reads files and knows nothing of codecs.
package render

import "math"

// Set is a place as one camera sees it.
type Set struct {
	Camera  Camera
	Props   []Prop
	Lights  []Light // at most MaxLights
	Sky     Vec     // ambient light from above
	Floor   Vec     // ambient light from below
	Reach   float64 // how far things shade each other from ambient light, metres
	Horizon func(d Vec) Vec
	Sensor  Sensor
}

// MaxLights is how many lights a Set may have.
const MaxLights = 5

// Light is the sun (Toward set) or a lamp (At set).
type Light struct {
	Toward Vec     // direction to the sun, length 1
	At     Vec     // place of a lamp
	Panel  Vec     // half extents of the lamp; of the sun, Panel.X is its radius as a slope
	Color  Vec     // for a lamp: at 1 m
	Aim    Vec     // a spot's direction, length 1; zero means all round
	Cone   float64 // a spot's half-angle, radians
	Wide   float64 // metres within which a lamp hardly grows brighter; zero means 0.5
	Beside bool    // an infrared lamp at the camera: retroreflective paint answers it
}

// reach returns the direction and distance from p to the lamp, moved over its panel by u and v (-1..1),
// and its strength there before the cosine at the surface.
func (l *Light) reach(p Vec, u, v float64) (d Vec, dist, strength float64) {
	if l.Toward != (Vec{}) {
		side := Vec{0, 1, 0}.Cross(l.Toward).Norm()
		up := l.Toward.Cross(side)
		return l.Toward.Add(side.Mul(u * l.Panel.X)).Add(up.Mul(v * l.Panel.X)).Norm(), far, 1
	}
	to := l.At.Add(Vec{l.Panel.X * u, l.Panel.Y * v, l.Panel.Z * v}).Sub(p)
	dist = to.Len()
	d = to.Mul(1 / dist)
	strength = 1 / (dist*dist + max(l.Wide*l.Wide, 0.25))
	if l.Aim != (Vec{}) {
		off := math.Acos(min(max(-d.Dot(l.Aim), -1), 1)) / l.Cone
		strength *= smooth(1.15, 0.35, off)
	}
	return d, dist, strength
}

// soft is the lamp's size as seen from dist away, a slope.
func (l *Light) soft(dist float64) float64 {
	if l.Toward != (Vec{}) {
		return max(l.Panel.X, 0.01)
	}
	return max(l.Panel.X, l.Panel.Y, l.Panel.Z, 0.05) / dist
}

// smooth goes from 0 at a to 1 at b; a may be above b.
func smooth(a, b, x float64) float64 {
	t := min(max((x-a)/(b-a), 0), 1)
	return t * t * (3 - 2*t)
}

// Camera is a pinhole with a little barrel distortion.
type Camera struct {
	At, Look Vec
	FOV      float64 // horizontal angle in the middle of the picture, radians
	Barrel   float64 // distortion: 0.05 is a common wide CCTV lens
}

// lens is a Camera fitted to a picture size.
type lens struct {
	at, ahead, right, up Vec
	scale, barrel        float64
	midX, midY           float64
}

func (c Camera) lens(w, h int) lens {
	ahead := c.Look.Sub(c.At).Norm()
	right := Vec{0, 1, 0}.Cross(ahead).Norm()
	return lens{
		at: c.At, ahead: ahead, right: right, up: ahead.Cross(right),
		scale: math.Tan(c.FOV/2) / (float64(w) / 2), barrel: c.Barrel,
		midX: float64(w) / 2, midY: float64(h) / 2,
	}
}

func (l *lens) ray(x, y float64) Vec {
	u, v := (x-l.midX)*l.scale, (l.midY-y)*l.scale
	k := 1 + l.barrel*(u*u+v*v)
	return l.ahead.Add(l.right.Mul(u * k)).Add(l.up.Mul(v * k)).Norm()
}

// ambient is the light from all round on a surface that nothing shades.
func (s *Set) ambient(n Vec) Vec { return s.Floor.Mix(s.Sky, 0.5+0.5*n.Y) }

// mirrored is the share of light mirrored at a surface with gloss g, the ray d meeting the normal n.
func mirrored(g float64, d, n Vec) float64 {
	c := 1 - min(max(-d.Dot(n), 0), 1)
	return g + (1-g)*min(g*6, 1)*c*c*c*c*c
}

func mirror(d, n Vec) Vec { return d.Sub(n.Mul(2 * d.Dot(n))) }
