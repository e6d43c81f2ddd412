package render

import "math"

// Sensor is how a camera turns light into a picture.
type Sensor struct {
	Exposure float64
	Vignette float64 // share of light lost in the corners
	Mono     bool    // night: infrared, without colour
	Tint     Vec     // white balance; zero means neutral
	Fade     float64 // share of colour lost
	Noise    float64 // standard deviation in steps of 1/255, in mid grey
	Grain    float64 // 0: every pixel for itself; 1: noise in soft blotches
	Sharpen  float64 // the halo of a camera's edge enhancement
	Lift     float64 // how far black is from 0
}

// Develop turns linear light into 8-bit RGB, w*h*3 bytes. shot numbers the frame: it picks the noise.
func (s Sensor) Develop(light []Vec, w, h, shot int) []byte {
	tone := s.curve()
	planes := [3][]float64{make([]float64, w*h), make([]float64, w*h), make([]float64, w*h)}
	inRows(h, func(y int) {
		for x := range w {
			u, v := (float64(x)+0.5)/float64(w)*2-1, (float64(y)+0.5)/float64(h)*2-1
			c := s.balance(light[y*w+x].Mul(s.Exposure * (1 - s.Vignette*(u*u+v*v)*0.5)))
			planes[0][y*w+x], planes[1][y*w+x], planes[2][y*w+x] = tone(c.X), tone(c.Y), tone(c.Z)
		}
	})
	noise := newNoise(s.Grain, shot)
	out := make([]byte, w*h*3)
	inRows(h, func(y int) {
		for x := range w {
			i := y*w + x
			n := noise.luma(x, y) * s.Noise
			for c := range planes {
				v := planes[c][i]
				v += s.Sharpen * (v - blurred(planes[c], w, h, x, y))
				amount := n * (1.25 - 0.5*v/255)
				if !s.Mono {
					amount += 0.35 * s.Noise * noise.chroma(x, y, c)
				}
				out[i*3+c] = byte(min(max(v+amount+0.5, 0), 255))
			}
		}
	})
	return out
}

func (s Sensor) balance(c Vec) Vec {
	if s.Tint != (Vec{}) {
		c = c.Times(s.Tint)
	}
	l := c.Luma()
	if s.Mono {
		return Vec{l, l, l}
	}
	return c.Mix(Vec{l, l, l}, s.Fade)
}

// curve returns linear light -> 0..255, with a shoulder so that lamps burn out softly.
func (s Sensor) curve() func(float64) float64 {
	const steps = 4096
	table := make([]float64, steps+1)
	for i := range table {
		x := float64(i) / steps * 4
		y := x * (2.51*x + 0.03) / (x*(2.43*x+0.59) + 0.14)
		y = math.Pow(min(y, 1), 1/2.2)
		table[i] = 255 * (s.Lift + (1-s.Lift)*y)
	}
	return func(x float64) float64 {
		f := min(max(x, 0), 3.999) / 4 * steps
		i := int(f)
		return table[i] + (table[i+1]-table[i])*(f-float64(i))
	}
}

func blurred(p []float64, w, h, x, y int) float64 {
	l, r := max(x-1, 0), min(x+1, w-1)
	u, d := max(y-1, 0)*w, min(y+1, h-1)*w
	y *= w
	return (4*p[y+x] + 2*(p[y+l]+p[y+r]+p[u+x]+p[d+x]) + p[u+l] + p[u+r] + p[d+l] + p[d+r]) / 16
}

// noise is a field of Gaussian noise, cut from one patch at a place that the shot picks.
type noise struct {
	patch  []float64
	dx, dy int
	grain  float64
}

const patchSize = 512

func newNoise(grain float64, shot int) noise {
	n := noise{
		patch: make([]float64, patchSize*patchSize), grain: grain,
		dx: int(hash(shot, 1, 0) * patchSize), dy: int(hash(shot, 2, 0) * patchSize),
	}
	inRows(patchSize, func(y int) {
		for x := range patchSize {
			n.patch[y*patchSize+x] = hash(x, y, 10) + hash(x, y, 11) + hash(x, y, 12) + hash(x, y, 13) - 2
		}
	})
	return n
}

func (n *noise) at(x, y int) float64 {
	return n.patch[(y&(patchSize-1))*patchSize+x&(patchSize-1)]
}

func (n *noise) luma(x, y int) float64 {
	x, y = x+n.dx, y+n.dy
	fine := 1.73 * n.at(x, y)
	if n.grain == 0 {
		return fine
	}
	soft := n.at(x, y) + n.at(x+1, y) + n.at(x, y+1) + n.at(x+1, y+1) + n.at(x+2, y) + n.at(x+2, y+1)
	return fine*(1-n.grain) + soft*0.7*n.grain
}

func (n *noise) chroma(x, y, c int) float64 {
	return 1.73 * n.at(x>>1+n.dy+c*97, y>>1+n.dx+c*31)
}
