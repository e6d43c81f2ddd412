// Package fakenvr is an ONVIF device that is not there: the device, media and PTZ services of one camera that turns and zooms,
// over real HTTP, with every fault of a real device at the turn of a knob.
//
// It owns where the camera points, its clock, its presets and its faults. It promises that the camera's position is that of its
// speed and the time that has passed, so that a test sees where it points and that it stands still, and that a move ends
// with its own Timeout as the specification has it. It never invents a fault that nobody turned on, but for one that all
// devices share: the addresses of its services lead nowhere, only their paths are right.
package fakenvr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config is a device. The zero value is one without a login.
type Config struct {
	Listen   string // host:port; empty means 127.0.0.1 and any free port
	User     string // empty: no login is asked for
	Password string
	Streams  map[string]string // profiles' tokens and the RTSP addresses that they have; nil: main and sub of nowhere
}

// Knobs are the device's faults; the zero value has none.
type Knobs struct {
	Clock     time.Duration // the device's clock minus the true time
	NoClock   bool          // it does not tell its time
	Locked    bool          // it takes no login, as after a change of the password
	Digest    bool          // it takes logins by HTTP alone (RFC 7616)
	SHA256    bool          // with this sum in the place of MD5
	OneNonce  bool          // each nonce of HTTP serves once
	QOP       string        // what it offers of RFC 7616 section 3.3; empty: auth
	Deny      string        // the user has no right to this action
	Stuck     string        // this action gets no answer
	Slow      time.Duration // before each answer
	Old       bool          // it knows no GetServices
	Fixed     bool          // it does not move
	Refuse    bool          // it refuses to move, in words
	StopFails int           // so many orders to stop are refused
	NoView    bool          // it can't turn by a share of the picture
	Profiles  int           // so many profiles besides
	Sources   int           // so many other cameras, each with a profile in front
	Laughs    bool          // its answers define entities of entities
	Deep      bool          // its answers are nested without end
	Endless   bool          // its answers do not end
	Html      bool          // it answers with a page
}

// Position is where the camera points: -1 to 1 to each side, and 0 to 1 for the lens.
type Position struct {
	Pan    float64 `json:"pan"`
	Tilt   float64 `json:"tilt"`
	Zoom   float64 `json:"zoom"`
	Moving bool    `json:"moving"`
}

// pace is how much of its range the camera goes in a second at full speed.
const pace = 0.1

// Device is the device. New binds its port, Run serves.
type Device struct {
	cfg Config
	ln  net.Listener

	mu      sync.Mutex
	knobs   Knobs
	begun   Position // at the begin of the present move
	since   time.Time
	speed   Position
	until   time.Time // the move ends then
	presets []preset
	made    int
	calls   []string // actions in the order in which they were answered
	refused int      // logins
	nonces  map[string]int
	busy    int // requests being answered
	crowd   int // the most at once
	stuck   int // that get no answer
}

type preset struct {
	token, name string
	at          Position
}

// New binds the device's port. Whoever does not go on to Run must Close.
func New(cfg Config) (*Device, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Streams == nil {
		cfg.Streams = map[string]string{"main": "rtsp://192.0.2.1/main", "sub": "rtsp://192.0.2.1/sub"}
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("start fake device: %w", err)
	}
	d := &Device{cfg: cfg, ln: ln, nonces: map[string]int{}}
	d.presets = []preset{{"1", "Gate", Position{Pan: 0.5, Tilt: 0.1, Zoom: 0.2}}, {"2", "", Position{Pan: -0.5}}}
	return d, nil
}

// Close frees the port of a device that is not run.
func (d *Device) Close() error { return d.ln.Close() }

// Run serves until ctx ends.
func (d *Device) Run(ctx context.Context) error {
	server := &http.Server{Handler: http.HandlerFunc(d.serve), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(d.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve fake device: %w", err)
	}
	return nil
}

// URL is the address of the device service.
func (d *Device) URL() string { return "http://" + d.ln.Addr().String() + "/onvif/device_service" }

// Turn changes the knobs.
func (d *Device) Turn(change func(*Knobs)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.knobs)
}

// Where returns where the camera points now.
func (d *Device) Where() Position {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.where(time.Now())
}

// where integrates; the caller holds the lock.
func (d *Device) where(now time.Time) Position {
	p := d.begun
	p.Moving = d.speed != Position{} && now.Before(d.until)
	if now.After(d.until) {
		now = d.until
	}
	s := max(now.Sub(d.since).Seconds(), 0) * pace
	p.Pan = min(max(p.Pan+d.speed.Pan*s, -1), 1)
	p.Tilt = min(max(p.Tilt+d.speed.Tilt*s, -1), 1)
	p.Zoom = min(max(p.Zoom+d.speed.Zoom*s, 0), 1)
	return p
}

// move begins to move from where the camera points; the caller holds the lock.
func (d *Device) move(speed Position, lasting time.Duration) {
	now := time.Now()
	d.begun = d.where(now)
	d.begun.Moving = false
	d.speed, d.since, d.until = speed, now, now.Add(lasting)
}

// jump points the camera elsewhere; the caller holds the lock.
func (d *Device) jump(to Position) {
	to.Moving = false
	d.begun, d.speed, d.since = to, Position{}, time.Now()
}

// Calls returns the actions that were answered so far, logins that were refused left out.
func (d *Device) Calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.calls...)
}

// Count returns how often an action was answered.
func (d *Device) Count(action string) (n int) {
	for _, c := range d.Calls() {
		if c == action {
			n++
		}
	}
	return n
}

// Refused returns how many logins were refused.
func (d *Device) Refused() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refused
}

// Crowd returns how many requests were being answered at the same time, at most.
func (d *Device) Crowd() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crowd
}

// Stuck returns how many requests wait for an answer that does not come.
func (d *Device) Stuck() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stuck
}
