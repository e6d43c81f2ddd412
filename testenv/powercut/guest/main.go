// Command guest is the init of a machine of testenv/powercut/uml: it does what the host asks for over the serial line.
//
// It owns the machine's mounts, its fake cameras and the programs that it starts, and says at once which frames the
// cameras have sent and what the agent has promised, so that the host knows it after the power is gone. It decides
// nothing. It is of no use outside such a machine.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/testenv/powercut/uml"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "nosync" {
		fmt.Fprintln(os.Stderr, "guest: run without fsync:", runWithoutSync(os.Args[2:]))
		os.Exit(1)
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest is the init of a test machine: see testenv/powercut")
		os.Exit(2)
	}
	g := &guest{programs: map[string]*program{}, answers: map[int]chan uml.Answer{}}
	err := g.run()
	fmt.Fprintln(os.Stderr, "guest ends:", err)
	off()
}

// guest is the machine as the host sees it.
type guest struct {
	out sync.Mutex
	tty *os.File

	mu       sync.Mutex
	programs map[string]*program
	asks     int
	answers  map[int]chan uml.Answer
}

func (g *guest) run() error {
	if err := prepare(); err != nil {
		return err
	}
	tty, err := openLine("/dev/ttyS0")
	if err != nil {
		return err
	}
	g.tty = tty
	g.say(uml.LineReady, nil) // what the host says before the line is open would be lost
	in := bufio.NewReader(tty)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("read what the host asks for: %w", err)
		}
		var r uml.Request
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("read what the host asks for: %w", err)
		}
		go g.serve(r)
	}
}

// openLine opens the serial line and takes all that a terminal does from it.
func openLine(path string) (*os.File, error) {
	// Not by os.OpenFile, which would wait for it by polling.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open the line to the host: %w", err)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		err = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
	if err != nil {
		return nil, fmt.Errorf("set up the line to the host: %w", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// say sends one line. Without a host there is nobody to be told of an error.
func (g *guest) say(kind byte, body []byte) {
	g.out.Lock()
	defer g.out.Unlock()
	line := append(append([]byte{kind}, body...), '\n')
	_, _ = g.tty.Write(line)
}

func (g *guest) sayJSON(kind byte, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		body = []byte(`{}`)
	}
	g.say(kind, body)
}

func (g *guest) serve(r uml.Request) {
	reply := uml.Reply{ID: r.ID}
	out, err := g.do(r)
	if err == nil {
		reply.Out, err = json.Marshal(out)
	}
	if err != nil {
		reply.Err = err.Error()
	}
	g.sayJSON(uml.LineReply, reply)
	if r.Op == "off" {
		_ = unix.IoctlSetInt(int(g.tty.Fd()), unix.TCSBRK, 1) // until the host has it
		off()
	}
}

// do performs one operation.
func (g *guest) do(r uml.Request) (any, error) {
	switch r.Op {
	case "off":
		return nil, unmountAll()
	case "mount":
		return with(r, func(a uml.Mount) (any, error) { return nil, mount(a) })
	case "unmount":
		return with(r, func(at string) (any, error) { return nil, unmount(at) })
	case "module":
		return with(r, func(path string) (any, error) { return nil, loadModule(path) })
	case "copy":
		return with(r, func(a uml.Copy) (any, error) { return nil, copyAll(a) })
	case "settime":
		return with(r, func(us int64) (any, error) {
			t := syscall.NsecToTimeval(us * 1000)
			return time.Now().UnixMicro(), syscall.Settimeofday(&t)
		})
	case "cameras":
		return with(r, func(a uml.Cameras) (any, error) { return nil, g.cameras(a) })
	case "start":
		return with(r, func(a uml.Start) (any, error) { return time.Now().UnixMicro(), g.start(a) })
	case "stop":
		return with(r, g.stop)
	case "exec":
		return with(r, execute)
	case "await":
		return with(r, await)
	case "get":
		return with(r, func(a uml.Get) (any, error) { return get(a.Path) })
	case "watch":
		return with(r, func(a uml.Watch) (any, error) { go g.watch(a); return nil, nil })
	case "cloud":
		return nil, g.serveCloud()
	case "answer":
		return with(r, func(a uml.Answer) (any, error) { return nil, g.answered(a) })
	}
	return nil, fmt.Errorf("unknown operation %q", r.Op)
}

func with[A any, O any](r uml.Request, do func(A) (O, error)) (any, error) {
	var a A
	if err := json.Unmarshal(r.Args, &a); err != nil {
		return nil, fmt.Errorf("read arguments: %w", err)
	}
	out, err := do(a)
	return out, err
}

func off() {
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // an init that ends is a panic
}
