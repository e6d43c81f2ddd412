//go:build linux

package longline

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"testing"
	"time"

	"holdfast/testenv/ownnet"
)

const roundTrip = 60 * time.Millisecond

// run makes a line and runs it for the length of the test; the test is skipped where the system gives no TUN device.
func run(t *testing.T) *Line {
	t.Helper()
	l, err := New(roundTrip)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("this system gives this user no TUN device: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run line: %v", err)
		}
	})
	return l
}

// TestEveryPacketTakesItsTime sends datagrams over the line and back: all come, in order, none too early.
func TestEveryPacketTakesItsTime(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	l := run(t)
	near := listenUDP(t, l, NearAddr)
	far := listenUDP(t, l, FarAddr)
	go echo(near)
	const many = 500
	begun := time.Now()
	to := net.UDPAddrFromAddrPort(near.LocalAddr().(*net.UDPAddr).AddrPort())
	go func() {
		for i := range many {
			word := binary.BigEndian.AppendUint32(nil, uint32(i))
			word = binary.BigEndian.AppendUint64(word, uint64(time.Since(begun)))
			_, _ = far.WriteToUDP(word, to) // the reader misses what was not sent
		}
	}()
	if err := far.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	for i := range many {
		if n, err := far.Read(buf); err != nil || n != 12 {
			t.Fatalf("datagram %d of %d: %d bytes, %v", i, many, n, err)
		}
		if got := binary.BigEndian.Uint32(buf); got != uint32(i) {
			t.Fatalf("datagram %d came when %d was due", got, i)
		}
		if took := time.Since(begun) - time.Duration(binary.BigEndian.Uint64(buf[4:])); took < roundTrip {
			t.Fatalf("datagram %d was there and back after %v, earlier than the line allows", i, took)
		}
	}
}

// TestTCPTakesTheLine checks that a connection takes its round trip to come about, and that much data passes whole.
func TestTCPTakesTheLine(t *testing.T) {
	if !ownnet.In(t) {
		return
	}
	l := run(t)
	var door net.Listener
	if err := l.Near(func() (err error) {
		door, err = net.Listen("tcp4", NearAddr+":0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = door.Close() }()
	go func() {
		c, err := door.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	}()
	var c net.Conn
	begun := time.Now()
	if err := l.Far(func() (err error) {
		c, err = (&net.Dialer{Timeout: 20 * time.Second}).DialContext(t.Context(), "tcp4", door.Addr().String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if took := time.Since(begun); took < roundTrip {
		t.Errorf("the connection was there after %v, earlier than the line allows", took)
	}
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("over the ocean "), 100_000)
	go func() {
		_, _ = c.Write(data) // the reader misses what was not sent
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(back, data) {
		t.Errorf("%d of %d bytes came back whole: %v", len(back), len(data), err)
	}
}

func listenUDP(t *testing.T, l *Line, addr string) *net.UDPConn {
	t.Helper()
	at := l.Near
	if addr == FarAddr {
		at = l.Far
	}
	var c *net.UDPConn
	err := at(func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetReadBuffer(1 << 20); err != nil {
		t.Fatal(err)
	}
	return c
}

// echo sends every datagram back.
func echo(c *net.UDPConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteToUDPAddrPort(buf[:n], from)
	}
}
