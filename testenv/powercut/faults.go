package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/shared/backoff"
	"holdfast/testenv/powercut/uml"
)

// scenes returns all faults, those that are quick first.
func scenes() []scene {
	return []scene{
		{name: "errors of the disk, with a second volume", mbytes: 128, mapped: true, spill: true, perform: (*play).errorsOfDisk},
		{name: "errors of the only disk", mbytes: 128, mapped: true, perform: (*play).errorsOfOnlyDisk},
		{name: "read-only", mbytes: 128, memory: true, perform: (*play).readOnly},
		{name: "slow disk", mbytes: 128, mapped: true, setting: chain{lossless: true}, perform: (*play).slowDisk},
		{name: "unmounted and swapped", mbytes: 128, perform: (*play).swapped},
		{name: "few inodes", mbytes: 96, mkfs: []string{"-b", "4096", "-N", "32"}, setting: chain{deletes: true}, perform: (*play).fewInodes},
		{name: "clock", mbytes: 128, setting: chain{clocks: true, deletes: true}, perform: (*play).clock},
	}
}

// flakey is a map under which every write fails.
func (p *play) flakey() string {
	return fmt.Sprintf("0 %d flakey /dev/ubdb 0 0 3600 1 error_writes", p.sectors())
}

const alarmLimit = 10 * time.Second

// alarmed waits for the alarm of the disk, which must come within its limit.
func (p *play) alarmed(ctx context.Context, since time.Time) error {
	_, err := p.until(ctx, 60*time.Second, "the disk's alarm", func(r report) bool { return r.failing("disk") })
	if err != nil {
		return err
	}
	took, limit := time.Since(since), alarmLimit+p.b.starved(since.UnixMicro(), time.Now().UnixMicro())
	p.rig.say("%s: the alarm came after %.1f s", p.scene.name, took.Seconds())
	if took > limit {
		return fmt.Errorf("the alarm came after %v, allowed are %v", took, limit)
	}
	return nil
}

// errorsOfDisk: every write to the first volume fails; video goes on to the second one.
func (p *play) errorsOfDisk(ctx context.Context) error {
	since := time.Now()
	if err := p.remap(ctx, p.flakey()); err != nil {
		return err
	}
	if err := p.alarmed(ctx, since); err != nil {
		return err
	}
	took, err := p.until(ctx, 60*time.Second, "all cameras on the second volume", func(r report) bool { return r.recording() == p.load.Cameras })
	if err != nil {
		return err
	}
	p.rig.say("%s: all cameras recorded again %.1f s later", p.scene.name, took.Seconds())
	if err := backoff.Sleep(ctx, 5*time.Second); err != nil {
		return err
	}
	return p.afresh(ctx)
}

// errorsOfOnlyDisk: the same without another volume: a declared gap, and the agent lives on.
func (p *play) errorsOfOnlyDisk(ctx context.Context) error {
	since := time.Now()
	if err := p.remap(ctx, p.flakey()); err != nil {
		return err
	}
	if err := p.alarmed(ctx, since); err != nil {
		return err
	}
	if _, err := p.until(ctx, 60*time.Second, "no camera is said to be recorded", func(r report) bool { return r.recording() == 0 }); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, 5*time.Second); err != nil {
		return err
	}
	return p.afresh(ctx)
}

// afresh heals the disk and mounts it anew, for which the agent has to let go of it: the file system has given itself
// up. The agent then starts again and takes everything in.
func (p *play) afresh(ctx context.Context) error {
	if err := p.stopAgent(ctx); err != nil {
		return err
	}
	if err := p.remap(ctx, p.linear()); err != nil {
		return err
	}
	if err := p.m.Call(ctx, "unmount", uml.Disk2, nil); err != nil {
		return err
	}
	if err := p.mountVideo(ctx); err != nil {
		return err
	}
	var at int64
	if err := p.startAgent(ctx, &at); err != nil {
		return err
	}
	return p.recording(ctx, 3*time.Minute)
}

func (p *play) stopAgent(ctx context.Context) error {
	code := 0
	if err := p.m.Call(ctx, "stop", uml.Stop{Name: "agent", Signal: 15}, &code); err != nil {
		return err
	}
	p.b.mu.Lock()
	p.b.early = nil
	p.b.mu.Unlock()
	if code != 0 {
		return fmt.Errorf("the agent ended with %d", code)
	}
	return nil
}

// readOnly: the file system is made read-only under the agent, and writable again.
func (p *play) readOnly(ctx context.Context) error {
	since := time.Now()
	if err := p.sysrq(ctx, "u"); err != nil {
		return err
	}
	if err := p.alarmed(ctx, since); err != nil {
		return err
	}
	before, err := p.memoryOf(ctx)
	if err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, 15*time.Second); err != nil {
		return err
	}
	after, err := p.memoryOf(ctx)
	if err != nil {
		return err
	}
	p.rig.say("%s: memory %d MB, 15 s later %d MB", p.scene.name, before>>10, after>>10)
	if after > before+40<<10 {
		return fmt.Errorf("memory grew from %d to %d kB while the disk was read-only", before, after)
	}
	if _, err := p.command(ctx, "mount", "-o", "remount,rw", uml.Disk2); err != nil {
		return err
	}
	took, err := p.until(ctx, 60*time.Second, "all cameras again, without a restart", func(r report) bool { return r.recording() == p.load.Cameras && !r.failing("disk") })
	if err != nil {
		return err
	}
	p.rig.say("%s: all well again after %.1f s", p.scene.name, took.Seconds())
	return nil
}

