package live

import (
	"testing"

	"holdfast/shared/id"
)

// TestAKeyFrameIsAskedForWhereOneIsFar: not in short groups of pictures, where that would only make the line narrower.
func TestAKeyFrameIsAskedForWhereOneIsFar(t *testing.T) {
	stream := id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}
	for name, c := range map[string]struct {
		known cost
		asks  int
	}{
		"nobody has measured it": {cost{}, 1},
		"every ten seconds":      {cost{all: 1, keys: 1, every: 10}, 1},
		"every second":           {cost{all: 1, keys: 1, every: 1}, 0},
	} {
		asked := 0
		room := &Room{costs: costs{by: map[id.Stream]cost{}}, footage: Footage{KeyFrame: func(s id.Stream) {
			if s == stream {
				asked++
			}
		}}}
		if c.known != (cost{}) {
			room.costs.set(stream, c.known)
		}
		f := &follow{s: &session{room: room}, stream: stream}
		f.await()
		if asked != c.asks || !f.wait {
			t.Errorf("%s: asked %d times, waits %t", name, asked, f.wait)
		}
		room.footage.KeyFrame = nil // a camera without ONVIF
		f.await()
	}
}
