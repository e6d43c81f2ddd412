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

	"holdfast/shared/backoff"
	"holdfast/testenv/house"
)

const (
	heavyCameras = 80
	heavyKbit    = 4000
	stallFor     = 5 * time.Second
)

// heavy measures 80 cameras of 4 Mbit/s: what they cost, whether a frame is lost, and what a disk that stands still
// for five seconds does. As root it records on a file system of its own in a file of the folder for temporary files,
// and freezes that: every write, every new file and every flush waits, as with a disk that does not answer.
func (b *bench) heavy(ctx context.Context) (err error) {
	c, err := b.cameras(ctx, heavyCameras, heavyKbit)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	dir := filepath.Join(b.dir, "disk")
	unmount, unable := mountLoop(ctx, filepath.Join(b.dir, "disk.img"), dir)
	if unable == nil {
		defer func() { err = errors.Join(err, unmount()) }()
	}
	video := filepath.Join(dir, "video")
	h, err := b.house(ctx, "heavy", c.plan(fmt.Sprintf("log: {level: debug}\nvolumes: [{path: %q, free: 100MB}]\n", video)))
	if h != nil {
		defer func() { err = errors.Join(err, h.Close(), os.RemoveAll(h.Dir)) }()
	}
	if err != nil {
		return err
	}
	return b.load(ctx, c, h.Sites[0], video, unable)
}

// load measures while the cameras are recorded. unable says why the disk can't be made to stand still, if it can't.
func (b *bench) load(ctx context.Context, c *cameras, s *house.Site, video string, unable error) error {
	late, overflow, err := c.trouble(ctx)
	if err != nil {
		return err
	}
	from := time.Now()
	steady, err := watch(ctx, s.Agent.PID(), b.long)
	if err != nil {
		return err
	}
	ends := []int64{time.Now().UnixMicro()}
	rounds, err := flushRounds(s.Agent.Log, from, time.Now())
	if err != nil {
		return err
	}
	var stalled usage
	if unable == nil {
		thawed := make(chan error, 1)
		go func() { thawed <- freeze(ctx, filepath.Dir(video)) }()
		stalled, err = watch(ctx, s.Agent.PID(), stallFor+20*time.Second)
		if err := errors.Join(err, <-thawed); err != nil {
			return err
		}
		ends = append(ends, time.Now().UnixMicro())
	}
	if err := errors.Join(backoff.Sleep(ctx, onTheWay), s.Agent.Stop(25*time.Second)); err != nil {
		return err
	}
	sums, err := c.account(ctx, s, video, ends...)
	if err != nil {
		return err
	}
	say("record_80x4_seconds", b.long.Seconds(), "s")
	say("record_80x4_cpu", steady.share()/100, "of a core")
	say("record_80x4_rss", float64(steady.peak)/1e6, "MB")
	say("record_80x4_flush_rounds", float64(rounds)/b.long.Seconds(), "rounds/s of the one volume")
	sums[0].say("record_80x4")
	if unable != nil {
		say("record_80x4_stall", "not measured: "+unable.Error(), "")
	} else {
		say("record_80x4_stall_memory", float64(stalled.peak-steady.peak)/1e6, "MB more")
		sums[1].say("record_80x4_stall")
	}
	lateNow, overflowNow, err := c.trouble(ctx)
	say("cameras_late", lateNow-late, fmt.Sprintf("times that the cameras were too slow themselves (and %d packets that nobody fetched)", overflowNow-overflow))
	return err
}

// mountLoop makes a file system in a file and mounts it; it needs root and loop devices.
func mountLoop(ctx context.Context, image, dir string) (unmount func() error, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a disk that can be frozen needs root")
	}
	for _, command := range [][]string{
		{"truncate", "-s", "40G", image},
		{"mkfs.ext4", "-q", "-E", "lazy_itable_init=1", image},
		{"mkdir", "-p", dir},
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", command[0], err, out)
		}
	}
	return func() error { return errors.Join(syscall.Unmount(dir, 0), os.Remove(image)) }, nil
}

// freeze keeps a file system from changing for a while, which begins when the freezing does: writers wait from then on,
// while the system still writes out what it has.
func freeze(ctx context.Context, dir string) error {
	begun := time.Now()
	if out, err := exec.CommandContext(ctx, "fsfreeze", "--freeze", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("fsfreeze: %w: %s", err, out)
	}
	err := backoff.Sleep(ctx, time.Until(begun.Add(stallFor)))
	// Whatever happened, nothing may be left frozen.
	out, thaw := exec.CommandContext(context.WithoutCancel(ctx), "fsfreeze", "--unfreeze", dir).CombinedOutput()
	if thaw != nil {
		thaw = fmt.Errorf("fsfreeze: %w: %s", thaw, out)
	}
	say("record_80x4_stall_seconds", time.Since(begun).Seconds(), "s")
	return errors.Join(err, thaw)
}
