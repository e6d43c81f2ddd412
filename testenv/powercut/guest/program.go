package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"holdfast/testenv/powercut/uml"
)

// program is a program that goes on.
type program struct {
	cmd  *exec.Cmd
	done chan struct{}
	code int
}

func (g *guest) start(a uml.Start) error {
	argv := a.Argv
	if a.NoSync {
		argv = append([]string{"/proc/1/exe", "nosync"}, argv...)
	}
	p := &program{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = os.Stderr, os.Stderr
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", a.Name, err)
	}
	g.mu.Lock()
	g.programs[a.Name] = p
	g.mu.Unlock()
	go func() {
		err := p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
		g.sayJSON(uml.LineEnded, uml.Ended{Name: a.Name, Code: p.code, AtUs: time.Now().UnixMicro()})
		fmt.Fprintln(os.Stderr, "guest:", a.Name, "ended:", err)
	}()
	return nil
}

// stop signals a program and returns its exit code.
func (g *guest) stop(a uml.Stop) (int, error) {
	g.mu.Lock()
	p := g.programs[a.Name]
	g.mu.Unlock()
	if p == nil {
		return 0, fmt.Errorf("stop %s: it was not started", a.Name)
	}
	if err := p.cmd.Process.Signal(syscall.Signal(a.Signal)); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, fmt.Errorf("stop %s: %w", a.Name, err)
	}
	select {
	case <-p.done:
		return p.code, nil
	case <-time.After(60 * time.Second):
		return 0, fmt.Errorf("stop %s: it does not end", a.Name)
	}
}

func execute(a uml.Exec) (uml.Exited, error) {
	cmd := exec.Command(a.Argv[0], a.Argv[1:]...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return uml.Exited{}, fmt.Errorf("run %s: %w", a.Argv[0], err)
	}
	return uml.Exited{Code: cmd.ProcessState.ExitCode(), Out: string(out)}, nil
}

// runWithoutSync becomes a program for which the kernel answers fsync, fdatasync, sync_file_range and msync with "done"
// without doing it: what a build without fsync is, whatever the build.
func runWithoutSync(argv []string) error {
	runtime.LockOSThread()
	const (
		load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jump = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret  = unix.BPF_RET | unix.BPF_K
	)
	filter := []unix.SockFilter{
		{Code: load, K: 0}, // seccomp_data.nr
		{Code: jump, K: unix.SYS_FSYNC, Jt: 4},
		{Code: jump, K: unix.SYS_FDATASYNC, Jt: 3},
		{Code: jump, K: unix.SYS_SYNC_FILE_RANGE, Jt: 2},
		{Code: jump, K: unix.SYS_MSYNC, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		{Code: ret, K: unix.SECCOMP_RET_ERRNO}, // errno 0: success
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return fmt.Errorf("set filter: %w", err)
	}
	return syscall.Exec(argv[0], argv, os.Environ())
}
