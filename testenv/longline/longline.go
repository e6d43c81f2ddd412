package longline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
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
	// Near and Far call do once with its thread on that machine: the sockets that it opens and the programs that it starts are
	// there for good.
	Near, Far func(do func() error) error

	oneWay    time.Duration
	near, far *os.File // the line's ends
	machines  []io.Closer
}

// New makes a line whose round trip takes so long. Whoever does not go on to Run must Close.
func New(roundTrip time.Duration) (*Line, error) {
	l := &Line{oneWay: roundTrip / 2}
	if err := l.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("make a line of %v: %w", roundTrip, err), l.Close())
	}
	return l, nil
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
		if _, err := to.Write(p.data); err != nil && !errors.Is(err, syscall.EINVAL) {
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
	for _, m := range l.machines {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
