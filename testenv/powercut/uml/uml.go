// Package uml runs Linux in user mode as a machine whose power can be cut: a kernel that is an ordinary program, with
// its own page cache, clock and disks, which are files of the host.
//
// The machine's root is the host's, read-only; its init is testenv/powercut/guest, which does what the host asks for
// over a serial line. Cut kills the kernel with all that it holds in memory: what was written to a disk stays, what
// was only in the page cache is gone, as with a power cut. It neither tears nor reorders what the kernel had written.
// It needs no root.
package uml

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Program is the kernel.
const Program = "linux.uml"

// Config describes a machine.
type Config struct {
	Guest   string   // program to run as init: testenv/powercut/guest, static
	Disks   []string // image files, /dev/ubda and so on
	Share   string   // folder of the host that the machine may write
	Console string   // file that gets what the kernel and the programs print
	Memory  int      // MB; 0 means 512
	// Heard gets every line that is no reply, in order, from one goroutine.
	Heard func(kind byte, body []byte)
}

// Machine is a running machine.
type Machine struct {
	cfg  Config
	cmd  *exec.Cmd
	in   *os.File
	up   chan struct{} // its init answers
	done chan struct{} // the kernel has ended
	read chan struct{} // all it said was read

	mu    sync.Mutex
	next  int
	calls map[int]chan Reply
}

// Missing says which programs the rig lacks, in words, or nothing.
func Missing(programs ...string) string {
	for _, p := range append([]string{Program}, programs...) {
		if Find(p) == "" {
			return fmt.Sprintf("%s is not installed (testenv/scripts/setup.sh installs it as root)", p)
		}
	}
	return ""
}

// Find returns the path of a program, or nothing. It also looks where only root's PATH leads.
func Find(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, folder := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(folder, program)); err == nil {
			return path
		}
	}
	return ""
}

// Boot starts a machine and returns when its init answers.
func Boot(ctx context.Context, cfg Config) (*Machine, error) {
	m := &Machine{cfg: cfg, up: make(chan struct{}), done: make(chan struct{}), read: make(chan struct{}), calls: map[int]chan Reply{}}
	if err := m.start(); err != nil {
		return nil, fmt.Errorf("boot machine: %w", err)
	}
	limit := time.NewTimer(3 * time.Minute)
	defer limit.Stop()
	err := errors.New("its init does not answer")
	select {
	case <-m.up:
		return m, nil
	case <-m.done:
	case <-limit.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(fmt.Errorf("boot machine: %w\n%s", err, Tail(cfg.Console, 30)), m.Cut())
}

func (m *Machine) start() error {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return errors.Join(err, theirIn.Close(), in.Close())
	}
	console, err := os.OpenFile(m.cfg.Console, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return errors.Join(err, theirIn.Close(), in.Close(), out.Close(), theirOut.Close())
	}
	memory := m.cfg.Memory
	if memory == 0 {
		memory = 512
	}
	m.cmd = exec.Command(Program, fmt.Sprintf("mem=%dM", memory), "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
		"init="+m.cfg.Guest, "share="+m.cfg.Share, "con=null", "con0=null,fd:1", "ssl=null", "ssl0=fd:3,fd:4", "quiet")
	for i, d := range m.cfg.Disks {
		m.cmd.Args = append(m.cmd.Args, fmt.Sprintf("ubd%d=%s", i, d))
	}
	m.cmd.Stdout, m.cmd.Stderr = console, console
	m.cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// Without a TMPDIR it keeps its memory in /dev/shm: in a file on a disk the host would write it out all the time.
	m.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(m.cfg.Console)}
	err = m.cmd.Start()
	err = errors.Join(err, theirIn.Close(), theirOut.Close(), console.Close())
	if err != nil {
		return errors.Join(err, in.Close(), out.Close())
	}
	m.in = in
	m.favour()
	go func() {
		_ = m.cmd.Wait() // a machine never ends well: it is cut, or halts
		close(m.done)
	}()
	go m.listen(out)
	return nil
}

// favour asks the host to let the machine go before others: each call of its system is many switches between
// processes of the host, and each of them would wait for whatever else runs. Without the right to ask it is only slower.
func (m *Machine) favour() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, m.cmd.Process.Pid, -10)
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", m.cmd.Process.Pid), []byte("-10"), 0)
}

