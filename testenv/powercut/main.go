// Command powercut proves what a power cut costs: it lets a machine with the real agent lose its power again and again,
// and accounts for every frame that the cameras had sent.
//
//	go run ./testenv/powercut -n 200
//
// It first shows that it would notice: with fsync switched off the same account must fail. Then it cuts while cameras
// are recorded and while the agent starts (ext4 with data=ordered and data=writeback, xfs), inside the very first
// start, while old video is deleted, at every step of an enrolment, and while a ledger of an earlier version with a long
// past is brought to the present one. Then it plays faults of disk and clock: write errors, a read-only file system, a slow
// disk, a swapped one, one without inodes, a clock that leaps. Figures go to standard output as "name: value unit"; the exit
// code is 1 when a promise was broken. It needs user-mode-linux, e2fsprogs, xfsprogs, dmsetup and ffmpeg, and no root. A run
// is repeated, as far as a machine can repeat itself, by its seed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"holdfast/testenv/powercut/uml"
)

func main() {
	var o options
	flag.IntVar(&o.cuts, "n", 200, "how often the power is cut")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of all that is random")
	flag.IntVar(&o.load.Cameras, "cameras", 4, "cameras")
	flag.IntVar(&o.load.Kbit, "kbit", 1000, "kilobits a second of each")
	flag.IntVar(&o.load.FPS, "fps", 4, "frames a second of each, at most 15")
	flag.DurationVar(&o.longest, "longest", 40*time.Second, "longest time between two cuts")
	flag.StringVar(&o.only, "only", "", "nothing but chains of this kind")
	flag.StringVar(&o.scenes, "scenes", "all", "after the cuts play the faults of disk and clock whose names contain this, all, or none")
	flag.BoolVar(&o.keep, "keep", false, "keep the disks even if all went well")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "powercut:", err)
		os.Exit(1)
	}
}

type options struct {
	cuts    int
	seed    uint64
	load    load
	longest time.Duration
	only    string
	scenes  string
	keep    bool
}

func (o options) run(ctx context.Context) (err error) {
	if missing := uml.Missing("mkfs.ext4", "ffmpeg"); missing != "" {
		return errors.New(missing)
	}
	dir, err := os.MkdirTemp("", "holdfast-powercut-*")
	if err != nil {
		return err
	}
	defer func() {
		if err == nil && !o.keep { // what went wrong is there to be looked at
			err = os.RemoveAll(dir)
		}
	}()
	figure("powercut_seed", o.seed, "")
	figure("load_before", machineLoad(), "")
	r, err := newRig(ctx, dir, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if o.cuts > 0 {
		err = o.cutAll(ctx, r)
	}
	if o.only == "" && o.scenes != "none" && ctx.Err() == nil {
		err = errors.Join(err, r.perform(ctx, o))
	}
	figure("load_after", machineLoad(), "")
	return err
}

// cutAll lets the rig prove itself and then cuts.
func (o options) cutAll(ctx context.Context, r *rig) error {
	if o.only == "" {
		caught, err := r.proveItself(ctx, o.load)
		if err != nil {
			return err
		}
		figure("powercut_without_fsync", caught, "broken promises (the rig must see some)")
	}
	s := &series{rig: r, options: o, dice: rand.New(rand.NewPCG(o.seed, 1))}
	err := s.run(ctx)
	s.print()
	return err
}

// proveItself cuts the power of a machine whose fsync does nothing: the account must not come out.
func (r *rig) proveItself(ctx context.Context, l load) (int, error) {
	c := &chain{
		rig: r, name: "without fsync", fs: "ext4", mount: "data=ordered", mbytes: 512, load: l, volume: roomyVolume, nosync: true,
		cuts: []cut{{steady, 6 * time.Second}, {steady, 4 * time.Second}}, dir: filepath.Join(r.dir, "nosync"),
	}
	if err := c.run(ctx); err != nil {
		// An agent that gives up when it starts on what the cut has left is a loss that was seen, too.
		if last := c.boots[len(c.boots)-1]; ctx.Err() == nil && last.number > 0 && last.ended() > 0 {
			r.say("as it must be: the agent does not start again: %s", strings.TrimSpace(uml.Tail(c.console(), 1)))
			return 1, os.RemoveAll(c.dir)
		}
		return 0, err
	}
	a, err := c.audit(ctx)
	if err != nil {
		return 0, err
	}
	caught := len(a.broken) + len(a.holes)
	if caught == 0 {
		return 0, errors.New("the rig did not notice that fsync was off: its account proves nothing")
	}
	for _, text := range append(a.broken, a.holes...)[:min(3, len(a.broken)+len(a.holes))] {
		r.say("as it must be: %s", text)
	}
	return caught, os.RemoveAll(c.dir)
}

// Limits of what may be lost and of how long a start may take.
const (
	tailLimit  = 2 * time.Second
	startLimit = 10 * time.Second
)

// figure prints one figure.
func figure(name string, value any, unit string) {
	text := fmt.Sprint(value)
	if f, ok := value.(float64); ok {
		text = fmt.Sprintf("%.4g", f)
	}
	fmt.Println(strings.TrimSpace(name + ": " + text + " " + unit))
}

// machineLoad is the host's load average over one minute.
func machineLoad() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}

// percentile returns the value below which p of all lie; list is sorted by it.
func percentile(list []time.Duration, p float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(int(p*float64(len(list))), len(list)-1)].Seconds()
}
