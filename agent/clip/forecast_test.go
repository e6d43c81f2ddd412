package clip

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const (
	minute = int64(60_000_000)
	hours  = 60 * minute
)

// TestForecast: clips of 450 MB for each hour of a camera at 1 Mbit/s, in the order in which retention takes them.
func TestForecast(t *testing.T) {
	now := 1000 * hours
	clip := func(cam string, ago, length, dueIn int64) Uncut {
		return Uncut{
			Camera: id.Camera(cam), StartUs: now - ago, EndUs: now - ago + length, Bytes: length / 1_000_000 * 125_000, DueUs: now + dueIn,
		}
	}
	door, yard := clip("door", 10*hours, hours, 6*hours), clip("yard", 5*hours, hours, 11*hours)
	urgent := clip("till", 2*hours, 4*hours, 90*hours)
	urgent.Priority = wire.PriorityHigh
	endless := clip("gate", 20*hours, hours, 0)
	endless.DueUs = 0
	const mbit = 125_000.0
	for _, c := range []struct {
		name  string
		rate  float64
		room  int64
		queue []Uncut
		want  string
		more  float64 // of the first one, Mbit/s
	}{
		{"a line that is fast enough", mbit, 0, []Uncut{yard, door}, "", 0},
		{"room on the disk", 0, 2000e6, []Uncut{yard, door}, "", 0},
		{"no line, and room for one of them", 0, door.Bytes, []Uncut{yard, door}, "yard", 450 * 8 / (11 * 3600.)},
		{"no line and no room", 0, 0, []Uncut{yard, door}, "door yard", 450 * 8 / (6 * 3600.)},
		{"a slow line", 0.1 * mbit, 0, []Uncut{yard, door}, "door yard", 450*8/(6*3600.) - 0.1},
		{"a line that sends the first in time", 0.16 * mbit, 0, []Uncut{door, yard}, "door yard", 450*8/(6*3600.) - 0.16},
		{"one of higher priority comes before", 0.2 * mbit, 0, []Uncut{door, urgent}, "door", (1800+450)*8/(6*3600.) - 0.2},
		{"one that nothing deletes", 0.2 * mbit, 0, []Uncut{endless, door}, "", 0},
	} {
		got, _ := Forecast(now, c.rate, c.room, c.queue)
		var names []string
		for _, l := range got {
			names = append(names, string(l.Camera))
		}
		if s := strings.Join(names, " "); s != c.want {
			t.Errorf("%s: %q are lost, want %q", c.name, s, c.want)
			continue
		}
		if len(got) > 0 && (got[0].More/mbit < c.more*0.99 || got[0].More/mbit > c.more*1.01) {
			t.Errorf("%s: the line lacks %.4f Mbit/s, want %.4f", c.name, got[0].More/mbit, c.more)
		}
	}
}

// TestStepDown: only what would be lost is cut from the sub stream, and what that spares is there for those behind.
func TestStepDown(t *testing.T) {
	now := 1000 * hours
	clip := func(name string, bytes, sub, dueIn int64, down bool) Uncut {
		return Uncut{Clip: id.Clip(name), Camera: id.Camera(name), StartUs: now - 10*hours, EndUs: now - 9*hours, Bytes: bytes, SubBytes: sub, DueUs: now + dueIn, StepDown: down}
	}
	only := clip("only", 450e6, 45e6, 6*hours, false)
	only.SubOnly = true
	const mbit = 125_000.0
	for _, c := range []struct {
		name        string
		rate        float64
		queue       []Uncut
		small, lost string
	}{
		{"a line that is fast enough", mbit, []Uncut{clip("a", 450e6, 45e6, 6*hours, true)}, "", ""},
		{"nobody wished it", 0.1 * mbit, []Uncut{clip("a", 450e6, 45e6, 6*hours, false)}, "", "a"},
		{"it is kept by it", 0.1 * mbit, []Uncut{clip("a", 450e6, 45e6, 6*hours, true)}, "a", ""},
		{"it is lost all the same", 0.01 * mbit, []Uncut{clip("a", 450e6, 45e6, 6*hours, true)}, "a", "a"},
		{"the sub stream is not recorded", 0.1 * mbit, []Uncut{clip("a", 450e6, 0, 6*hours, true)}, "", "a"},
		{"the sub stream is no smaller", 0.1 * mbit, []Uncut{clip("a", 450e6, 450e6, 6*hours, true)}, "", "a"},
		{"the next one is spared", 0.2 * mbit, []Uncut{clip("a", 4500e6, 45e6, 6*hours, true), clip("b", 450e6, 45e6, 7*hours, true)}, "a", ""},
		{"the next one is not", 0.1 * mbit, []Uncut{clip("a", 225e6, 45e6, 6*hours, true), clip("b", 450e6, 45e6, 7*hours, true)}, "b", ""},
		{"its main stream has gone", mbit, []Uncut{only}, "only", ""},
	} {
		losses, small := Forecast(now, c.rate, 0, c.queue)
		var lost, down []string
		for _, l := range losses {
			lost = append(lost, string(l.Camera))
			if small[id.Clip(l.Camera)] && l.SubBytes != 0 {
				t.Errorf("%s: a step down is offered that is taken already: %+v", c.name, l)
			}
		}
		for _, u := range c.queue {
			if small[u.Clip] {
				down = append(down, string(u.Clip))
			}
		}
		if got := strings.Join(down, " "); got != c.small {
			t.Errorf("%s: %q step down, want %q", c.name, got, c.small)
		}
		if got := strings.Join(lost, " "); got != c.lost {
			t.Errorf("%s: %q are lost, want %q", c.name, got, c.lost)
		}
	}
}