// listen takes what the guest says, until its end.
func (m *Machine) listen(out *os.File) {
	defer close(m.read)
	defer func() { _ = out.Close() }()
	r := bufio.NewReaderSize(out, 1<<16)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return // a line without an end was cut off
		}
		line = line[:len(line)-1]
		if len(line) == 0 {
			continue
		}
		if line[0] == LineReady {
			close(m.up)
			continue
		}
		if line[0] != LineReply {
			if m.cfg.Heard != nil {
				m.cfg.Heard(line[0], line[1:])
			}
			continue
		}
		var reply Reply
		if json.Unmarshal(line[1:], &reply) != nil {
			continue
		}
		m.mu.Lock()
		c := m.calls[reply.ID]
		delete(m.calls, reply.ID)
		m.mu.Unlock()
		if c != nil {
			c <- reply
		}
	}
}

// Call asks the guest to do something and decodes its reply into out, which may be nil.
func (m *Machine) Call(ctx context.Context, op string, args, out any) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	c := make(chan Reply, 1)
	m.mu.Lock()
	m.next++
	line, err := json.Marshal(Request{ID: m.next, Op: op, Args: raw})
	if err == nil {
		m.calls[m.next] = c
		_, err = m.in.Write(append(line, '\n'))
	}
	m.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	reply, err := m.await(ctx, c)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w\n%s", op, err, Tail(m.cfg.Console, 30))
	case reply.Err != "":
		return fmt.Errorf("%s: %s", op, reply.Err)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(reply.Out, out); err != nil {
		return fmt.Errorf("%s: read reply: %w", op, err)
	}
	return nil
}

// await waits for a reply. One that a machine sent before it ended counts.
func (m *Machine) await(ctx context.Context, c <-chan Reply) (Reply, error) {
	select {
	case reply := <-c:
		return reply, nil
	case <-m.read:
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
	select {
	case reply := <-c:
		return reply, nil
	default:
		return Reply{}, errors.New("the machine has ended")
	}
}

// Done is closed when the machine has ended.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Cut takes the power away and returns when nothing of the machine is left and all it had said was heard.
func (m *Machine) Cut() error {
	group := m.cmd.Process.Pid
	if err := syscall.Kill(-group, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cut power: %w", err)
	}
	<-m.done
	// The kernel's helpers may hold the disks for a moment longer.
	for begun := time.Now(); ; {
		if err := syscall.Kill(-group, 0); errors.Is(err, syscall.ESRCH) {
			break
		}
		if time.Since(begun) > 20*time.Second {
			return errors.New("cut power: processes of the machine do not end")
		}
		time.Sleep(time.Millisecond)
	}
	<-m.read
	return m.in.Close()
}

// Off lets the machine unmount its disks and halt.
func (m *Machine) Off(ctx context.Context) error {
	if err := m.Call(ctx, "off", nil, nil); err != nil {
		return errors.Join(err, m.Cut())
	}
	return m.Cut() // its disks are unmounted: what is left has nothing to lose
}

// Tail returns the last n lines of a file, or why it can't be read.
func Tail(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	at := len(text)
	for ; n >= 0 && at > 0; at-- {
		if text[at-1] == '\n' {
			if n--; n < 0 {
				break
			}
		}
	}
	return string(text[at:])
}

// NewDisk makes an image file with a file system on it. kind is ext4 or xfs; args are for its mkfs.
func NewDisk(ctx context.Context, path string, megabytes int64, kind string, args ...string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	if err := errors.Join(f.Truncate(megabytes<<20), f.Close()); err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	all := append([]string{"-q"}, args...)
	if kind == "ext4" {
		all = append(all, "-F")
	}
	if out, err := exec.CommandContext(ctx, Find("mkfs."+kind), append(all, path)...).CombinedOutput(); err != nil {
		return fmt.Errorf("make disk: mkfs.%s: %w\n%s", kind, err, out)
	}
	return nil
}

// Busy returns the processor time of the host that the machine has used.
func (m *Machine) Busy() time.Duration {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	session := strconv.Itoa(m.cmd.Process.Pid)
	var ticks int64
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name in parentheses may hold blanks: fields are counted from behind it.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 15 || fields[3] != session {
			continue
		}
		for _, f := range fields[11:15] { // user and system, and those of children that have ended
			if n, err := strconv.ParseInt(f, 10, 64); err == nil {
				ticks += n
			}
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}
