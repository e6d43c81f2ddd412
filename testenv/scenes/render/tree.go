package render

import (
	"cmp"
	"math"
	"slices"
)

// tree finds what a ray meets among many props: a hierarchy of bounding boxes.
type tree struct {
	props []Prop
	boxes []Box
	nodes []node
	order []int32
}

type node struct {
	box         Box
	left, right int32 // children, when count is 0
	first       int32
	count       int32
}

func newTree(props []Prop) *tree {
	t := &tree{props: props}
	for i := range props {
		t.boxes = append(t.boxes, props[i].bounds())
		t.order = append(t.order, int32(i))
	}
	if len(props) > 0 {
		t.grow(0, len(props))
	}
	return t
}

func (t *tree) grow(lo, hi int) int32 {
	box := t.boxes[t.order[lo]]
	for _, i := range t.order[lo+1 : hi] {
		box = box.union(t.boxes[i])
	}
	at := int32(len(t.nodes))
	t.nodes = append(t.nodes, node{box: box, first: int32(lo), count: int32(hi - lo)})
	if hi-lo <= 3 {
		return at
	}
	h := box.half()
	axis := func(v Vec) float64 { return v.X }
	switch {
	case h.Y > h.X && h.Y > h.Z:
		axis = func(v Vec) float64 { return v.Y }
	case h.Z > h.X:
		axis = func(v Vec) float64 { return v.Z }
	}
	slices.SortFunc(t.order[lo:hi], func(a, b int32) int {
		return cmp.Compare(axis(t.boxes[a].centre()), axis(t.boxes[b].centre()))
	})
	mid := (lo + hi) / 2
	left := t.grow(lo, mid)
	right := t.grow(mid, hi)
	t.nodes[at].left, t.nodes[at].right, t.nodes[at].count = left, right, 0
	return at
}

// nearest returns the first prop on the ray, or nil.
func (t *tree) nearest(o, d Vec, limit float64) (prop *Prop, dist float64, normal Vec) {
	dist = limit
	t.walk(o, d, &dist, func(p *Prop, at float64, n Vec) bool {
		prop, dist, normal = p, at, n
		return false
	})
	return prop, dist, normal
}

// blocked says whether anything lies on the ray before limit.
func (t *tree) blocked(o, d Vec, limit float64) bool {
	found := false
	t.walk(o, d, &limit, func(*Prop, float64, Vec) bool {
		found = true
		return true
	})
	return found
}

func (t *tree) walk(o, d Vec, limit *float64, hit func(*Prop, float64, Vec) bool) {
	if len(t.nodes) == 0 {
		return
	}
	var stack [64]int32
	inv := inverse(d)
	top := 1
	for top > 0 {
		top--
		n := &t.nodes[stack[top]]
		if _, _, ok := n.box.span(o, inv, *limit); !ok {
			continue
		}
		if n.count == 0 {
			stack[top], stack[top+1] = n.left, n.right
			top += 2
			continue
		}
		for _, i := range t.order[n.first : n.first+n.count] {
			p := &t.props[i]
			if at, normal, ok := p.hit(o, d, *limit); ok && hit(p, at, normal) {
				return
			}
		}
	}
}

// far is the end of every ray that meets nothing.
const far = 1e6

// hash returns a number in [0,1) that depends on its arguments alone.
func hash(a, b, c int) float64 {
	h := uint64(a)*0x9E3779B97F4A7C15 ^ uint64(b)*0xC2B2AE3D27D4EB4F ^ uint64(c)*0x165667B19E3779F9
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	h ^= h >> 32
	h *= 0x94D049BB133111EB
	h ^= h >> 31
	return float64(h>>11) / (1 << 53)
}

// scatter returns a direction about n, cosine-weighted, for two numbers in [0,1).
func scatter(n Vec, u, v float64) Vec {
	r, a := math.Sqrt(u), 2*math.Pi*v
	side := Vec{0, 1, 0}
	if math.Abs(n.Y) > 0.9 {
		side = Vec{1, 0, 0}
	}
	tx := side.Cross(n).Norm()
	tz := n.Cross(tx)
	return tx.Mul(r * math.Cos(a)).Add(tz.Mul(r * math.Sin(a))).Add(n.Mul(math.Sqrt(1 - u)))
}
