package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"holdfast/shared/backoff"
	"holdfast/testenv/powercut/uml"
)

// load is what a machine has to do.
type load struct {
	Cameras, Kbit, FPS int
}

// chain is one disk that loses its power again and again. Each start finds what the cut before left; at the end all of
// it is accounted for.
type chain struct {
	rig      *rig
	name     string
	fs       string // ext4 or xfs
	mount    string // its options
	mkfs     []string
	mbytes   int64
	load     load
	volume   string // YAML
	nosync   bool   // fsync does nothing
	deletes  bool   // retention deletes what the books spoke of before
	clocks   bool   // the clock is set: times of sending and of recording can't be compared
	older    *way   // where set, the ledger is one of version 1 at every start
	lossless bool   // once all cameras are recorded no frame may be lost, declared or not
	cuts     []cut

	dir   string
	boots []*boot
}

// phase says from when on the time to a cut counts.
type phase string

const (
	steady   phase = "steady"   // all cameras record
	starting phase = "starting" // the agent's program begins
)

// cut is one cut of the power.
type cut struct {
	from  phase
	after time.Duration
}

// boot is what is known of one life of the machine.
type boot struct {
	number  int
	cut     cut              // zero for the last one
	startUs int64            // the agent's program began
	readyUs int64            // all cameras recorded, by the window; 0 when it was cut before
	waited  map[string]int64 // when each camera was last seen not to record
	cutUs   int64            // the power was gone; for the last boot: the agent was told to stop
	before  string           // folder with the ledger as the cut before had left it
	early   []uml.Ended

	mu      sync.Mutex
	heardUs int64                // the last line
	end     func()               // called when a program has ended; may be nil
	busy    func() time.Duration // of the machine
	use     []use
	sent    map[uint32][]frame
	claims  []uml.Claim
	events  []string
}

// frame is one frame that a camera has sent.
type frame struct {
	number uint64
	atUs   int64
	rtp    uint32
}

// use is what the machine had done up to a moment: nothing for so long, and so much of the host's processor.
type use struct{ atUs, idleUs, busyUs int64 }

// starved returns for how long between two moments the machine wanted to run and the host did not let it. The samples
// are half a second apart.
func (b *boot) starved(fromUs, toUs int64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	var first, last *use
	for i := range b.use {
		u := &b.use[i]
		if u.atUs <= fromUs || first == nil {
			first = u
		}
		if u.atUs <= toUs {
			last = u
		}
	}
	if first == nil || last == nil || last.atUs <= first.atUs {
		return 0
	}
	us := last.atUs - first.atUs - (last.idleUs - first.idleUs) - (last.busyUs - first.busyUs)
	us += max(0, toUs-b.heardUs-200_000) // and lately nothing was heard of it at all
	return time.Duration(max(0, us)) * time.Microsecond
}

// lateness returns by how many microseconds a frame may be late at most that was sent at a moment: while the machine's own
// processor has nothing left, frames wait to be received, and the agent says that they were when they came.
func (b *boot) lateness(atUs int64) int64 {
	const window, most = 3_000_000, 2_000_000
	b.mu.Lock()
	defer b.mu.Unlock()
	var first, last *use
	for i := range b.use {
		u := &b.use[i]
		if u.atUs <= atUs-window {
			first = u
		}
		if u.atUs <= atUs {
			last = u
		}
	}
	if first == nil || last == nil || (last.idleUs-first.idleUs)*20 > last.atUs-first.atUs {
		return 0
	}
	return most
}

// onEnd has a function called when a program ends.
func (b *boot) onEnd(end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end = end
}

// watch lets the book know the machine.
func (b *boot) watch(m *uml.Machine) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = m.Busy
}

// heard takes the lines of the guest.
func (b *boot) heard(kind byte, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heardUs = time.Now().UnixMicro()
	switch kind {
	case uml.LineIdle:
		if us, err := strconv.ParseInt(string(body), 10, 64); err == nil && b.busy != nil {
			b.use = append(b.use, use{b.heardUs, us, b.busy().Microseconds()})
		}
	case uml.LineFrames:
		for _, f := range strings.Fields(string(body)) {
			if camera, sent, err := parseFrame(f); err == nil {
				b.sent[camera] = append(b.sent[camera], sent)
			}
		}
	case uml.LineClaim:
		var c uml.Claim
		if json.Unmarshal(body, &c) == nil {
			b.claims = append(b.claims, c)
		}
	case uml.LineEvent:
		b.events = append(b.events, string(body))
	case uml.LineEnded:
		var e uml.Ended
		if json.Unmarshal(body, &e) == nil {
			b.early = append(b.early, e)
			if b.end != nil {
				b.end()
			}
		}
	}
}

func parseFrame(text string) (camera uint32, f frame, err error) {
	_, err = fmt.Sscanf(text, "%d:%d:%d:%d", &camera, &f.number, &f.atUs, &f.rtp)
	return camera, f, err
}

// numbers of cameras in stamps: the boot's times so many, plus the camera's place from 1 on.
const perBoot = 1000

