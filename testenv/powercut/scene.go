package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/shared/backoff"
	"holdfast/testenv/powercut/uml"
)

// scene is one fault of a disk or a clock, in a machine whose ledger is on one disk and whose video is on another. At
// its end the agent is stopped in good order and everything is accounted for, as after a power cut.
type scene struct {
	name    string
	mkfs    []string // of the disk for video
	mbytes  int64    // of it
	mapped  bool     // the disk for video lies behind a map that can be changed
	spill   bool     // there is a second volume, beside the ledger
	memory  bool     // the ledger is in memory: what happens to every disk must not happen to it
	perform func(p *play, ctx context.Context) error
	setting chain // further properties of it
}

// play is a scene that is being played.
type play struct {
	*chain
	scene
	m *uml.Machine
	b *boot
}

// sectors of the disk for video.
func (p *play) sectors() int64 { return p.scene.mbytes << 20 / 512 }

// run plays a scene and returns the account, or what was wrong.
func (s scene) run(ctx context.Context, r *rig, l load, dir string) (*audit, error) {
	p := &play{scene: s, chain: &chain{
		rig: r, name: s.name, fs: "ext4", mount: "data=ordered", mbytes: 512, load: l, dir: dir,
		deletes: s.setting.deletes, clocks: s.setting.clocks, lossless: s.setting.lossless,
	}}
	p.volume = fmt.Sprintf("[{path: %s, free: 2MB}", uml.Disk2)
	if s.spill {
		p.volume += fmt.Sprintf(", {path: %s/video, free: 40MB}", uml.Disk)
	}
	p.volume += "]"
	if err := os.MkdirAll(p.share(), 0o700); err != nil {
		return nil, err
	}
	if err := uml.NewDisk(ctx, p.disk(), p.chain.mbytes, "ext4"); err != nil {
		return nil, err
	}
	if err := uml.NewDisk(ctx, p.disk2(), s.mbytes, "ext4", s.mkfs...); err != nil {
		return nil, err
	}
	if err := p.install(); err != nil {
		return nil, err
	}
	err := p.play(ctx)
	if p.m != nil {
		err = errors.Join(err, p.m.Cut())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", s.name, err, uml.Tail(p.console(), 25))
	}
	return p.audit(ctx)
}

// perform plays scenes and says what came of them.
func (r *rig) perform(ctx context.Context, o options) error {
	var errs []error
	played := 0
	for i, s := range scenes() {
		if o.scenes != "all" && !strings.Contains(s.name, o.scenes) {
			continue
		}
		played++
		begun := time.Now()
		a, err := s.run(ctx, r, o.load, filepath.Join(r.dir, fmt.Sprintf("scene-%d", i)))
		if err == nil && len(a.holes)+len(a.broken) > 0 {
			err = fmt.Errorf("%s: %s", s.name, strings.Join(append(a.holes, a.broken...), "\n"))
		}
		if err != nil {
			r.say("BROKEN: %v", err)
			errs = append(errs, errors.New(s.name))
			continue
		}
		r.say("%s: in %v; %d frames, %d on disk, %d in declared gaps", s.name, time.Since(begun).Round(time.Second), a.frames, a.kept, a.inGaps)
	}
	figure("powercut_scenes", played, "")
	figure("powercut_scenes_broken", len(errs), "")
	return errors.Join(errs...)
}

func (p *play) disk2() string { return filepath.Join(p.dir, "video.img") }

func (p *play) play(ctx context.Context) (err error) {
	p.b = &boot{sent: map[uint32][]frame{}, before: filepath.Join(p.share(), "before")}
	p.boots = []*boot{p.b}
	disks := []string{p.disk(), p.disk2()}
	if p.m, err = uml.Boot(ctx, uml.Config{Guest: p.rig.guest, Disks: disks, Share: p.share(), Console: p.console(), Heard: p.b.heard}); err != nil {
		return err
	}
	p.b.watch(p.m)
	home := uml.Mount{Device: "/dev/ubda", At: uml.Disk, Type: "ext4"}
	if p.memory {
		home = uml.Mount{Device: "none", At: uml.Disk, Type: "tmpfs"}
	}
	if err := p.m.Call(ctx, "mount", home, nil); err != nil {
		return err
	}
	if err := p.m.Call(ctx, "copy", uml.Copy{From: uml.Host + "/install", To: uml.Disk}, nil); err != nil {
		return err
	}
	if p.mapped {
		if err := p.mapDisk(ctx); err != nil {
			return err
		}
	}
	if err := p.mountVideo(ctx); err != nil {
		return err
	}
	if err := p.m.Call(ctx, "cameras", uml.Cameras{Count: p.load.Cameras, Kbit: p.load.Kbit, FPS: p.load.FPS}, nil); err != nil {
		return err
	}
	if err := p.startAgent(ctx, &p.b.startUs); err != nil {
		return err
	}
	if err := p.recording(ctx, 3*time.Minute); err != nil {
		return err
	}
	p.b.readyUs = time.Now().UnixMicro()
	if err := p.perform(p, ctx); err != nil {
		return err
	}
	return p.finish(ctx, p.m, p.b)
}

