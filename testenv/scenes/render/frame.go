package render

// Frame draws the Plate with its actors: linear light, one Vec per pixel.
func (p *Plate) Frame(actors []Actor) []Vec {
	out := make([]Vec, len(p.picture))
	copy(out, p.picture)
	all := make([]cast, len(actors))
	var lamps []*Lamp
	for i, a := range actors {
		all[i] = newCast(a)
		if a.Glow != nil {
			lamps = append(lamps, a.Glow)
		}
	}
	inRows(len(p.tiles), func(i int) {
		t := &p.tiles[i]
		w := p.sort(t, all)
		if w.idle() && len(lamps) == 0 {
			return
		}
		for y := t.y0; y < t.y1; y++ {
			for x := t.x0; x < t.x1; x++ {
				out[y*p.w+x] = p.pixel(x, y, &w, lamps)
			}
		}
	})
	return out
}

// shot is what one ray of a frame meets.
type shot struct {
	still  *sample
	dir    Vec
	who    *cast // nil when it meets no actor
	dist   float64
	normal Vec
}

func (p *Plate) pixel(x, y int, w *work, lamps []*Lamp) Vec {
	at := offsets()
	var shots [perPixel]shot
	shoot := func(k int) {
		s := &p.samples[(y*p.w+x)*perPixel+k]
		shots[k] = p.shoot(s, p.lens.ray(float64(x)+at[k][0], float64(y)+at[k][1]), w)
	}
	// Opposite corners that meet the same actor speak for the whole pixel; so do two that meet none.
	shoot(0)
	shoot(2)
	if shots[0].who != shots[2].who {
		shoot(1)
		shoot(3)
		return p.mean(shots[:], nil, w, lamps)
	}
	if shots[0].who != nil {
		return p.mean([]shot{shots[0], shots[2]}, nil, w, lamps)
	}
	near, away := min(shots[0].dist, shots[2].dist), max(shots[0].dist, shots[2].dist)
	for k := 1; k < perPixel; k += 2 {
		s := &p.samples[(y*p.w+x)*perPixel+k]
		shots[k] = shot{still: s, dir: p.lens.ray(float64(x)+at[k][0], float64(y)+at[k][1]), dist: float64(s.dist)}
		near, away = min(near, shots[k].dist), max(away, shots[k].dist)
	}
	// Shadows are soft: one look per pixel will do where the pixel is one surface.
	var dim *[1 + MaxLights]float64
	if away < far && away < near*1.03 {
		dim = p.dim(&shots[0], w)
	}
	return p.mean(shots[:], dim, w, lamps)
}

func (p *Plate) mean(shots []shot, dim *[1 + MaxLights]float64, w *work, lamps []*Lamp) Vec {
	var sum Vec
	for k := range shots {
		sum = sum.Add(p.value(&shots[k], dim, w, lamps))
	}
	return sum.Mul(1 / float64(len(shots)))
}

func (p *Plate) shoot(s *sample, d Vec, w *work) shot {
	r := shot{still: s, dir: d, dist: float64(s.dist)}
	for _, c := range w.seen {
		if t, n, ok := c.hit(p.lens.at, d, r.dist); ok {
			r.who, r.dist, r.normal = c, t, n
		}
	}
	return r
}

func (p *Plate) value(r *shot, dim *[1 + MaxLights]float64, w *work, lamps []*Lamp) Vec {
	at := p.lens.at.Add(r.dir.Mul(r.dist))
	switch {
	case r.who != nil:
		return p.actor(r.who, at, r.dir, r.normal, w, lamps)
	case r.dist >= far:
		return unpack(r.still.extra)
	}
	if dim == nil {
		dim = p.dim(r, w)
	}
	light := p.light(r.still, dim)
	if r.still.gloss > faint {
		light = light.Add(p.reflect(r, at, w))
	}
	for _, l := range lamps {
		light = light.Add(unpack(r.still.color).Times(l.on(at, Vec{0, 1, 0})))
	}
	return light
}

// faint is the share of the light below which a shadow or a reflection is not looked for.
const faint = 0.07

