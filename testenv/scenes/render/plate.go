package render

import (
	"math"
	"runtime"
	"sync"
)

// Quality is how carefully a Plate is traced.
type Quality struct {
	Shade  int // rays to each light per sample
	Around int // rays for ambient shade per sample
}

// perPixel is how many samples a pixel has.
const perPixel = 4

// offsets are the places of a pixel's samples inside it (a rotated grid).
func offsets() [perPixel][2]float64 {
	return [perPixel][2]float64{{0.375, 0.125}, {0.875, 0.375}, {0.625, 0.875}, {0.125, 0.625}}
}

// sample is what one ray of the camera met, with its light kept apart so that actors can take parts away.
type sample struct {
	dist  float32 // far when it met the sky
	color [3]float32
	round [3]float32         // ambient light, shade included
	lamps [MaxLights]float32 // each light's strength, shade and cosine included
	extra [3]float32         // mirrored and given light
	gloss float32            // mirrored share, for actors' reflections in a level floor
	shine float32            // retroreflective share
}

const tileSize = 16

// tile is a square of the picture with the room that its samples take up.
type tile struct {
	x0, y0, x1, y1 int
	ray            Vec // through its middle
	spread         float64
	mid            Vec // of its still samples
	radius         float64
	solid          bool // it sees anything but sky
	gloss          bool
}

// Plate is a Set traced from its camera.
type Plate struct {
	set     *Set
	w, h    int
	lens    lens
	still   *tree
	samples []sample
	tiles   []tile
	picture []Vec // the Set without actors, linear
}

// NewPlate traces the Set at w x h pixels.
func NewPlate(set *Set, w, h int, q Quality) *Plate {
	p := &Plate{
		set: set, w: w, h: h, lens: set.Camera.lens(w, h), still: newTree(set.Props),
		samples: make([]sample, w*h*perPixel), picture: make([]Vec, w*h),
	}
	inRows(h, func(y int) {
		for x := range w {
			var sum Vec
			for k, off := range offsets() {
				s := &p.samples[(y*w+x)*perPixel+k]
				p.trace(s, x, y, k, off, q)
				sum = sum.Add(p.light(s, nil))
			}
			p.picture[y*w+x] = sum.Mul(1.0 / perPixel)
		}
	})
	p.cut()
	return p
}

// inRows runs do for every row on all processors.
func inRows(rows int, do func(int)) {
	var wg sync.WaitGroup
	next := make(chan int, rows)
	for y := range rows {
		next <- y
	}
	close(next)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for y := range next {
				do(y)
			}
		})
	}
	wg.Wait()
}

func (p *Plate) trace(s *sample, x, y, k int, off [2]float64, q Quality) {
	d := p.lens.ray(float64(x)+off[0], float64(y)+off[1])
	prop, dist, n := p.still.nearest(p.lens.at, d, far)
	s.dist = float32(dist)
	if prop == nil {
		s.extra = pack(p.set.Horizon(d))
		return
	}
	point := p.lens.at.Add(d.Mul(dist))
	if n.Dot(d) > 0 {
		n = n.Mul(-1)
	}
	paint := prop.paint(point, n)
	start := point.Add(n.Mul(0.004))
	seed := (y*p.w+x)*perPixel + k
	s.color, s.shine = pack(paint.Color), float32(paint.Retro)
	s.round = pack(p.set.ambient(n).Mul(p.open(start, n, seed, q.Around)))
	for i := range p.set.Lights {
		s.lamps[i] = float32(p.lit(&p.set.Lights[i], start, n, seed+i*7919, q.Shade))
	}
	extra := paint.Glow
	if paint.Gloss > 0 {
		share := mirrored(paint.Gloss, d, n)
		s.gloss = float32(share)
		extra = extra.Add(p.mirrored(start, d, n, paint.Rough, seed).Mul(share))
		s.color = pack(paint.Color.Mul(1 - share))
	}
	s.extra = pack(extra)
}

// open is the share of ambient light that reaches the point.
func (p *Plate) open(o, n Vec, seed, rays int) float64 {
	var sum float64
	for i := range rays {
		d := scatter(n, (float64(i)+hash(seed, i, 1))/float64(rays), hash(seed, i, 2))
		_, dist, _ := p.still.nearest(o, d, p.set.Reach)
		sum += dist / p.set.Reach
	}
	return sum / float64(max(rays, 1))
}

