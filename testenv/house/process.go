package house

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program in a process of its own, whose output is kept in a file.
type Process struct {
	Name string
	Log  string // file with all it printed

	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	err error // how it ended
}

// spawn starts a program of the house.
func (h *House) spawn(name string, in Place, env []string, program string, args ...string) (p *Process, err error) {
	path := filepath.Join(h.Dir, strings.ToLower(strings.ReplaceAll(name, " ", "-"))+".log")
	cmd := exec.CommandContext(context.WithoutCancel(h.ctx), program, args...)
	cmd.Env = append(os.Environ(), env...)
	err = in.do(func() error {
		p, err = Spawn(name, path, cmd)
		return err
	})
	return p, err
}

// Spawn starts a program as the first of its own process group: Ctrl-C is for this process, which ends the others in
// order. All it prints goes into the file log.
func Spawn(name, log string, cmd *exec.Cmd) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{Name: name, Log: log, cmd: cmd, done: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.done)
	}()
	return p, nil
}

// PID returns the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Alive returns an error with the end of the log when the process has ended.
func (p *Process) Alive() error {
	select {
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return fmt.Errorf("%s ended: %w\n%s", p.Name, errors.Join(p.err), p.Tail(30))
	default:
		return nil
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Await waits until the process prints a line that begins with prefix, and returns the rest of that line.
func (p *Process) Await(ctx context.Context, prefix string) (string, error) {
	rest := ""
	err := Until(ctx, time.Minute, p.Name+` prints "`+prefix+`"`, func(context.Context) (bool, error) {
		text, err := os.ReadFile(p.Log)
		if err != nil {
			return false, err
		}
		for line := range strings.Lines(string(text)) {
			if after, ok := strings.CutPrefix(line, prefix); ok && strings.HasSuffix(line, "\n") {
				rest = strings.TrimSpace(after)
				return true, nil
			}
		}
		return false, p.Alive()
	})
	return rest, err
}

// Kill ends the process at once, as a crash does.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// Stop asks the process to end and waits; one that does not end within limit is killed, which is an error. So
// is an exit code other than 0. A process that has ended before is no error.
func (p *Process) Stop(limit time.Duration) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		return errors.Join(fmt.Errorf("%s did not end within %v\n%s", p.Name, limit, p.Tail(30)), p.Kill())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("%s ended with %w\n%s", p.Name, p.err, p.Tail(30))
	}
	return nil
}

// Tail returns the last n lines of the log.
func (p *Process) Tail(n int) string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}

// output runs a program to its end and returns all it printed.
func output(ctx context.Context, in Place, env []string, program string, args ...string) (out string, err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	err = in.do(func() error {
		text, err := cmd.CombinedOutput()
		out = string(text)
		return err
	})
	return out, err
}

// Until asks again and again until ok, an error, or the limit; what names the condition.
func Until(ctx context.Context, limit time.Duration, what string, ask func(context.Context) (ok bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ask(ctx)
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %v in vain: %s", limit, what)
		}
	}
}