func (c *chain) disk() string    { return filepath.Join(c.dir, "disk.img") }
func (c *chain) share() string   { return filepath.Join(c.dir, "share") }
func (c *chain) console() string { return filepath.Join(c.dir, "console.log") }

// run does all cuts and a last start, after which the machine is off and share holds the agent's data and video.
func (c *chain) run(ctx context.Context) error {
	if err := os.MkdirAll(c.share(), 0o700); err != nil {
		return err
	}
	if err := uml.NewDisk(ctx, c.disk(), c.mbytes, c.fs, c.mkfs...); err != nil {
		return err
	}
	if err := c.install(); err != nil {
		return err
	}
	for i, cut := range append(c.cuts, cut{}) {
		b := &boot{number: i, cut: cut, sent: map[uint32][]frame{}, before: filepath.Join(c.share(), fmt.Sprintf("before-%d", i))}
		c.boots = append(c.boots, b)
		if err := c.live(ctx, b); err != nil {
			return fmt.Errorf("%s, start %d: %w", c.name, i+1, err)
		}
	}
	return nil
}

// install lays out what the first start puts on the disk.
func (c *chain) install() error {
	if err := copyFile(filepath.Join(c.rig.identity, "identity.json"), filepath.Join(c.share(), "install", "data", "identity.json")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.share(), "install", "holdfast.yaml"), []byte(configOf(c.load.Cameras, c.volume)), 0o600)
}

// live is one life of the machine, from its start to its cut.
func (c *chain) live(ctx context.Context, b *boot) error {
	m, err := uml.Boot(ctx, uml.Config{Guest: c.rig.guest, Disks: []string{c.disk()}, Share: c.share(), Console: c.console(), Heard: b.heard})
	if err != nil {
		return err
	}
	b.watch(m)
	err = c.wake(ctx, m, b)
	if err == nil && b.cut.from == "" {
		return errors.Join(c.finish(ctx, m, b), m.Cut())
	}
	if err == nil {
		err = backoff.Sleep(ctx, b.cut.after)
	}
	b.cutUs = time.Now().UnixMicro()
	return errors.Join(err, m.Cut())
}

// wake brings the machine to the phase from which the time to its cut counts.
func (c *chain) wake(ctx context.Context, m *uml.Machine, b *boot) error {
	if err := m.Call(ctx, "mount", uml.Mount{Device: "/dev/ubda", At: uml.Disk, Type: c.fs, Data: c.mount}, nil); err != nil {
		return err
	}
	if b.number == 0 {
		if err := m.Call(ctx, "copy", uml.Copy{From: uml.Host + "/install", To: uml.Disk}, nil); err != nil {
			return err
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		name := "/ledger.db" + suffix
		to := uml.Host + strings.TrimPrefix(b.before, c.share()) + name
		if err := m.Call(ctx, "copy", uml.Copy{From: dataFolder + name, To: to, Maybe: true}, nil); err != nil {
			return err
		}
	}
	if c.older != nil {
		if err := c.age(ctx, m, b); err != nil {
			return err
		}
	}
	if err := m.Call(ctx, "cameras", uml.Cameras{Count: c.load.Cameras, First: b.number * perBoot, Kbit: c.load.Kbit, FPS: c.load.FPS}, nil); err != nil {
		return err
	}
	start := uml.Start{Name: "agent", Argv: []string{c.rig.agent, "--config", config, "run"}, NoSync: c.nosync}
	if err := m.Call(ctx, "start", start, &b.startUs); err != nil {
		return err
	}
	if b.cut.from == starting {
		return nil
	}
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	b.onEnd(cancel)
	var ready uml.Ready
	if err := m.Call(wait, "await", uml.Await{Recording: c.load.Cameras, LimitMs: 180_000}, &ready); err != nil {
		return err
	}
	b.readyUs, b.waited = ready.AtUs, ready.Waited
	return m.Call(ctx, "watch", uml.Watch{EveryMs: 1000, Token: dataFolder + "/local.token"}, nil)
}

// finish ends the agent in good order, lets it check everything and copies all to the host.
func (c *chain) finish(ctx context.Context, m *uml.Machine, b *boot) error {
	if err := backoff.Sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	b.cutUs = time.Now().UnixMicro()
	code := 0
	if err := m.Call(ctx, "stop", uml.Stop{Name: "agent", Signal: int(syscall.SIGTERM)}, &code); err != nil {
		return err
	}
	var check uml.Exited
	if err := m.Call(ctx, "exec", uml.Exec{Argv: []string{c.rig.agent, "--config", config, "check", "--level", "full"}}, &check); err != nil {
		return err
	}
	if code != 0 || check.Code != 0 {
		c.rig.say("%s: the agent ended with %d, its check with %d:\n%s", c.name, code, check.Code, check.Out)
		return fmt.Errorf("check: %s", check.Out)
	}
	for from, to := range map[string]string{uml.Disk + "/data": "/data", uml.Disk + "/video": "/video/1", uml.Disk2 + "/video": "/video/2"} {
		if err := m.Call(ctx, "copy", uml.Copy{From: from, To: uml.Host + to, Maybe: true}, nil); err != nil {
			return err
		}
	}
	return m.Call(ctx, "off", nil, nil)
}
