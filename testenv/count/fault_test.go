package count

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/testenv/house"
)

var (
	kills  = flag.Int("kills", 4, "how often TestTroubleOnTheRealProgram kills the agent")
	freeze = flag.Duration("freeze", 8*time.Second, "how long TestTroubleOnTheRealProgram stops the agent's process")
)

// TestTroubleOnTheRealProgram gives one site with two cameras one trouble after another, by the system itself: flushes and
// writes that fail, a slow disk, kills, a process that stands still. At the end every frame that was sent is on disk or
// in a declared gap, and the check down to the last byte finds nothing.
func TestTroubleOnTheRealProgram(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is missing: testenv/scripts/setup.sh installs it")
	}
	h := house.New(t, house.Setup{Cameras: 2})
	s := h.Sites[0]
	d := &disturbed{t: t, site: s}
	d.recording("at first")

	for _, n := range []int{1, 2} {
		d.flushFails(n)
	}
	d.writesFail()
	d.slowDisk()
	d.killed(*kills)
	d.frozen(*freeze)

	end := time.Now().UnixMicro()
	if err := s.Agent.Stop(25 * time.Second); err != nil {
		t.Fatal(err)
	}
	books, sent := read(t, s), logs(s)
	account(t, s, books, sent, end)
	if out, err := s.Run(t.Context(), "check", "--level", "full"); err != nil {
		t.Errorf("holdfast-agent check: %v\n%s", err, out)
	}
	if err := s.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkCloud(t, h, books, end)
}

// disturbed is a site under trouble.
type disturbed struct {
	t    *testing.T
	site *house.Site
}

