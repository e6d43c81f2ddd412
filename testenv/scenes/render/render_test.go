package render_test

import (
	"bytes"
	"math"
	"testing"

	"holdfast/testenv/scenes/render"
)

type vec = render.Vec

// table is a white floor under a steep sun, with nothing on it.
func table() *render.Set {
	return &render.Set{
		Camera:  render.Camera{At: vec{Y: 4, Z: -4}, Look: vec{Z: 0.5}, FOV: 0.9},
		Props:   []render.Prop{render.Put(render.Ground{Reach: 20}, render.Plain(vec{X: 0.6, Y: 0.6, Z: 0.6}), vec{}, 0)},
		Lights:  []render.Light{{Toward: vec{X: -1, Y: 1}.Norm(), Panel: vec{X: 0.01}, Color: vec{X: 1, Y: 1, Z: 1}}},
		Sky:     vec{X: 0.2, Y: 0.2, Z: 0.2},
		Floor:   vec{X: 0.1, Y: 0.1, Z: 0.1},
		Reach:   1,
		Horizon: func(vec) vec { return vec{Z: 1} },
		Sensor:  render.Sensor{Exposure: 0.8, Noise: 1.5, Sharpen: 0.3},
	}
}

// ball is a red ball that moves.
func ball(at vec) render.Actor {
	return render.Actor{
		Solid: &render.Solid{
			Box: render.Around(vec{}, vec{X: 0.5, Y: 0.5, Z: 0.5}), Dist: func(p vec) float64 { return p.Len() - 0.5 },
		},
		Skin: render.Plain(vec{X: 0.8, Y: 0.05, Z: 0.05}), At: at, Turn: render.NewTurn(0),
		Blobs: []render.Blob{{R: 0.5}},
	}
}

const w, h = 160, 90

func TestActorsAndTheirShadows(t *testing.T) {
	p := render.NewPlate(table(), w, h, render.Quality{Shade: 1, Around: 1})
	empty := p.Frame(nil)
	full := p.Frame([]render.Actor{ball(vec{Y: 0.5})})
	red, dark, same := 0, 0, 0
	for i := range full {
		switch {
		case full[i].X > 2*full[i].Y:
			red++
			if x := i % w; x < w/2-20 || x > w/2+20 {
				t.Fatalf("the ball is seen at column %d, it stands in the middle", x)
			}
		case full[i].X < 0.5*empty[i].X:
			dark++
			if i%w < w/2-12 {
				t.Fatalf("there is a shadow at column %d, on the side of the sun", i%w)
			}
		case full[i] == empty[i]:
			same++
		}
	}
	if red < 150 || dark < 60 || same < w*h/2 {
		t.Fatalf("%d points of ball, %d of shadow, %d untouched", red, dark, same)
	}
}

func TestSamePictureEveryTime(t *testing.T) {
	set := table()
	one := set.Sensor.Develop(render.NewPlate(set, w, h, render.Quality{Shade: 2, Around: 3}).Frame([]render.Actor{ball(vec{X: 1, Y: 1})}), w, h, 5)
	two := set.Sensor.Develop(render.NewPlate(set, w, h, render.Quality{Shade: 2, Around: 3}).Frame([]render.Actor{ball(vec{X: 1, Y: 1})}), w, h, 5)
	if !bytes.Equal(one, two) {
		t.Fatal("the same set gave two pictures")
	}
	if next := set.Sensor.Develop(make([]vec, w*h), w, h, 6); bytes.Equal(next, set.Sensor.Develop(make([]vec, w*h), w, h, 7)) {
		t.Fatal("two frames have the same noise")
	}
}

func TestShapesAgreeWithTheirDistance(t *testing.T) {
	box := &render.Solid{
		Box:  render.Around(vec{}, vec{X: 1, Y: 0.5, Z: 0.7}),
		Dist: func(p vec) float64 { return render.RoundBox(p, vec{}, vec{X: 1, Y: 0.5, Z: 0.7}, 0) },
	}
	block := render.Block{Half: vec{X: 1, Y: 0.5, Z: 0.7}}
	for i := range 400 {
		o := vec{X: 4 * (render.Pick(i, 1, 0) - 0.5), Y: 3, Z: 4 * (render.Pick(i, 2, 0) - 0.5)}
		d := vec{X: render.Pick(i, 3, 0) - 0.5, Y: -1, Z: render.Pick(i, 4, 0) - 0.5}.Norm()
		a, _, hitA := box.Hit(o, d, 100)
		b, n, hitB := block.Hit(o, d, 100)
		if hitA != hitB && math.Abs(box.Dist(o.Add(d.Mul(max(a, b))))) > 0.01 || hitA && hitB && math.Abs(a-b) > 0.01 {
			t.Fatalf("ray %d: marched to %v %v, computed %v %v", i, a, hitA, b, hitB)
		}
		if hitB && n.Dot(d) >= 0 {
			t.Fatalf("ray %d: the normal %+v looks away from the viewer", i, n)
		}
	}
}

func TestWrite(t *testing.T) {
	const wide, high = 60, 20
	rgb := bytes.Repeat([]byte{100}, wide*high*3)
	render.Write(rgb, wide, "I1", 2, 2, 2)
	var white, dark int
	for _, v := range rgb {
		switch v {
		case 240:
			white++
		case 24:
			dark++
		}
	}
	// I has 11 dots and 1 has 10, each 2x2 pixels of three bytes.
	if white != 21*4*3 || dark == 0 {
		t.Fatalf("%d white bytes, want %d; %d dark ones", white, 21*4*3, dark)
	}
	if render.TextWidth("I1", 2) != 24 || render.TextHeight(2) != 14 {
		t.Fatalf("text is said to be %dx%d", render.TextWidth("I1", 2), render.TextHeight(2))
	}
	render.Write(rgb, wide, "?\u00e9", 55, 15, 3) // unknown, and over the edge
	if !render.Lettered("I", 0, 0, 1) || render.Lettered("I", 2.4, 0, 1) {
		t.Fatal("Lettered does not cover the middle of an I, or covers beside it")
	}
}

func TestHalve(t *testing.T) {
	rgb := []byte{10, 0, 0, 20, 0, 0, 30, 0, 0, 40, 0, 0}
	if got := render.Halve(rgb, 2, 2); !bytes.Equal(got, []byte{25, 0, 0}) {
		t.Fatalf("got %v", got)
	}
}
