package netcut

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// UDP passes packets on to a target, and the answers back to whoever sent.
type UDP struct {
	*link
	target *net.UDPAddr
	addr   *net.UDPAddr

	mu       sync.Mutex
	sock     *net.UDPConn // nil while cut
	clients  map[string]*client
	accepted int64
	loss     float64
	hold     int
	full     int64
	dice     *rand.Rand
	running  bool
	ended    bool
	wg       sync.WaitGroup
}

const (
	udpQueue   = 512             // packets on their way, each direction of each client; more are dropped
	udpForgets = 2 * time.Minute // without a packet from the target
)

// client is one sender and its own socket towards the target.
type client struct {
	out      *net.UDPConn
	up, down chan piece
	done     chan struct{}
}

// NewUDP binds listen, so that Addr is known; Run passes packets on to target. Whoever does not go on to Run
// must Close.
func NewUDP(listen, target string) (*UDP, error) {
	to, err := net.ResolveUDPAddr("udp", target)
	if err != nil {
		return nil, fmt.Errorf("make UDP proxy: %w", err)
	}
	at, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		return nil, fmt.Errorf("make UDP proxy: %w", err)
	}
	sock, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, fmt.Errorf("make UDP proxy: %w", err)
	}
	return &UDP{
		link: newLink(), target: to, addr: sock.LocalAddr().(*net.UDPAddr), sock: sock,
		clients: map[string]*client{}, dice: rand.New(rand.NewPCG(1, 2)),
	}, nil
}

// Addr is where clients send to.
func (u *UDP) Addr() string { return u.addr.String() }

// Run passes packets on until ctx ends, and then returns nil. It is called once.
func (u *UDP) Run(ctx context.Context) error {
	u.mu.Lock()
	u.running = true
	if u.sock != nil {
		u.receive(u.sock)
	}
	u.mu.Unlock()
	<-ctx.Done()
	u.Close()
	return nil
}

// Close frees the port, for good.
func (u *UDP) Close() {
	u.mu.Lock()
	u.ended = true
	u.mu.Unlock()
	u.Cut()
	u.wg.Wait()
}

// Loss drops so many percent of all packets; which ones is the same in every run.
func (u *UDP) Loss(percent float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.loss = percent
}

// Hold lets at most so many packets wait for the line, each direction of each client, as a router with little memory; 0 takes
// the limit off. Stats counts those that found no room.
func (u *UDP) Hold(packets int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hold = packets
}

// Cut closes the port: senders are told that nobody listens.
func (u *UDP) Cut() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sock != nil {
		_ = u.sock.Close()
		u.sock = nil
	}
	for key := range u.clients {
		u.drop(key)
	}
}

// Restore ends every fault. It fails when somebody else took the port meanwhile.
func (u *UDP) Restore() error {
	u.heal()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.loss = 0
	if u.sock != nil || u.ended {
		return nil
	}
	sock, err := net.ListenUDP("udp", u.addr)
	if err != nil {
		return fmt.Errorf("restore UDP proxy: %w", err)
	}
	u.sock = sock
	if u.running {
		u.receive(sock)
	}
	return nil
}

// Stats returns the counters.
func (u *UDP) Stats() Stats {
	u.mu.Lock()
	s := Stats{Open: len(u.clients), Accepted: u.accepted, Full: u.full}
	u.mu.Unlock()
	u.link.mu.Lock()
	defer u.link.mu.Unlock()
	s.Up, s.Down = u.up.bytes, u.down.bytes
	return s
}

// receive runs with u.mu held.
func (u *UDP) receive(sock *net.UDPConn) {
	u.wg.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := sock.ReadFromUDP(buf)
			if err != nil {
				return
			}
			if c := u.client(sock, from); c != nil {
				u.put(c.up, buf[:n])
			}
		}
	})
}

// put queues a packet, or drops it: in a black hole, by chance, or because the queue is full.
func (u *UDP) put(queue chan piece, data []byte) {
	u.mu.Lock()
	unlucky := u.loss > 0 && u.dice.Float64()*100 < u.loss
	if full := u.hold > 0 && len(queue) >= u.hold; full {
		u.full++
		unlucky = true
	}
	u.mu.Unlock()
	u.link.mu.Lock()
	hole := u.hole
	u.link.mu.Unlock()
	if unlucky || hole {
		return
	}
	select {
	case queue <- piece{append([]byte(nil), data...), u.due(time.Now())}:
	default:
		u.mu.Lock()
		defer u.mu.Unlock()
		u.full++
	}
}

// client returns the way back to a sender, made at its first packet; nil when the port is closed.
func (u *UDP) client(sock *net.UDPConn, from *net.UDPAddr) *client {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sock != sock {
		return nil
	}
	key := from.String()
	if c := u.clients[key]; c != nil {
		return c
	}
	out, err := net.DialUDP("udp", nil, u.target)
	if err != nil {
		return nil
	}
	c := &client{out: out, up: make(chan piece, udpQueue), down: make(chan piece, udpQueue), done: make(chan struct{})}
	u.clients[key] = c
	u.accepted++
	u.wg.Go(func() { u.deliver(c, c.up, &u.up, func(b []byte) { _, _ = out.Write(b) }) })
	u.wg.Go(func() { u.deliver(c, c.down, &u.down, func(b []byte) { _, _ = sock.WriteToUDP(b, from) }) })
	u.wg.Go(func() { u.answers(c, key) })
	return c
}

// answers takes packets from the target until it has been silent for long.
func (u *UDP) answers(c *client, key string) {
	buf := make([]byte, 64<<10)
	for {
		err := c.out.SetReadDeadline(time.Now().Add(udpForgets))
		n := 0
		if err == nil {
			n, err = c.out.Read(buf)
		}
		if err != nil {
			// A target that is not there yet answers with an ICMP error: keep the way open.
			if errors.Is(err, syscall.ECONNREFUSED) {
				continue
			}
			u.mu.Lock()
			if u.clients[key] == c {
				u.drop(key)
			}
			u.mu.Unlock()
			return
		}
		u.put(c.down, buf[:n])
	}
}

// drop runs with u.mu held.
func (u *UDP) drop(key string) {
	c := u.clients[key]
	delete(u.clients, key)
	close(c.done)
	_ = c.out.Close()
}

func (u *UDP) deliver(c *client, queue chan piece, at *lane, send func([]byte)) {
	for {
		select {
		case q := <-queue:
			if !u.pass(c.done, at, len(q.data), q.due) {
				return
			}
			send(q.data)
		case <-c.done:
			return
		}
	}
}
