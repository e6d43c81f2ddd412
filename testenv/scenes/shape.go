package scenes

import (
	"slices"
	"time"
)

// Paced returns the loop under another name with its frames at other times: step says how long frame i is shown, in
// 1/90000 s. The pictures stay what they are, so the loop must have no B-frames. It has no sound.
func (l *Loop) Paced(name string, step func(i int) int64) *Loop {
	if l.BFrames {
		panic("scenes: a loop with B-frames can't be paced")
	}
	out := *l
	out.Name, out.Ticks, out.Units = name, 0, slices.Clone(l.Units)
	out.Audio, out.Sound, out.SoundTicks = nil, nil, 0
	keys := 0
	for i := range out.Units {
		u := &out.Units[i]
		u.DTS, u.PTS = out.Ticks, out.Ticks
		out.Ticks += step(i)
		if u.Key {
			keys++
		}
	}
	out.GOP = time.Duration(out.Ticks) * time.Second / Timescale / time.Duration(keys)
	out.FPS = max(1, int(int64(len(out.Units))*Timescale/out.Ticks))
	return &out
}

// KeysOnly returns the loop with its key frames alone, each shown for so long.
func (l *Loop) KeysOnly(name string, each time.Duration) *Loop {
	keys := *l
	keys.Units = slices.DeleteFunc(slices.Clone(l.Units), func(u Unit) bool { return !u.Key })
	return keys.Paced(name, func(int) int64 { return int64(each) * Timescale / int64(time.Second) })
}
