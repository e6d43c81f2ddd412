package camera

import (
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/testenv/eventually"
	"holdfast/testenv/fakecam"
)

// TestOwnDelay measures cameras that tell the truth, with clocks of their own, and some that contradict themselves.
func TestOwnDelay(t *testing.T) {
	t.Parallel()
	const picture = 40 * time.Millisecond
	begin := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	ticks := func(d time.Duration) uint32 { return 4_294_900_000 + uint32(d*videoClock/time.Second) } // RTP time wraps soon
	for name, c := range map[string]struct {
		inside  time.Duration
		ahead   time.Duration   // the camera's wall clock
		late    []time.Duration // of each report, on its way
		said    func(n int) time.Duration
		want    time.Duration
		unknown bool
	}{
		"no delay":                      {late: make([]time.Duration, 5)},
		"two hundred milliseconds":      {inside: 200 * time.Millisecond, ahead: -time.Hour, late: make([]time.Duration, 5), want: 200 * time.Millisecond},
		"reports that are late":         {inside: 120 * time.Millisecond, late: []time.Duration{0, 30e6, 20e6, 40e6, 45e6}, want: 120 * time.Millisecond},
		"one report":                    {inside: 120 * time.Millisecond, late: make([]time.Duration, 1), unknown: true},
		"RTP time that fits no clock":   {late: make([]time.Duration, 5), said: func(n int) time.Duration { return time.Duration(n) * 80 * time.Millisecond }, unknown: true},
		"reports of another RTP time":   {late: make([]time.Duration, 5), said: func(int) time.Duration { return time.Hour }, unknown: true},
		"pictures from before the past": {inside: time.Minute, late: make([]time.Duration, 5), unknown: true},
	} {
		var o own
		for n := range c.late {
			at := time.Duration(n) * 5 * time.Second
			said := time.Duration(0)
			if c.said != nil {
				said = c.said(n)
			}
			wall := begin.Add(at + c.ahead)
			ntp := uint64(wall.Unix()+since1900)<<32 | uint64(wall.Nanosecond())<<32/1e9
			o.report(ntp, ticks(at+said), begin.Add(at+c.late[n]))
			for i := range 100 {
				taken := at + time.Duration(i)*picture
				o.picture(ticks(taken), begin.Add(taken+c.inside+time.Duration(i%3)*time.Millisecond))
			}
		}
		d, ok := o.delay()
		if ok == c.unknown || ok && (d-c.want).Abs() > 5*time.Millisecond {
			t.Errorf("%s: %v, known %v; want %v", name, d, ok, c.want)
		}
	}
}

// TestACameraThatTakesItsTime has a camera whose pictures are a while inside it, and whose wall clock is wrong besides.
func TestACameraThatTakesItsTime(t *testing.T) {
	t.Parallel()
	const inside = 400 * time.Millisecond
	r := newRig(t, options{ready: func(r *rig) { r.turn(fakecam.Knobs{InsideMs: inside.Milliseconds(), NTPOffsetMs: 3_600_000}) }})
	v := r.watch(id.Main)
	v.frames(1)
	stream := id.Stream{Camera: r.id, Kind: id.Main}
	var d time.Duration
	eventually.True(t, "the camera to tell", func() bool { var ok bool; d, ok = r.room.Own(stream); return ok })
	if off := d - inside; off.Abs() > 100*time.Millisecond {
		t.Errorf("pictures are %v inside the camera, want %v", d, inside)
	}
	if _, ok := r.room.Own(id.Stream{Camera: id.New[id.Camera](), Kind: id.Main}); ok {
		t.Error("a camera that is not there tells")
	}
}
