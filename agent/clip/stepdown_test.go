package clip

import (
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/agent/health"
	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
	"holdfast/testenv/smalldisk"
)

// board is a board of conditions whose last word on clips is kept.
type board struct {
	mu   sync.Mutex
	last health.Condition
}

func (b *board) clips() health.Condition {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// testStepDown has room for a clip of the sub stream only, and a line that carries nothing: the main stream will be lost,
// which is foretold with what the sub stream would take, and once somebody wished it that is cut in its place and says so.
func testStepDown(t *testing.T, r *recording) {
	d := newDesk(t, r.site)
	d.dir = smalldisk.Mount(t, smalldisk.Bytes(112<<10))
	var b board
	d.more = func(deps *Deps) {
		deps.Board = health.NewBoard(r.clock.Now, func(c health.Condition) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.last = c
		})
		deps.Line = func() (float64, bool) { return 0, true }
		deps.Rate = func(s id.Stream) float64 { return map[id.StreamKind]float64{id.Main: 62_000}[s.Kind] } // the sub one is down now
		deps.Name = func(id.Camera) string { return "Both" }
		deps.Keep = func(id.Camera) time.Duration { return time.Hour }
	}
	room := d.open()
	o := d.order("both", r.beginUs["both"]+300_000, r.beginUs["both"]+2_500_000)
	d.place(o)
	if f := d.said(o.Clip, wire.ClipWanted); !strings.Contains(f.Reason, "no room") || f.Stream != "" {
		t.Fatalf("said %+v", f)
	}
	wish := func(down bool) {
		room.Apply([]wire.CameraDesire{{Camera: o.Camera, StepDown: down}, {Camera: r.ids["dock"], StepDown: true}})
	}
	wish(false)
	eventually.True(t, "the loss to be foretold", func() bool { return len(room.Losses()) == 1 })
	l := room.Losses()[0]
	if l.Camera != o.Camera || l.StartUs != o.StartUs || l.EndUs != o.EndUs || l.DueUs != o.StartUs+3600e6 || l.Bytes != 136_400 ||
		l.SubBytes < 10_000 || l.SubBytes > 80_000 || l.More < 1 {
		t.Errorf("foretold %+v", l)
	}
	eventually.True(t, "the condition", func() bool { return strings.Contains(b.clips().Text, "Its small stream is recorded too and takes") })

	wish(true)
	film := probe(t, d.stored(o.Clip))
	film.assertExact(o.StartUs, o.EndUs)
	film.assertVerifies(r.site, mp4.AudioOriginal)
	facts := d.facts(o.Clip)
	told, cut := false, wire.ClipFact{}
	for _, f := range facts {
		told = told || f.State == wire.ClipWanted && f.Stream == id.Sub && f.Reason == noteSmall
		if f.State == wire.ClipQueued {
			cut = f
		}
	}
	if !told || cut.Stream != id.Sub || !strings.Contains(cut.Reason, noteSmall) || cut.Bytes > 112<<10 {
		t.Errorf("said %+v", facts)
	}
	wish(true)
	eventually.True(t, "everything to be well", func() bool { return len(room.Losses()) == 0 && b.clips().State == wire.OK })

	// Of a camera without a sub stream nothing can be cut in its place.
	alone := d.order("dock", r.beginUs["dock"]+300_000, r.beginUs["dock"]+6_000_000)
	d.place(alone)
	wish(true)
	eventually.True(t, "the other loss to be foretold", func() bool { return len(room.Losses()) == 1 })
	if l := room.Losses()[0]; l.Camera != alone.Camera || l.SubBytes != 0 {
		t.Errorf("foretold %+v", l)
	}
	if row, ok := d.row(alone.Clip); !ok || row.Fact.Stream != "" {
		t.Errorf("the clip is %+v", row)
	}
}
