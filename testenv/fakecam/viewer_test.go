package fakecam_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"holdfast/testenv/fakecam"
	"holdfast/testenv/scenes"
)

// patience bounds every wait; a busy machine may need most of it.
const patience = 20 * time.Second

// quickStep is from frame to frame of a quick loop, 1/90000 s: 120 frames a second.
const quickStep = 750

// quick is a loop that turns four times a second: tests meet its joint at once.
func quick(t testing.TB, name string) *scenes.Loop {
	t.Helper()
	full, err := scenes.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	const step = quickStep
	l := *full
	l.Name, l.Units, l.Ticks = "quick-"+name, nil, 0
	for i, u := range full.Units {
		if u.Key && i > 0 {
			break
		}
		u.PTS = l.Ticks + (u.PTS-u.DTS)*step/(scenes.Timescale/int64(full.FPS))
		u.DTS = l.Ticks
		l.Units = append(l.Units, u)
		l.Ticks += step
	}
	l.FPS, l.GOP = scenes.Timescale/quickStep, l.Duration()
	return &l
}

// house serves one camera per loop name; a name that begins with "quick-" is made by quick.
func house(t testing.TB, cfg fakecam.Config, names ...string) *fakecam.Server {
	t.Helper()
	cfg.Loops = map[string]*scenes.Loop{}
	for i, name := range names {
		if cut, ok := cutQuick(name); ok {
			cfg.Loops[name] = quick(t, cut)
		}
		if i >= len(cfg.Cameras) {
			cfg.Cameras = append(cfg.Cameras, fakecam.CameraConfig{})
		}
		cfg.Cameras[i].Main = name
	}
	return fakecam.Serve(t, cfg)
}

func cutQuick(name string) (string, bool) {
	const mark = "quick-"
	if len(name) > len(mark) && name[:len(mark)] == mark {
		return name[len(mark):], true
	}
	return "", false
}

// seen is one access unit as it arrived.
type seen struct {
	fakecam.Stamp
	RTP   uint32
	AU    [][]byte
	Key   bool
	AtUs  int64
	Ready bool // it had a stamp
}

// viewer is a client of one stream.
type viewer struct {
	client *gortsplib.Client
	desc   *description.Session

	mu      sync.Mutex
	frames  []seen
	sound   []uint32 // RTP timestamps of sound
	reports []*rtcp.SenderReport
	lost    uint64
	faults  int // packets that make no sense
	ended   error
	over    bool
	changed chan struct{}
}

// options of a viewer.
type options struct {
	transport gortsplib.Transport
	timeout   time.Duration
}

// dial begins a session; it does not fail the test, since some should fail.
func dial(url string, o options) (*viewer, error) {
	u, err := base.ParseURL(url)
	if err != nil {
		return nil, err
	}
	v := &viewer{changed: make(chan struct{})}
	v.client = &gortsplib.Client{
		Scheme: u.Scheme, Host: u.Host,
		Transport: &o.transport, ReadTimeout: o.timeout,
		OnPacketsLost: func(n uint64) { v.note(func() { v.lost += n }) },
		OnDecodeError: func(error) { v.note(func() { v.faults++ }) },
	}
	if err := v.client.Start2(); err != nil {
		return nil, err
	}
	if err := v.begin(u); err != nil {
		v.client.Close()
		return nil, err
	}
	go func() {
		err := v.client.Wait()
		v.note(func() { v.ended, v.over = err, true })
	}()
	return v, nil
}

func (v *viewer) begin(u *base.URL) error {
	desc, _, err := v.client.Describe(u)
	if err != nil {
		return err
	}
	v.desc = desc
	if err := v.client.SetupAll(desc.BaseURL, desc.Medias); err != nil {
		return err
	}
	for _, m := range desc.Medias {
		v.client.OnPacketRTCP(m, func(p rtcp.Packet) {
			if sr, ok := p.(*rtcp.SenderReport); ok {
				v.note(func() { v.reports = append(v.reports, sr) })
			}
		})
		if err := v.listen(m); err != nil {
			return err
		}
	}
	_, err = v.client.Play(nil)
	return err
}

