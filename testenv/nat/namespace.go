//go:build linux

package nat

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is a machine as far as its network goes (network_namespaces(7)). The kernel keeps it as long as its file is
// open or anything runs in it.
type Namespace struct {
	name string
	file *os.File
}

// NewNamespace makes a machine that has a loopback and no other link, forwards IPv4 and speaks no IPv6. Close it.
func NewNamespace(name string) (*Namespace, error) {
	n := &Namespace{name: name}
	err := apart(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		var err error
		n.file, err = os.Open(own)
		return err
	})
	if err == nil {
		err = n.Do(func() error {
			return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
		})
	}
	if err == nil {
		err = n.Do(speakNoIPv6)
	}
	if err == nil {
		err = n.IP("link set lo up")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make network namespace %s: %w", name, err), n.Close())
	}
	return n, nil
}

// speakNoIPv6 leaves out the addresses that an interface gives itself, which lead nowhere here.
func speakNoIPv6() error {
	for _, which := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
			return err
		}
	}
	return nil
}

// own is the network namespace of the thread that opens it.
const own = "/proc/thread-self/ns/net"

// Do calls do with its thread in the namespace: the sockets that it opens and the programs that it starts are of that
// machine for good. What do leaves to other goroutines is not. It returns do's error.
func (n *Namespace) Do(do func() error) error {
	return apart(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", n.name, err)
		}
		return do()
	})
}

// apart calls do on a thread that may leave its network namespace, and brings the thread back.
func apart(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(own)
		if err != nil {
			done <- err
			return
		}
		defer func() { _ = home.Close() }() // only read
		err = do()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			done <- errors.Join(err, back)
			return // still locked: the thread that is lost ends with this goroutine
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// IP has ip-address(8) and its kin do what the lines of a text say.
func (n *Namespace) IP(lines string) error { return n.feed("ip", []string{"-batch", "-"}, lines) }

// feed runs a program in the namespace with a text as its input.
func (n *Namespace) feed(program string, args []string, text string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(text)
	return n.Do(func() error {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s in %s: %w\n%s\n%s", program, n.name, err, out, text)
		}
		return nil
	})
}

// path names the namespace to other programs as long as this one holds it.
func (n *Namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// Close lets go of the namespace: the kernel keeps it as long as anything runs there.
func (n *Namespace) Close() error {
	if n.file == nil {
		return nil
	}
	return n.file.Close()
}