// TestTheLineThatIsMissing: with what the forecast asks for, nothing is lost any more.
func TestTheLineThatIsMissing(t *testing.T) {
	now := 1000 * hours
	var queue []Uncut
	for n := range int64(20) {
		queue = append(queue, Uncut{Camera: id.Camera("cam" + string(rune('a'+n%3))), StartUs: n * hours, EndUs: n*hours + 30*minute, Bytes: 300e6, DueUs: now + (n/2+1)*hours})
	}
	losses, _ := Forecast(now, 1000, 500e6, queue)
	if len(losses) == 0 {
		t.Fatal("nothing is lost")
	}
	rate := 1000.0
	for _, l := range losses {
		rate = max(rate, 1000+l.More)
	}
	if left, _ := Forecast(now, rate*1.000001, 500e6, queue); len(left) > 0 {
		t.Errorf("with a line of %.0f bytes per second these are lost: %+v", rate, left)
	}
	if left, _ := Forecast(now, rate*0.99, 500e6, queue); len(left) == 0 {
		t.Error("a little less would do as well")
	}
}

func TestSay(t *testing.T) {
	now := time.Date(2026, 3, 2, 20, 0, 0, 0, time.UTC).UnixMicro()
	at := func(h, m int64) int64 { return now - 20*hours + h*hours + m*minute }
	name := func(c id.Camera) string { return map[id.Camera]string{"d": "Door"}[c] }
	queue := []Uncut{
		{Camera: "d", StartUs: at(14, 0), EndUs: at(14, 35), Bytes: 2_000e6, SubBytes: 200e6, DueUs: now + 6*hours},
		{Camera: "d", StartUs: at(14, 35), EndUs: at(15, 10), Bytes: 1_240e6, SubBytes: 100e6, DueUs: now + 6*hours},
	}
	want := "Door loses 14:00 to 15:10 in 6 h (3 Mar 02:00), before it can be sent, unless the line carries 1.2 Mbit/s more." +
		" Its small stream is recorded too and takes 300 MB instead of 3240 MB: let its clips step down to it in the camera's settings."
	losses, _ := Forecast(now, 0, 0, queue)
	if got := Say(losses, now, time.UTC, name); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	queue = queue[:0]
	for n := range int64(5) {
		queue = append(queue, Uncut{Camera: "d", StartUs: at(n*2-30, 0), EndUs: at(n*2-30, 5), Bytes: 1e9, DueUs: now + (n+30)*hours})
	}
	losses, _ = Forecast(now, 0, 0, queue)
	got := Say(losses, now, time.UTC, name)
	if !strings.HasPrefix(got, "Door loses 28 Feb 18:00 to 18:05 in 30 h (4 Mar 02:00),") || !strings.HasSuffix(got, " 2 more will be lost after that.") {
		t.Error(got)
	}
}

// TestTheConditionOfClips: it fails before a clip is lost, says what would help, and is well again when the line is.
func TestTheConditionOfClips(t *testing.T) {
	l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	now, rate, known := time.Now().UnixMicro(), 0.0, false
	cam := id.New[id.Camera]()
	var changes []health.Condition
	r, err := New(Config{Dir: t.TempDir(), Free: 1 << 60}, Deps{
		Ledger: l, Now: func() int64 { return now }, Log: slog.New(slog.DiscardHandler),
		Keep:  func(id.Camera) time.Duration { return 24 * time.Hour },
		Board: health.NewBoard(func() int64 { return now }, func(c health.Condition) { changes = append(changes, c) }),
		Line:  func() (float64, bool) { return rate, known },
		Rate: func(s id.Stream) float64 {
			return map[id.StreamKind]float64{id.Main: 500_000, id.Sub: 50_000}[s.Kind]
		},
		Name: func(id.Camera) string { return "Door" },
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func(want wire.State) {
		t.Helper()
		if err := r.foresee(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := wire.StateUnknown
		if n := len(changes); n > 0 {
			got = changes[n-1].State
		}
		if got != want {
			t.Fatalf("the condition is %q, want %q: %+v", got, want, changes)
		}
	}
	look(wire.OK) // nothing waits: nobody needs to know the line
	changes = nil
	order := wire.ClipOrder{Clip: id.New[id.Clip](), Camera: cam, Stream: id.Main, StartUs: now - 20*hours, EndUs: now - 19*hours}
	if _, err := l.PutClip(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	look(wire.StateUnknown) // nobody knows the line
	known = true
	look(wire.Failing)
	// 1,800 MB in the four hours until retention comes.
	if text := changes[0].Text; !strings.Contains(text, "in 4 h") || !strings.Contains(text, "1 Mbit/s more") || strings.Contains(text, "small stream") {
		t.Error(text)
	}
	rate = 130_000
	look(wire.OK)
	rate = 100_000
	look(wire.Failing)
	if err := l.DropClip(t.Context(), order.Clip); err != nil {
		t.Fatal(err)
	}
	look(wire.OK)
}