// dim is how much of the ambient light (first) and of each lamp the actors leave at a still point.
func (p *Plate) dim(r *shot, w *work) *[1 + MaxLights]float64 {
	var dim [1 + MaxLights]float64
	at := p.lens.at.Add(r.dir.Mul(r.dist))
	dim[0] = 1
	whole := unpack(r.still.round).Luma()
	for i := range p.set.Lights {
		whole += p.set.Lights[i].Color.Luma() * float64(r.still.lamps[i])
	}
	for _, c := range w.near {
		dim[0] *= c.close(at, Vec{0, 1, 0})
	}
	for i := range p.set.Lights {
		dim[1+i] = 1
		if len(w.shadow[i]) == 0 || p.set.Lights[i].Color.Luma()*float64(r.still.lamps[i]) < faint*whole {
			continue
		}
		to, dist, _ := p.set.Lights[i].reach(at, 0, 0)
		for _, c := range w.shadow[i] {
			dim[1+i] *= c.shade(at, to, dist, p.set.Lights[i].soft(dist))
		}
	}
	return &dim
}

// reflect is what actors change in the picture that a glossy level floor mirrors.
func (p *Plate) reflect(r *shot, at Vec, w *work) Vec {
	up := Vec{r.dir.X, -r.dir.Y, r.dir.Z}
	for _, c := range w.mirror {
		if t, n, ok := c.hit(at, up, far); ok {
			seen := p.actor(c, at.Add(up.Mul(t)), up, n, &work{}, nil)
			return seen.Mul(float64(r.still.gloss)).Sub(unpack(r.still.extra))
		}
	}
	return Vec{}
}

// on is the lamp's light at a point; it counts half of what a surface turned to the lamp would take.
func (l *Lamp) on(at, n Vec) Vec {
	to := l.At.Sub(at)
	as := Light{At: l.At, Aim: l.Aim, Cone: l.Cone, Color: l.Color}
	d, _, strength := as.reach(at, 0, 0)
	if to.Len() < 0.05 {
		return Vec{}
	}
	return l.Color.Mul(strength * (0.35 + 0.65*max(d.Dot(n), 0)))
}

// actor is the light that comes from a point of an actor.
func (p *Plate) actor(c *cast, at, d, n Vec, w *work, lamps []*Lamp) Vec {
	paint := c.Skin(c.Turn.In(at.Sub(c.At)), c.Turn.In(n))
	start := at.Add(n.Mul(0.012))
	// The ground and the body itself take ambient light away from below.
	open := 0.55 + 0.45*min(c.Solid.Dist(c.Turn.In(at.Add(n.Mul(0.12)).Sub(c.At)))/0.12, 1)
	light := p.set.ambient(n).Mul(open * (0.6 + 0.4*min(at.Y/0.5, 1)))
	whole := light.Luma()
	for i := range p.set.Lights {
		l := &p.set.Lights[i]
		to, _, strength := l.reach(start, 0, 0)
		whole += l.Color.Luma() * strength * max(to.Dot(n), 0)
	}
	back := Vec{}
	for i := range p.set.Lights {
		l := &p.set.Lights[i]
		to, dist, strength := l.reach(start, 0, 0)
		cos := to.Dot(n)
		if cos <= 0 || strength < 1e-4 {
			continue
		}
		v := cos * strength
		if l.Color.Luma()*v < faint*whole {
			light = light.Add(l.Color.Mul(v))
			continue
		}
		if p.still.blocked(start, to, dist-0.01) {
			continue
		}
		v *= c.shade(start, to, dist, l.soft(dist))
		for _, o := range w.shadow[i] {
			if o != c && v > 0 {
				v *= o.shade(start, to, dist, l.soft(dist))
			}
		}
		light = light.Add(l.Color.Mul(v))
		if l.Beside {
			back = back.Add(l.Color.Mul(v * paint.Retro))
		}
	}
	for _, l := range lamps {
		light = light.Add(l.on(at, n))
	}
	color := paint.Color
	extra := paint.Glow.Add(back)
	if paint.Gloss > 0 {
		share := mirrored(paint.Gloss, d, n)
		extra = extra.Add(p.set.around(mirror(d, n)).Mul(share))
		color = color.Mul(1 - share)
	}
	return color.Times(light).Add(extra)
}

// around is a rough picture of the surroundings for what actors mirror.
func (s *Set) around(d Vec) Vec {
	if d.Y > 0 {
		return s.Horizon(d)
	}
	sum := s.Sky
	for i := range s.Lights {
		if s.Lights[i].Toward != (Vec{}) {
			sum = sum.Add(s.Lights[i].Color.Mul(0.5))
		}
	}
	return sum.Mul(0.15)
}