func (v *viewer) listen(m *description.Media) error {
	switch f := m.Formats[0].(type) {
	case *format.H264:
		dec, err := f.CreateDecoder()
		if err != nil {
			return err
		}
		v.client.OnPacketRTP(m, f, func(p *rtp.Packet) {
			v.take(dec.Decode(p))(p.Timestamp, false)
		})
	case *format.H265:
		dec, err := f.CreateDecoder()
		if err != nil {
			return err
		}
		v.client.OnPacketRTP(m, f, func(p *rtp.Packet) {
			v.take(dec.Decode(p))(p.Timestamp, true)
		})
	default:
		v.client.OnPacketRTP(m, f, func(p *rtp.Packet) { v.note(func() { v.sound = append(v.sound, p.Timestamp) }) })
	}
	return nil
}

// take notes what a depacketiser made of a packet, if it was the last of a frame or none at all.
func (v *viewer) take(au [][]byte, err error) func(rtp uint32, h265 bool) {
	return func(rtp uint32, h265 bool) {
		switch {
		case err == nil:
			v.picture(au, rtp, h265)
		case !errors.Is(err, rtph264.ErrMorePacketsNeeded) && !errors.Is(err, rtph265.ErrMorePacketsNeeded):
			v.note(func() { v.faults++ })
		}
	}
}

func (v *viewer) picture(au [][]byte, rtp uint32, h265 bool) {
	f := seen{RTP: rtp, AtUs: time.Now().UnixMicro()}
	for _, n := range au {
		f.AU = append(f.AU, slices.Clone(n))
		if h265 {
			typ := n[0] >> 1 & 0x3f
			f.Key = f.Key || typ == 19 || typ == 20
		} else {
			f.Key = f.Key || n[0]&0x1f == 5
		}
	}
	f.Stamp, f.Ready = fakecam.FindStamp(au, h265)
	v.note(func() { v.frames = append(v.frames, f) })
}

func (v *viewer) note(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
	close(v.changed)
	v.changed = make(chan struct{})
}

// until waits for a condition on the viewer, which is locked while it is tested.
func (v *viewer) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		v.mu.Lock()
		done, changed := ok(), v.changed
		v.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			v.mu.Lock()
			defer v.mu.Unlock()
			t.Fatalf("waited in vain for %s; %d frames came, session over: %v (%v)", what, len(v.frames), v.over, v.ended)
		}
	}
}

// got returns the frames so far.
func (v *viewer) got() []seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.frames)
}

// atLeast waits until n frames are there and returns them.
func (v *viewer) atLeast(t testing.TB, n int) []seen {
	t.Helper()
	v.until(t, "frames", func() bool { return len(v.frames) >= n })
	return v.got()
}

// watch begins a session that must succeed and ends with the test.
func watch(t testing.TB, url string, o options) *viewer {
	t.Helper()
	v, err := dial(url, o)
	if err != nil {
		t.Fatalf("watch %s: %v", url, err)
	}
	t.Cleanup(v.client.Close)
	return v
}

func tcp() options { return options{transport: gortsplib.TransportTCP} }

// whole fails the test unless the frames are numbered without a hole.
func whole(t testing.TB, frames []seen) {
	t.Helper()
	for i, f := range frames {
		if !f.Ready {
			t.Fatalf("frame %d of %d has no stamp", i, len(frames))
		}
		if i > 0 && f.Frame != frames[i-1].Frame+1 {
			t.Fatalf("frame %d follows frame %d", f.Frame, frames[i-1].Frame)
		}
	}
}

// turn turns knobs that must be valid.
func turn(t testing.TB, c *fakecam.Camera, change func(*fakecam.Knobs)) {
	t.Helper()
	if err := c.Turn(change); err != nil {
		t.Fatal(err)
	}
}

// poll waits for a condition that nothing announces.
func poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