// open returns the segment files that the agent has open for writing.
func (d *disturbed) open() (paths []string) {
	dir := fmt.Sprintf("/proc/%d/fd", d.site.Agent.PID())
	fds, err := os.ReadDir(dir)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, fd := range fds {
		if path, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && strings.HasSuffix(path, ".mp4") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// recording waits until both cameras grow a file that is not among those given.
func (d *disturbed) recording(when string, except ...string) {
	d.t.Helper()
	err := house.Until(d.t.Context(), 60*time.Second, "both cameras record "+when, func(context.Context) (bool, error) {
		n := 0
		for _, path := range d.open() {
			if info, err := os.Stat(path); err == nil && info.Size() > 20_000 && !slices.Contains(except, path) {
				n++
			}
		}
		return n >= 2, d.site.Agent.Alive()
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// strace follows the agent with these arguments until ok says of what it has printed that it is enough.
func (d *disturbed) strace(what string, ok func(log string) bool, args ...string) (log string) {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), "strace.log")
	args = append([]string{"-f", "-y", "-qq", "-o", path, "-p", strconv.Itoa(d.site.Agent.PID())}, args...)
	cmd := exec.CommandContext(d.t.Context(), "strace", args...)
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	err := house.Until(d.t.Context(), 60*time.Second, what, func(context.Context) (bool, error) {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		log = string(text)
		return ok(log), errors.Join(err, d.site.Agent.Alive())
	})
	if err != nil {
		d.t.Errorf("%v\n%s", err, log)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		d.t.Error(err)
	}
	_ = cmd.Wait() // it ends by the signal
	return log
}

// paths are strace's arguments for these files alone.
func paths(files []string) (args []string) {
	for _, f := range files {
		args = append(args, "-P", f)
	}
	return args
}

// flushFails fails the n-th flush of a thread on the files that are open. A file whose flush has failed is not flushed
// again by the descriptor that failed, and recording goes on in other files.
func (d *disturbed) flushFails(n int) {
	d.t.Helper()
	before := d.open()
	log := d.strace("a flush fails and its file is given up", func(log string) bool {
		return strings.Contains(log, "(INJECTED)") && strings.Count(log, "close(") > 0
	}, append(paths(before), "-e", "trace=fdatasync,close", "-e", fmt.Sprintf("inject=fdatasync:error=EIO:when=%d", n))...)
	d.neverAgain(log)
	var failed []string
	for _, path := range before {
		if strings.Contains(log, path) {
			failed = append(failed, path)
		}
	}
	d.recording("after a flush that failed", failed...)
}

// neverAgain looks in what strace printed for a flush of a file, by the same descriptor, after one that failed. A call
// may be printed in two lines, with others in between.
func (d *disturbed) neverAgain(log string) {
	d.t.Helper()
	bad := map[string]bool{} // by descriptor and path, until it is closed
	begun := map[string]string{}
	for line := range strings.Lines(log) {
		thread, call, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, file, _ := strings.Cut(strings.TrimSpace(call), "(")
		if first, unfinished := strings.CutSuffix(file, " <unfinished ...>"); unfinished {
			begun[thread] = first
			file = first
		} else if strings.HasPrefix(strings.TrimSpace(call), "<... ") { // resumed
			if strings.Contains(line, "(INJECTED)") {
				bad[begun[thread]] = true
			}
			continue
		}
		file, _, _ = strings.Cut(file, ")")
		switch {
		case name == "close":
			delete(bad, file)
		case bad[file]:
			d.t.Errorf("a file was flushed again after its flush had failed: %s", line)
		case strings.Contains(line, "(INJECTED)"):
			bad[file] = true
		}
	}
}

// writesFail lets no write to the open files succeed any more, as a broken disk does.
func (d *disturbed) writesFail() {
	d.t.Helper()
	before := d.open()
	d.strace("the files that can't be written are given up", func(string) bool {
		return !slices.ContainsFunc(d.open(), func(path string) bool { return slices.Contains(before, path) })
	}, append(paths(before), "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EIO:when=1+")...)
	d.recording("after files that could not be written", before...)
}

// slowDisk lets every flush take 200 ms longer, for ten seconds: nothing is lost by that.
func (d *disturbed) slowDisk() {
	d.t.Helper()
	from := time.Now()
	d.strace("ten seconds with slow flushes pass", func(string) bool { return time.Since(from) > 10*time.Second },
		"-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=200000")
	for _, c := range d.site.Cameras.Cameras() {
		if lost := c.Main().Counters().Overflow; lost > 0 {
			d.t.Errorf("%s: %d packets were not read in time", c.Name(), lost)
		}
	}
}

// killed kills the agent again and again, in the middle of whatever it does, and has it record again.
func (d *disturbed) killed(times int) {
	d.t.Helper()
	var took []time.Duration
	for range times {
		before := d.open()
		if err := d.site.Agent.Kill(); err != nil {
			d.t.Fatal(err)
		}
		began := time.Now()
		if err := d.site.StartAgent(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
		d.recording("after a kill", before...)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	p95 := took[min(len(took)-1, len(took)*95/100)]
	d.t.Logf("kill_to_recording_p95: %.2f s, of %d kills", p95.Seconds(), times)
	if times >= 20 && p95 > 5*time.Second { // the long form has the machine for itself
		d.t.Errorf("recording again took %v after a kill", p95)
	}
}

// frozen stops the process, as a host that sleeps does.
func (d *disturbed) frozen(long time.Duration) {
	d.t.Helper()
	before := d.site.Agent.PID()
	if err := syscall.Kill(before, syscall.SIGSTOP); err != nil {
		d.t.Fatal(err)
	}
	wake := time.NewTimer(long)
	defer wake.Stop()
	select {
	case <-wake.C:
	case <-d.t.Context().Done():
	}
	if err := syscall.Kill(before, syscall.SIGCONT); err != nil {
		d.t.Fatal(err)
	}
	back := time.Now()
	err := house.Until(d.t.Context(), 60*time.Second, "the open files grow again", func(context.Context) (bool, error) {
		n := 0
		for _, path := range d.open() {
			if info, err := os.Stat(path); err == nil && info.ModTime().After(back.Add(2*time.Second)) {
				n++
			}
		}
		return n >= 2, d.site.Agent.Alive()
	})
	if err != nil {
		d.t.Error(err)
	}
	if err := d.site.Recording(d.t.Context(), 2, 90*time.Second); err != nil {
		d.t.Error(err)
	}
}
