package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/testenv/powercut/uml"
)

// series is many cuts of many kinds, and what came of them.
type series struct {
	*rig
	options
	dice *rand.Rand

	sum    audit
	faults []string
	spent  time.Duration
	chains int
}

// kind is a kind of chain.
type kind struct {
	name  string
	share int // of a hundred cuts
	run   func(s *series, ctx context.Context, cuts int) error
}

func kinds() []kind {
	return []kind{
		{"ordered", 28, func(s *series, ctx context.Context, n int) error { return s.steady(ctx, "ext4", "data=ordered", n) }},
		{"writeback", 27, func(s *series, ctx context.Context, n int) error { return s.steady(ctx, "ext4", "data=writeback", n) }},
		{"xfs", 10, func(s *series, ctx context.Context, n int) error { return s.steady(ctx, "xfs", "", n) }},
		{"first", 10, (*series).first},
		{"delete", 10, (*series).delete},
		{"enrol", 10, (*series).enrol},
		{"migrate", 5, (*series).migrate},
	}
}

// perChain is how many cuts one disk has to bear.
const perChain = 10

// run cuts until all cuts are done.
func (s *series) run(ctx context.Context) error {
	if s.only != "" && !slices.ContainsFunc(kinds(), func(k kind) bool { return k.name == s.only }) {
		var known []string
		for _, k := range kinds() {
			known = append(known, k.name)
		}
		return fmt.Errorf("there are no chains of the kind %q: want %s", s.only, strings.Join(known, ", "))
	}
	begun := time.Now()
	defer func() { s.spent = time.Since(begun) }()
	for _, k := range kinds() {
		if s.only != "" && s.only != k.name {
			continue
		}
		left := (s.cuts*k.share + 50) / 100
		if s.only != "" {
			left = s.cuts
		}
		for left > 0 {
			n := min(left, perChain)
			left -= n
			if err := k.run(s, ctx, n); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	if len(s.faults) > 0 {
		return fmt.Errorf("%d promises were broken", len(s.faults))
	}
	return nil
}

// fault notes what must not be.
func (s *series) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.faults = append(s.faults, text)
	s.say("BROKEN: %s", text)
}

// bear runs a chain and takes its account into the sum.
func (s *series) bear(ctx context.Context, c *chain) error {
	s.chains++
	c.rig, c.load = s.rig, s.load
	c.dir = filepath.Join(s.dir(), fmt.Sprintf("chain-%d", s.chains))
	begun := time.Now()
	if err := c.run(ctx); err != nil {
		if ctx.Err() != nil {
			return err
		}
		s.sum.cuts += len(c.boots) - 1
		s.fault("%v (its disk stays in %s)", err, c.dir)
		return nil
	}
	a, err := c.audit(ctx)
	if err != nil {
		return err
	}
	s.sum.add(a)
	for _, text := range append(a.holes, a.broken...) {
		s.fault("%s", text)
	}
	s.say("%s: %d cuts in %v; %d frames, %d on disk, %d in declared gaps; worst tail %.2f s, longest start %.1f s, starved %.2f s", c.name, a.cuts,
		time.Since(begun).Round(time.Second), a.frames, a.kept, a.inGaps, percentile(a.tails, 1), percentile(a.starts, 1), a.starved.Seconds())
	if s.keep || len(a.holes)+len(a.broken) > 0 {
		s.say("its disk stays in %s", c.dir)
		return nil
	}
	return os.RemoveAll(c.dir)
}

func (s *series) dir() string { return s.rig.dir }

// steady cuts while cameras are recorded; every fourth time while the agent starts. Some cuts come late enough for
// segments to end and others to begin.
func (s *series) steady(ctx context.Context, fs, mount string, n int) error {
	name := fs
	if mount != "" {
		name += " " + mount
	}
	c := &chain{name: name, fs: fs, mount: mount, mbytes: 1024, volume: roomyVolume}
	if fs == "xfs" {
		if missing := uml.Missing("mkfs.xfs"); missing != "" {
			s.say("xfs is left out: %s", missing)
			return nil
		}
	}
	const long = 12 * time.Second
	for i := range n {
		switch {
		case i%4 == 3:
			c.cuts = append(c.cuts, cut{starting, s.within(0, 5*time.Second)})
		case i%4 == 1 && s.longest > long:
			c.cuts = append(c.cuts, cut{steady, s.within(long, s.longest)})
		default:
			c.cuts = append(c.cuts, cut{steady, s.within(500*time.Millisecond, min(s.longest, 6*time.Second))})
		}
	}
	return s.bear(ctx, c)
}

// within draws a time between from and to.
func (s *series) within(from, to time.Duration) time.Duration {
	return from + time.Duration(s.dice.Int64N(int64(max(to-from, 1))))
}

// first cuts inside the first start of all, on a new disk each time: volume, ledger and identities are being made.
func (s *series) first(ctx context.Context, n int) error {
	for range n {
		c := &chain{name: "first start", fs: "ext4", mount: "data=ordered", mbytes: 256, volume: roomyVolume, cuts: []cut{{starting, s.within(0, 4*time.Second)}}}
		if err := s.bear(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// delete cuts while old video has to make room all the time: at a start the sweep of what the last run left, and the
// next sweep ten seconds later.
func (s *series) delete(ctx context.Context, n int) error {
	bytes := s.load.Cameras * s.load.Kbit * 125 * 12 // twelve seconds of video
	c := &chain{
		name: "deletion", fs: "ext4", mount: "data=ordered", mbytes: 256, deletes: true,
		volume: fmt.Sprintf("[{path: %s/video, free: 20MB, max: %d}]", uml.Disk, bytes),
	}
	for i := range n {
		if i%2 == 0 {
			c.cuts = append(c.cuts, cut{steady, s.within(8*time.Second, 14*time.Second)})
		} else {
			c.cuts = append(c.cuts, cut{starting, s.within(0, 6*time.Second)})
		}
	}
	return s.bear(ctx, c)
}

// enrol cuts at each step of an enrolment in turn.
func (s *series) enrol(ctx context.Context, n int) error {
	for i := range n {
		s.chains++
		at := steps()[(s.sum.enrolments+i)%len(steps())]
		e := &enrolment{rig: s.rig, name: fmt.Sprintf("enrolment %d", s.chains), step: at, dir: filepath.Join(s.dir(), fmt.Sprintf("chain-%d", s.chains))}
		switch at {
		case begun:
			e.wait = s.within(0, 2*time.Second)
		case offered, answered:
			e.wait = s.within(0, 400*time.Millisecond)
		}
		err := e.run(ctx)
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		s.sum.cuts++
		if err != nil {
			s.fault("%s: %v (its disk stays in %s)", e.name, err, e.dir)
			continue
		}
		s.say("enrolment: cut %v after %s", e.wait.Round(time.Millisecond), at)
		if err := os.RemoveAll(e.dir); err != nil {
			return err
		}
	}
	s.sum.enrolments += n
	return nil
}

// print prints the figures.
func (s *series) print() {
	a := &s.sum
	worst := percentile(a.tails, 1)
	longest := percentile(a.starts, 1)
	figure("powercut_cuts", a.cuts, "")
	figure("powercut_undeclared_gaps", len(a.holes), "")
	figure("powercut_broken_promises", len(s.faults)-len(a.holes), "")
	figure("powercut_worst_tail", worst, "s")
	figure("powercut_tail_p95", percentile(a.tails, 0.95), "s")
	figure("powercut_tail_p50", percentile(a.tails, 0.5), "s")
	figure("powercut_tail_samples", len(a.tails), "")
	figure("powercut_starved_max", a.starved.Seconds(), "s that the host kept from a machine in the 4 s before a cut; its tail may be longer by that")
	figure("powercut_start_max", longest, "s")
	figure("powercut_start_p50", percentile(a.starts, 0.5), "s")
	figure("powercut_frames", a.frames, "")
	figure("powercut_files_decoded", a.segments, "")
	figure("powercut_cuts_per_hour", float64(a.cuts)/max(s.spent.Hours(), 1e-9), "")
}