func (p *Plate) lit(l *Light, o, n Vec, seed, rays int) float64 {
	var sum float64
	for i := range rays {
		u, v := 2*(float64(i)+hash(seed, i, 3))/float64(rays)-1, 2*hash(seed, i, 4)-1
		d, dist, strength := l.reach(o, u, v)
		if c := d.Dot(n); c > 0 && strength > 1e-4 && !p.still.blocked(o, d, dist-0.01) {
			sum += c * strength
		}
	}
	return sum / float64(max(rays, 1))
}

// mirrored is what a glossy point mirrors, lit simply.
func (p *Plate) mirrored(o, d, n Vec, rough float64, seed int) Vec {
	r := mirror(d, n)
	if rough > 0 {
		r = r.Add(scatter(n, hash(seed, 0, 5), hash(seed, 0, 6)).Mul(rough)).Norm()
	}
	if r.Dot(n) <= 0 {
		return Vec{}
	}
	prop, dist, rn := p.still.nearest(o, r, far)
	if prop == nil {
		return p.set.Horizon(r)
	}
	at := o.Add(r.Mul(dist))
	if rn.Dot(r) > 0 {
		rn = rn.Mul(-1)
	}
	paint := prop.paint(at, rn)
	light := p.set.ambient(rn).Mul(0.8)
	for i := range p.set.Lights {
		l := &p.set.Lights[i]
		light = light.Add(l.Color.Mul(p.lit(l, at.Add(rn.Mul(0.004)), rn, seed+i*31, 1)))
	}
	return paint.Color.Times(light).Add(paint.Glow)
}

// light adds a sample's light up; dim, when given, weakens ambient (first) and each lamp.
func (p *Plate) light(s *sample, dim *[1 + MaxLights]float64) Vec {
	sum := unpack(s.round)
	if dim != nil {
		sum = sum.Mul(dim[0])
	}
	back := Vec{}
	for i := range p.set.Lights {
		v := float64(s.lamps[i])
		if dim != nil {
			v *= dim[1+i]
		}
		sum = sum.Add(p.set.Lights[i].Color.Mul(v))
		if p.set.Lights[i].Beside {
			back = back.Add(p.set.Lights[i].Color.Mul(v * float64(s.shine)))
		}
	}
	return unpack(s.color).Times(sum).Add(back).Add(unpack(s.extra))
}

// cut divides the picture into tiles.
func (p *Plate) cut() {
	for y := 0; y < p.h; y += tileSize {
		for x := 0; x < p.w; x += tileSize {
			t := tile{x0: x, y0: y, x1: min(x+tileSize, p.w), y1: min(y+tileSize, p.h)}
			p.measure(&t)
			p.tiles = append(p.tiles, t)
		}
	}
}

func (p *Plate) measure(t *tile) {
	t.ray = p.lens.ray(float64(t.x0+t.x1)/2, float64(t.y0+t.y1)/2)
	for _, c := range [4][2]int{{t.x0, t.y0}, {t.x1, t.y0}, {t.x0, t.y1}, {t.x1, t.y1}} {
		t.spread = max(t.spread, math.Acos(min(t.ray.Dot(p.lens.ray(float64(c[0]), float64(c[1]))), 1)))
	}
	var room Box
	for y := t.y0; y < t.y1; y++ {
		for x := t.x0; x < t.x1; x++ {
			s := &p.samples[(y*p.w+x)*perPixel]
			if s.dist >= far {
				continue
			}
			t.gloss = t.gloss || s.gloss > 0
			at := p.lens.at.Add(p.lens.ray(float64(x)+0.5, float64(y)+0.5).Mul(float64(s.dist)))
			if !t.solid {
				room, t.solid = Box{at, at}, true
			}
			room = room.union(Box{at, at})
		}
	}
	t.mid, t.radius = room.centre(), room.half().Len()
}

func pack(v Vec) [3]float32 { return [3]float32{float32(v.X), float32(v.Y), float32(v.Z)} }

func unpack(v [3]float32) Vec { return Vec{float64(v[0]), float64(v[1]), float64(v[2])} }
