package render

import "math"

// Actor is something that moves: a Solid with its place in one frame.
type Actor struct {
	Solid *Solid
	Skin  Skin
	At    Vec
	Turn  Turn
	Blobs []Blob // rough spheres, local, that take ambient light from what is near
	Glow  *Lamp  // a small light that it carries, or nil
}

// Blob is a sphere in an Actor's local space.
type Blob struct {
	At Vec
	R  float64
}

// Lamp is a light that an Actor carries; it throws no shadows.
type Lamp struct {
	At    Vec // world
	Color Vec // at 1 m
	Aim   Vec // a spot's direction, length 1; zero means all round
	Cone  float64
}

// cast is an Actor made ready for one frame.
type cast struct {
	Actor
	mid    Vec // bounding sphere, world
	radius float64
	blobs  []Blob // world
}

func newCast(a Actor) cast {
	c := cast{Actor: a}
	c.mid = a.At.Add(a.Turn.Out(a.Solid.Box.centre()))
	c.radius = a.Solid.Box.half().Len()
	for _, b := range a.Blobs {
		c.blobs = append(c.blobs, Blob{a.At.Add(a.Turn.Out(b.At)), b.R})
	}
	return c
}

// misses says that the ray surely passes the actor by.
func (c *cast) misses(o, d Vec, limit float64) bool {
	v := c.mid.Sub(o)
	k := v.Dot(d)
	if k < -c.radius || k > limit+c.radius {
		return true
	}
	return v.Dot(v)-k*k > c.radius*c.radius
}

func (c *cast) hit(o, d Vec, limit float64) (float64, Vec, bool) {
	if c.misses(o, d, limit) {
		return 0, Vec{}, false
	}
	t, n, ok := c.Solid.Hit(c.Turn.In(o.Sub(c.At)), c.Turn.In(d), limit)
	return t, c.Turn.Out(n), ok
}

func (c *cast) shade(o, d Vec, limit, soft float64) float64 {
	if c.misses(o, d, limit) {
		return 1
	}
	return c.Solid.shade(c.Turn.In(o.Sub(c.At)), c.Turn.In(d), limit, soft)
}

// close is the share of ambient light that the actor leaves at a point with normal n.
func (c *cast) close(p, n Vec) float64 {
	open := 1.0
	for _, b := range c.blobs {
		to := b.At.Sub(p)
		d2 := to.Dot(to)
		if d2 > 16*b.R*b.R {
			continue
		}
		d := math.Sqrt(d2)
		if cos := n.Dot(to) / d; cos > 0 {
			open *= 1 - min(cos*b.R*b.R/max(d2, b.R*b.R), 1)*smooth(4*b.R, 2*b.R, d)
		}
	}
	return open
}

// work lists the actors that matter inside one tile.
type work struct {
	seen   []*cast
	near   []*cast
	mirror []*cast
	shadow [MaxLights][]*cast
}

func (w *work) idle() bool {
	if len(w.seen)+len(w.near)+len(w.mirror) > 0 {
		return false
	}
	for _, s := range w.shadow {
		if len(s) > 0 {
			return false
		}
	}
	return true
}

// sort finds the actors that matter in a tile.
func (p *Plate) sort(t *tile, all []cast) work {
	var w work
	for i := range all {
		c := &all[i]
		if inCone(p.lens.at, t.ray, t.spread, c.mid, c.radius) {
			w.seen = append(w.seen, c)
		}
		if !t.solid {
			continue
		}
		if t.mid.Sub(c.mid).Len() < t.radius+c.radius+1.2 {
			w.near = append(w.near, c)
		}
		if t.gloss && inCone(p.lens.at, t.ray, t.spread+0.02, Vec{c.mid.X, -c.mid.Y, c.mid.Z}, c.radius) {
			w.mirror = append(w.mirror, c)
		}
		for k := range p.set.Lights {
			if p.set.Lights[k].darkens(t, c) {
				w.shadow[k] = append(w.shadow[k], c)
			}
		}
	}
	return w
}

// inCone says whether a sphere may touch the cone from o about d.
func inCone(o, d Vec, spread float64, mid Vec, radius float64) bool {
	to := mid.Sub(o)
	dist := to.Len()
	if dist <= radius {
		return true
	}
	return math.Acos(min(max(to.Dot(d)/dist, -1), 1)) < spread+math.Asin(radius/dist)
}

// darkens says whether the actor's shadow may touch the tile.
func (l *Light) darkens(t *tile, c *cast) bool {
	v := t.mid.Sub(c.mid)
	if l.Toward != (Vec{}) {
		behind := -v.Dot(l.Toward)
		if behind < -(c.radius + t.radius) {
			return false
		}
		off := math.Sqrt(max(v.Dot(v)-behind*behind, 0))
		return off < c.radius+t.radius+max(behind, 0)*2*l.Panel.X
	}
	to := t.mid.Sub(l.At)
	dist := to.Len()
	if dist < c.mid.Sub(l.At).Len()-c.radius-t.radius {
		return false
	}
	if dist <= t.radius {
		return true
	}
	size := max(l.Panel.X, l.Panel.Y, l.Panel.Z)
	return inCone(l.At, to.Mul(1/dist), math.Asin(min(t.radius/dist, 1))+size/dist, c.mid, c.radius+size)
}
