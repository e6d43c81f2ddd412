package fleet

import (
	"testing"
	"time"

	"holdfast/cloud/store"
	"holdfast/shared/wire"
)

func TestWords(t *testing.T) {
	zone := time.FixedZone("X", 3600)
	now := time.Date(2026, 11, 23, 0, 30, 0, 0, zone)
	for _, c := range [][2]string{
		{moment(now.Add(-10*time.Minute).UnixMicro(), now, zone), "00:20"},
		{moment(now.Add(-40*time.Minute).UnixMicro(), now, zone), "22 Nov 23:50"},
		{moment(now.AddDate(-1, 0, 0).UnixMicro(), now, zone), "23 Nov 2025 00:30"},
		{period(1_000_000), "1 second"},
		{period(59_400_000), "59 seconds"},
		{period(48 * 60e6), "48 minutes"},
		{period(3600e6), "1 hour"},
		{period(3661e6 + 60e6), "1 hour 2 minutes"},
		{period(26 * 3600e6), "1 day 2 hours"},
		{period(-5), "0 seconds"},
		{size(999), "999 bytes"},
		{size(40e6), "40.0 MB"},
		{size(1.234e12), "1.2 TB"},
		{size(999e9), "999 GB"},
		{count(1, "camera") + ", " + count(0, "clip"), "1 camera, 0 clips"},
		{list([]string{"a"}, 3), "a"},
		{list([]string{"a", "b"}, 3), "a and b"},
		{list([]string{"a", "b", "c", "d", "e"}, 3), "a, b, c and 2 more"},
	} {
		if c[0] != c[1] {
			t.Errorf("%q, want %q", c[0], c[1])
		}
	}
	for _, r := range wire.Reasons() {
		what, todo := fault(r)
		if (what == "") != (todo == "") {
			t.Errorf("%s: says %q and what to do %q", r, what, todo)
		}
	}
}

// TestHold: after the cloud itself stood still nobody is judged.
func TestHold(t *testing.T) {
	f := New(Config{}, &store.DB{}, Deps{})
	now := time.Now()
	f.loaded, f.judge = true, now.Add(-time.Hour)
	if !f.judging(now) {
		t.Fatal("not judging long after the start")
	}
	f.hold(now)
	if f.judging(now.Add(149*time.Second)) || !f.judging(now.Add(150*time.Second)) {
		t.Fatal("the grace after a standstill is not 150 s")
	}
}

func TestDid(t *testing.T) {
	const s, seen = int64(1_000_000), int64(1000_000_000)
	was := about{BootID: "a", Run: 1, StartedUs: 500 * s}
	for name, c := range map[string]struct {
		was, is about
		same    bool
		want    string
	}{
		"first":            {about{}, was, true, ""},
		"same run":         {was, about{BootID: "a", Run: 1, StartedUs: 501 * s}, true, Up},
		"clock step":       {was, about{BootID: "a", Run: 2, StartedUs: 500 * s}, true, Up},
		"machine slept":    {was, about{BootID: "a", Run: 1, StartedUs: 1300 * s}, true, Up},
		"restarted":        {was, about{BootID: "a", Run: 2, StartedUs: 1300 * s}, true, Restarted},
		"rebooted":         {was, about{BootID: "b", Run: 2, StartedUs: 1300 * s}, true, Rebooted},
		"another identity": {was, about{BootID: "a", Run: 1, StartedUs: 500 * s}, false, Restarted},
	} {
		if got := did(c.was, c.is, c.same, seen); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