func (p *play) startAgent(ctx context.Context, at *int64) error {
	return p.m.Call(ctx, "start", uml.Start{Name: "agent", Argv: []string{p.rig.agent, "--config", config, "run"}}, at)
}

// recording waits until all cameras are recorded.
func (p *play) recording(ctx context.Context, limit time.Duration) error {
	return p.m.Call(ctx, "await", uml.Await{Recording: p.load.Cameras, LimitMs: limit.Milliseconds()}, nil)
}

func (p *play) video() string {
	if p.mapped {
		return "/dev/dm-0" // nobody here makes the name that it has
	}
	return "/dev/ubdb"
}

func (p *play) mountVideo(ctx context.Context) error {
	return p.m.Call(ctx, "mount", uml.Mount{Device: p.video(), At: uml.Disk2, Type: "ext4"}, nil)
}

// command runs a program that must end well.
func (p *play) command(ctx context.Context, argv ...string) (string, error) {
	var done uml.Exited
	if err := p.m.Call(ctx, "exec", uml.Exec{Argv: argv}, &done); err != nil {
		return "", err
	}
	if done.Code != 0 {
		return "", fmt.Errorf("%s ended with %d: %s", strings.Join(argv, " "), done.Code, done.Out)
	}
	return done.Out, nil
}

// mapDisk puts a map between the disk for video and its file system.
func (p *play) mapDisk(ctx context.Context) error {
	for _, name := range []string{"dm-mod", "dm-flakey", "dm-delay"} {
		found, err := filepath.Glob("/usr/lib/uml/modules/*/kernel/drivers/md/" + name + ".ko")
		if err != nil || len(found) == 0 {
			return errors.Join(fmt.Errorf("the module %s is missing", name), err)
		}
		if err := p.m.Call(ctx, "module", found[0], nil); err != nil {
			return err
		}
	}
	_, err := p.command(ctx, "dmsetup", "create", "video", "--noudevsync", "--noudevrules", "--table", p.linear())
	return err
}

func (p *play) linear() string { return fmt.Sprintf("0 %d linear /dev/ubdb 0", p.sectors()) }

// remap gives the disk for video another map. What was not written yet meets the new one.
func (p *play) remap(ctx context.Context, table string) error {
	for _, argv := range [][]string{
		{"dmsetup", "suspend", "--noflush", "--nolockfs", "video"},
		{"dmsetup", "load", "video", "--table", table},
		{"dmsetup", "resume", "--noudevsync", "--noudevrules", "video"},
	} {
		if _, err := p.command(ctx, argv...); err != nil {
			return err
		}
	}
	return nil
}

// report is what the scenes read of the agent's window.
type report struct {
	Cameras []struct {
		Name      string `json:"name"`
		Reason    string `json:"reason"`
		Recording bool   `json:"recording"`
	} `json:"cameras"`
	Conditions []condition `json:"conditions"`
}

type condition struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

func (r report) recording() int {
	n := 0
	for _, c := range r.Cameras {
		if c.Recording {
			n++
		}
	}
	return n
}

// failing says whether a condition of that name fails.
func (r report) failing(name string) bool {
	return slices.ContainsFunc(r.Conditions, func(c condition) bool { return c.Name == name })
}

func (p *play) window(ctx context.Context) (out report, err error) {
	var body json.RawMessage
	if err := p.m.Call(ctx, "get", uml.Get{Path: "/status.json"}, &body); err != nil {
		return out, err
	}
	return out, json.Unmarshal(body, &out)
}

// until asks the window again and again until ok, and returns how long that took. The agent must not end meanwhile.
func (p *play) until(ctx context.Context, limit time.Duration, what string, ok func(report) bool) (time.Duration, error) {
	begun := time.Now()
	for {
		r, err := p.window(ctx)
		if err == nil && ok(r) {
			return time.Since(begun), nil
		}
		if ended := p.b.ended(); ended > 0 {
			return 0, fmt.Errorf("the agent has ended while this was awaited: %s", what)
		}
		if time.Since(begun) > limit {
			return 0, fmt.Errorf("waited %v in vain: %s; last seen %+v (%w)", limit, what, r, cmp.Or(err, errors.New("it answers")))
		}
		if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// ended returns how many programs have ended.
func (b *boot) ended() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.early)
}
