package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	heavyCameras = 80
	heavyKbit    = 4000
	stallFor     = 5 * time.Second
)

// heavy measures 80 cameras of 4 Mbit/s: what they cost, whether a frame is lost, and what a disk that stands still
// for five seconds does.
func (b *bench) heavy(ctx context.Context) error {
	c, err := b.cameras(ctx, heavyCameras, heavyKbit)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	if err := b.steady(ctx, c); err != nil {
		return err
	}
	return b.stall(ctx, c)
}

func (b *bench) steady(ctx context.Context, c *cameras) (err error) {
	h, err := b.house(ctx, "heavy", c.plan("log: {level: debug}\n"))
	if h != nil {
		defer func() { err = errors.Join(err, h.Close(), os.RemoveAll(h.Dir)) }()
	}
	if err != nil {
		return err
	}
	s, from := h.Sites[0], time.Now()
	u, err := watch(ctx, s.Agent.PID(), b.long)
	if err != nil {
		return err
	}
	rounds, err := flushRounds(s.Agent.Log, from, time.Now())
	if err != nil {
		return err
	}
	sum, err := b.settle(ctx, c, s, filepath.Join(s.Data, "video"))
	if err != nil {
		return err
	}
	say("record_80x4_seconds", b.long.Seconds(), "s")
	say("record_80x4_cpu", u.share()/100, "of a core")
	say("record_80x4_rss", float64(u.peak)/1e6, "MB")
	say("record_80x4_flush_rounds", float64(rounds)/b.long.Seconds(), "rounds/s of the one volume")
	sum.say("record_80x4")
	return nil
}

// say prints what was lost, and what makes that figure suspect.
func (a account) say(name string) {
	say(name+"_lost_frames", a.lost, fmt.Sprintf("frames of %d (%d of them not declared)", a.sent, a.silent))
	if a.late > 0 || a.overflow > 0 {
		say(name+"_cameras_late", a.late, fmt.Sprintf("times (and %d packets that nobody fetched in time)", a.overflow))
	}
}

// stall records on a file system of its own that is frozen for five seconds: every write, every new file and every
// flush waits, as with a disk that does not answer.
func (b *bench) stall(ctx context.Context, c *cameras) (err error) {
	dir := filepath.Join(b.dir, "disk")
	unmount, err := mountLoop(ctx, filepath.Join(b.dir, "disk.img"), dir)
	if err != nil {
		say("record_80x4_stall", "not measured: "+err.Error(), "")
		return nil
	}
	defer func() { err = errors.Join(err, unmount()) }()
	video := filepath.Join(dir, "video")
	h, err := b.house(ctx, "stall", c.plan(fmt.Sprintf("volumes: [{path: %q, free: 100MB}]\n", video)))
	if h != nil {
		defer func() { err = errors.Join(err, h.Close(), os.RemoveAll(h.Dir)) }()
	}
	if err != nil {
		return err
	}
	s := h.Sites[0]
	calm, err := watch(ctx, s.Agent.PID(), 20*time.Second)
	if err != nil {
		return err
	}
	thawed := make(chan error, 1)
	go func() { thawed <- freeze(ctx, dir) }()
	stalled, err := watch(ctx, s.Agent.PID(), stallFor+20*time.Second)
	if err := errors.Join(err, <-thawed); err != nil {
		return err
	}
	sum, err := b.settle(ctx, c, s, video)
	if err != nil {
		return err
	}
	say("record_80x4_stall_memory", float64(stalled.peak-calm.peak)/1e6, fmt.Sprintf("MB more than the %.4g before", float64(calm.peak)/1e6))
	sum.say("record_80x4_stall")
	return nil
}

// mountLoop makes a file system in a file and mounts it; it needs root and loop devices.
func mountLoop(ctx context.Context, image, dir string) (unmount func() error, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a disk that can be frozen needs root")
	}
	for _, command := range [][]string{
		{"truncate", "-s", "12G", image}, {"mkfs.ext4", "-q", "-E", "lazy_itable_init=1", image},
		{"mkdir", "-p", dir}, {"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", command[0], err, out)
		}
	}
	return func() error { return errors.Join(syscall.Unmount(dir, 0), os.Remove(image)) }, nil
}

// freeze keeps a file system from changing for a while.
func freeze(ctx context.Context, dir string) error {
	if out, err := exec.CommandContext(ctx, "fsfreeze", "--freeze", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("fsfreeze: %w: %s", err, out)
	}
	err := pause(ctx, stallFor)
	// Whatever happened, nothing may be left frozen.
	out, thaw := exec.CommandContext(context.WithoutCancel(ctx), "fsfreeze", "--unfreeze", dir).CombinedOutput()
	if thaw != nil {
		thaw = fmt.Errorf("fsfreeze: %w: %s", thaw, out)
	}
	return errors.Join(err, thaw)
}
