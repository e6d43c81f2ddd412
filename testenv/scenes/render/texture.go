package render

import "math"

// Cloud is smooth value noise in [0,1) over a plane, one bump per unit.
func Cloud(x, y float64, seed int) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int(fx), int(fy)
	u, v := x-fx, y-fy
	u, v = u*u*(3-2*u), v*v*(3-2*v)
	a := hash(ix, iy, seed) + (hash(ix+1, iy, seed)-hash(ix, iy, seed))*u
	b := hash(ix, iy+1, seed) + (hash(ix+1, iy+1, seed)-hash(ix, iy+1, seed))*u
	return a + (b-a)*v
}

// Clouds is Cloud summed over octaves, each twice as fine and half as strong; the mean is about 0.5.
func Clouds(x, y float64, octaves, seed int) float64 {
	sum, weight, total := 0.0, 1.0, 0.0
	for i := range octaves {
		sum += weight * Cloud(x, y, seed+i)
		total += weight
		x, y, weight = x*2.03+17.1, y*2.03+9.2, weight/2
	}
	return sum / total
}

// Pick returns a number in [0,1) that depends on its arguments alone.
func Pick(a, b, c int) float64 { return hash(a, b, c) }

// Smooth goes softly from 0 at a to 1 at b; a may be above b.
func Smooth(a, b, x float64) float64 { return smooth(a, b, x) }
