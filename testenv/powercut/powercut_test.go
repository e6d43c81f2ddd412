package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/testenv/powercut/uml"
)

// TestShort is the short form of make powercut: the rig shows that it would notice, then the power is cut five times
// (while cameras are recorded, while the agent starts, in the first start of all, in an enrolment).
func TestShort(t *testing.T) {
	if missing := uml.Missing("mkfs.ext4", "ffmpeg"); missing != "" {
		t.Skip(missing)
	}
	r, err := newRig(t.Context(), t.TempDir(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	o := options{cuts: 5, seed: uint64(time.Now().UnixNano()), load: load{Cameras: 3, Kbit: 1000, FPS: 4}, longest: 5 * time.Second}
	t.Logf("seed %d, load %s", o.seed, machineLoad())
	t.Run("without fsync it fails", func(t *testing.T) {
		caught, err := r.proveItself(t.Context(), o.load)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d promises were broken, and seen", caught)
	})
	t.Run("five cuts", func(t *testing.T) { fiveCuts(t, r, o) })
}

func fiveCuts(t *testing.T, r *rig, o options) {
	s := &series{rig: r, options: o, dice: rand.New(rand.NewPCG(o.seed, 1))}
	mixed := &chain{name: "ext4 data=writeback", fs: "ext4", mount: "data=writeback", mbytes: 512, volume: roomyVolume, cuts: []cut{
		{steady, s.within(time.Second, 5*time.Second)}, {starting, s.within(0, 4*time.Second)}, {steady, s.within(time.Second, 5*time.Second)},
	}}
	if err := s.bear(t.Context(), mixed); err != nil {
		t.Fatal(err)
	}
	if err := s.first(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s.sum.enrolments = s.dice.IntN(len(steps()))
	if err := s.enrol(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, text := range s.faults {
		t.Error(text)
	}
	if s.sum.cuts != 5 || s.sum.kept == 0 || s.sum.segments == 0 {
		t.Errorf("%d cuts, %d frames kept, %d files decoded", s.sum.cuts, s.sum.kept, s.sum.segments)
	}
	t.Logf("worst tail %.2f s, longest start %.1f s", percentile(s.sum.tails, 1), percentile(s.sum.starts, 1))
}
