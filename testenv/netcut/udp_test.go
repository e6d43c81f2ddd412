package netcut_test

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"holdfast/testenv/netcut"
)

// udpThrough is a running proxy in front of a UDP server that sends every packet back, and a client of it.
func udpThrough(t *testing.T) (*netcut.UDP, *net.UDPConn) {
	t.Helper()
	t.Parallel()
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 2048)
		for {
			n, from, err := server.ReadFromUDP(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteToUDP(buf[:n], from)
		}
	}()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	p, err := netcut.NewUDP("127.0.0.1:0", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	run(t, p)
	return p, udpDial(t, p)
}

func udpDial(t *testing.T, p *netcut.UDP) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.UDPConn)
}

func TestUDPPasses(t *testing.T) {
	p, c := udpThrough(t)
	says(t, c, "one")
	says(t, c, "two")
	says(t, udpDial(t, p), "other")
	if s := p.Stats(); s.Up != 11 || s.Down != 11 || s.Accepted != 2 || s.Open != 2 {
		t.Fatalf("counted %+v", s)
	}
}

func TestUDPBlackholeLoses(t *testing.T) {
	p, c := udpThrough(t)
	says(t, c, "before")
	p.Blackhole()
	if _, err := c.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	deaf(t, c)
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	says(t, c, "after") // and not "lost"
}

func TestUDPCut(t *testing.T) {
	p, c := udpThrough(t)
	says(t, c, "before")
	p.Cut()
	// The first write makes the system learn that the port is closed, a later call says so.
	refused := false
	for deadline := time.Now().Add(patience); !refused && time.Now().Before(deadline); {
		_, err := c.Write([]byte("anyone?"))
		refused = errors.Is(err, syscall.ECONNREFUSED)
	}
	if !refused {
		t.Fatal("the cut port still takes packets")
	}
	if err := p.Restore(); err != nil {
		t.Fatal(err)
	}
	says(t, udpDial(t, p), "after")
}

func TestUDPDelay(t *testing.T) {
	p, c := udpThrough(t)
	p.Delay(100 * time.Millisecond)
	if took := says(t, c, "slow"); took < 200*time.Millisecond {
		t.Fatalf("there and back took %v, want 200 ms or more", took)
	}
}

func TestUDPLoss(t *testing.T) {
	p, c := udpThrough(t)
	p.Loss(50)
	const sent = 200
	for range sent {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for buf := make([]byte, 8); ; got++ {
		if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			break
		}
	}
	if got < sent/8 || got > sent/2 { // half each way leaves a quarter
		t.Fatalf("%d of %d packets came back through 50 %% loss each way", got, sent)
	}
	p.Loss(0)
	says(t, c, "after")
}
