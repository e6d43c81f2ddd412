//go:build linux

package longline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/testenv/nat"
)

// Addresses of the two machines.
const (
	NearAddr = "198.51.100.20"
	FarAddr  = "203.0.113.40"
)

// onTheWay is how many packets have room on the line, each way.
const onTheWay = 8192

// Line is the line with its machines. Run carries the packets.
type Line struct {
	Near, Far *nat.Namespace

	oneWay    time.Duration
	near, far *os.File // the line's ends
}

// New makes a line whose round trip takes so long. Whoever does not go on to Run must Close.
func New(roundTrip time.Duration) (*Line, error) {
	l := &Line{oneWay: roundTrip / 2}
	if err := l.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("make a line of %v: %w", roundTrip, err), l.Close())
	}
	return l, nil
}

func (l *Line) build() (err error) {
	if l.Near, err = nat.NewNamespace("near"); err != nil {
		return err
	}
	if l.Far, err = nat.NewNamespace("far"); err != nil {
		return err
	}
	if l.near, err = end(l.Near, NearAddr, FarAddr); err != nil {
		return err
	}
	l.far, err = end(l.Far, FarAddr, NearAddr)
	return err
}

// device is the name of the line's end at either machine.
const device = "line"

// end makes an end of the line at a machine, which sends all that is for elsewhere over it.
func end(at *nat.Namespace, own, other string) (*os.File, error) {
	fd := -1
	err := at.Do(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	})
	if err == nil {
		err = at.IP(fmt.Sprintf("addr add %s peer %s dev %s\nlink set %s up\nroute add default dev %s", own, other, device, device, device))
	}
	if err == nil {
		return os.NewFile(uintptr(fd), device), nil
	}
	if fd >= 0 {
		err = errors.Join(err, unix.Close(fd))
	}
	return nil, err
}

// Run carries packets until ctx ends, and then closes the line and returns nil. It is called once.
func (l *Line) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	failures := make(chan error, 4)
	for _, way := range [2][2]*os.File{{l.near, l.far}, {l.far, l.near}} {
		under := make(chan packet, onTheWay)
		wg.Go(func() { failures <- l.take(way[0], under) })
		wg.Go(func() { failures <- deliver(under, way[1]) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failures:
	}
	err = errors.Join(err, l.Close())
	wg.Wait()
	return err
}

// packet is one packet on its way.
type packet struct {
	data []byte
	due  time.Time
}

// longest is the longest packet that IPv4 knows (RFC 791 section 3.1).
const longest = 65535

// take puts what a machine sends on its way until the line is closed.
func (l *Line) take(from *os.File, under chan<- packet) error {
	defer close(under)
	buf := make([]byte, longest)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return unlessClosed("take packet", err)
		}
		under <- packet{append([]byte(nil), buf[:n]...), time.Now().Add(l.oneWay)}
	}
}

// deliver hands packets over when they are due. One that the machine does not take is lost, as on any line.
func deliver(under <-chan packet, to *os.File) error {
	var failure error
	for p := range under {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil && !errors.Is(err, unix.EINVAL) {
			failure = unlessClosed("deliver packet", err)
		}
	}
	return failure
}

// unlessClosed is the error, or nil when it says no more than that the line is closed.
func unlessClosed(what string, err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Close removes a line that is not run.
func (l *Line) Close() error {
	var errs []error
	for _, f := range []*os.File{l.near, l.far} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	for _, n := range []*nat.Namespace{l.Near, l.Far} {
		if n != nil {
			errs = append(errs, n.Close())
		}
	}
	return errors.Join(errs...)
}