func (p *play) sysrq(ctx context.Context, key string) error {
	_, err := p.command(ctx, "sh", "-c", "echo "+key+" > /proc/sysrq-trigger")
	return err
}

// memoryOf returns the agent's resident memory in kB.
func (p *play) memoryOf(ctx context.Context) (int, error) {
	out, err := p.command(ctx, "sh", "-c", "grep -h VmRSS $(grep -l holdfast-agent /proc/[0-9]*/comm | sed s/comm/status/ | head -1)")
	if err != nil {
		return 0, err
	}
	kb := 0
	_, err = fmt.Sscanf(out, "VmRSS: %d kB", &kb)
	return kb, err
}

// slowDisk: every write takes 20 ms, then the disk stands still for five seconds. No frame is lost.
func (p *play) slowDisk(ctx context.Context) error {
	if err := p.remap(ctx, fmt.Sprintf("0 %d delay /dev/ubdb 0 0 /dev/ubdb 0 20", p.sectors())); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, 15*time.Second); err != nil {
		return err
	}
	if _, err := p.command(ctx, "dmsetup", "suspend", "--noflush", "--nolockfs", "video"); err != nil {
		return err
	}
	err := backoff.Sleep(ctx, 5*time.Second)
	_, resumed := p.command(ctx, "dmsetup", "resume", "--noudevsync", "--noudevrules", "video")
	if err := errors.Join(err, resumed); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, 5*time.Second); err != nil {
		return err
	}
	r, err := p.window(ctx)
	if err == nil && r.recording() != p.load.Cameras {
		err = fmt.Errorf("%d of %d cameras are recorded after the disk stood still", r.recording(), p.load.Cameras)
	}
	return err
}

// swapped: the disk is unmounted under the agent, another one comes in its place, and the right one comes back.
func (p *play) swapped(ctx context.Context) error {
	since := time.Now()
	if _, err := p.command(ctx, "umount", "-l", uml.Disk2); err != nil {
		return err
	}
	if err := p.alarmed(ctx, since); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := p.untouched(ctx); err != nil {
		return fmt.Errorf("the bare mount point: %w", err)
	}
	// Another disk, fresh from the factory.
	if err := p.m.Call(ctx, "mount", uml.Mount{Device: "none", At: uml.Disk2, Type: "tmpfs"}, nil); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, 8*time.Second); err != nil {
		return err
	}
	if err := p.untouched(ctx); err != nil {
		return fmt.Errorf("another disk: %w", err)
	}
	r, err := p.window(ctx)
	if err == nil && (!r.failing("disk") || r.recording() > 0) {
		err = fmt.Errorf("with another disk in its place: %+v", r)
	}
	if err != nil {
		return err
	}
	if err := p.m.Call(ctx, "unmount", uml.Disk2, nil); err != nil {
		return err
	}
	if err := p.mountVideo(ctx); err != nil {
		return err
	}
	took, err := p.until(ctx, 60*time.Second, "all cameras again, without a restart", func(r report) bool { return r.recording() == p.load.Cameras && !r.failing("disk") })
	if err != nil {
		return err
	}
	p.rig.say("%s: all well %.1f s after the disk was back", p.scene.name, took.Seconds())
	return nil
}

// untouched says whether nothing was written where the volume should be.
func (p *play) untouched(ctx context.Context) error {
	out, err := p.command(ctx, "ls", "-A", uml.Disk2)
	if err == nil && out != "" {
		err = fmt.Errorf("the agent has written there: %s", out)
	}
	return err
}

// fewInodes: the disk has room for more bytes, but not for more files. Old video must make room for new.
func (p *play) fewInodes(ctx context.Context) error {
	for range 8 {
		if err := p.stopAgent(ctx); err != nil {
			return err
		}
		var at int64
		if err := p.startAgent(ctx, &at); err != nil {
			return err
		}
		if err := p.recording(ctx, 3*time.Minute); err != nil {
			return fmt.Errorf("with few inodes: %w", err)
		}
		if err := backoff.Sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// clock sets the clock an hour ahead and back, to 1970 and to 2038, and right again.
func (p *play) clock(ctx context.Context) error {
	real := func() int64 { return time.Now().UnixMicro() }
	for _, us := range []int64{
		real() + time.Hour.Microseconds(), real() - time.Hour.Microseconds(), 3600e6,
		time.Date(2038, 1, 19, 3, 14, 0, 0, time.UTC).UnixMicro(), real(),
	} {
		if err := p.m.Call(ctx, "settime", us, nil); err != nil {
			return err
		}
		if err := backoff.Sleep(ctx, 13*time.Second); err != nil {
			return err
		}
		r, err := p.window(ctx)
		if err != nil {
			return err
		}
		if r.recording() != p.load.Cameras {
			return fmt.Errorf("%d of %d cameras are recorded after the clock was set to %s", r.recording(), p.load.Cameras, time.UnixMicro(us).UTC())
		}
	}
	return nil
}
