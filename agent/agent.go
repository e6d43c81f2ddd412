// Package agent is the hall of the site's house: it reads the configuration and joins the rooms. It holds no
// logic of its own.
//
// Where to look: a camera's frames come in by agent/camera and travel through media.Hub; agent/record turns them
// into files on agent/disk and rows of agent/ledger, each with its outbox row in the same transaction;
// agent/outbox sends the rows through agent/uplink. When the line is cut nothing of this stops but the last
// step. agent/live shows frames to people, agent/clip cuts ranges for them, agent/retain deletes, agent/fill
// fetches what is missing, agent/nvr moves cameras, agent/scrub looks again at what lies on the disk, agent/local is the page for the person
// beside the box.
package agent

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/agent/camera"
	"holdfast/agent/clip"
	"holdfast/agent/disk"
	"holdfast/agent/fill"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/agent/live"
	"holdfast/agent/live/restream"
	"holdfast/agent/local"
	"holdfast/agent/media"
	"holdfast/agent/nvr"
	"holdfast/agent/outbox"
	"holdfast/agent/pace"
	"holdfast/agent/record"
	"holdfast/agent/retain"
	"holdfast/agent/scrub"
	"holdfast/agent/uplink"
)

//go:embed holdfast.yaml
var sample string

// Sample returns the commented configuration.
func Sample() string { return sample }

// Options are what the program around the hall gives it.
type Options struct {
	Version string
	Log     *slog.Logger
	Ready   func() // called once, when recording has begun; may be nil
}

// house holds the floors, the rooms, the gate and the window, in the order in which they are made.
type house struct {
	cfg     Config
	opt     Options
	started time.Time
	me      uplink.Identity
	keys    map[string]cameraKey // by the key of the configuration

	clock  *media.Clock
	ledger *ledger.Ledger
	board  *health.Board
	disk   *disk.Disk
	pace   *pace.Pace

	holds     *retain.Holds
	reclaimed []disk.Found // segments that went before the ledger could be opened

	cameras  *camera.Cameras
	nvr      *nvr.Room
	record   *record.Recorder
	retain   *retain.Sweeper
	fill     *fill.Filler
	scrub    *scrub.Scrubber
	clips    *clip.Room
	live     *live.Room
	restream *restream.Server // nil without one
	outbox   *outbox.Outbox
	uplink   *uplink.Uplink
	local    *local.Local

	urgent chan struct{} // asks the gate for a heartbeat at once
}

// Run runs the agent until ctx ends, then shuts down in order within about 20 s. It fails when something is
// wrong that no room can mend: no identity, no ledger.
func Run(ctx context.Context, cfg Config, opt Options) (err error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	h := &house{cfg: cfg, opt: opt, started: time.Now(), clock: media.NewClock(), urgent: make(chan struct{}, 1)}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	unlock, err := lock(filepath.Join(cfg.Data, "agent.lock"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if h.me, err = uplink.LoadIdentity(cfg.Data); err != nil {
		return err
	}
	if h.keys, err = loadKeys(cfg); err != nil {
		return err
	}
	if err := h.floors(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.disk.Close(), h.ledger.Close()) }()
	if err := h.rooms(); err != nil {
		return err
	}
	if err := h.gates(); err != nil {
		return err
	}
	opt.Log.Info("agent begins", "version", opt.Version, "site", h.me.SiteName, "cameras", len(cfg.Cameras), "data", cfg.Data)
	return h.run(ctx)
}

// floors opens what everybody stands on. A full disk is relieved first, so that the ledger can be opened.
func (h *house) floors(ctx context.Context) error {
	log := h.opt.Log
	h.board = health.NewBoard(h.clock.Now, h.conditionChanged)
	h.pace = pace.New(h.cfg.Line.plan())
	var err error
	if h.disk, err = disk.Open(h.diskConfig(), h.board, log.With("floor", "disk")); err != nil {
		return err
	}
	if h.holds, err = retain.OpenHolds(filepath.Join(h.cfg.Data, "holds.json")); err != nil {
		return errors.Join(err, h.disk.Close())
	}
	reclaimed, err := retain.Reclaim(h.disk, h.holds, log.With("room", "retain"))
	if err != nil {
		log.Error("make room on the disk before the start", "error", err)
	}
	h.reclaimed = reclaimed
	if err := finishRebuild(h.cfg.Data); err != nil {
		return errors.Join(err, h.disk.Close())
	}
	if h.ledger, err = ledger.Open(ctx, filepath.Join(h.cfg.Data, ledgerFile), log.With("floor", "ledger")); err != nil {
		return errors.Join(err, h.disk.Close())
	}
	return nil
}

// rooms makes the rooms and passes to each what it needs of the others.
func (h *house) rooms() error {
	log := h.opt.Log
	var err error
	if h.cameras, err = camera.New(h.cameraConfig(), h.clock, h.board, log.With("room", "camera")); err != nil {
		return err
	}
	devices, err := h.devices()
	if err != nil {
		return err
	}
	h.nvr = nvr.New(devices, h.cameras.Off, log.With("room", "nvr"))
	floors := record.Floors{Ledger: h.ledger, Disk: h.disk, Clock: h.clock, Board: h.board, Log: log.With("room", "record")}
	if h.record, err = record.New(h.recordConfig(), floors); err != nil {
		return err
	}
	if h.retain, err = retain.New(h.retainConfig(), h.holds, retain.Floors{
		Ledger: h.ledger, Disk: h.disk, Clock: h.clock, Board: h.board, Log: log.With("room", "retain"),
	}); err != nil {
		return err
	}
	fillConfig, err := h.fillConfig()
	if err != nil {
		return err
	}
	h.fill = fill.New(fillConfig, fill.Floors{Ledger: h.ledger, Disk: h.disk, Clock: h.clock, Log: log.With("room", "fill")})
	h.scrub = scrub.New(scrub.Config{}, scrub.Floors{Ledger: h.ledger, Disk: h.disk, Board: h.board, Log: log.With("room", "scrub")})
	h.clips, err = clip.New(clip.Config{Dir: filepath.Join(h.cfg.Data, "clips")}, clip.Deps{
		Ledger: h.ledger, Sender: clipSender{h}, Now: h.clock.Now, Camera: h.knows, Log: log.With("room", "clip"),
		Keep: h.reach, Board: h.board, Line: h.clipLine, Rate: h.recordedRate, Name: h.nameOf,
		Open: func(volume string, segment uint64) (clip.File, int64, error) { return h.disk.OpenRead(volume, segment) },
	})
	if err != nil {
		return err
	}
	roots, err := uplink.Authorities(h.cfg.Cloud.CAFile)
	if err != nil {
		return err
	}
	h.live, err = live.New(live.Config{
		Port: h.cfg.Live.Port, Loopback: h.cfg.Live.Loopback, LAN: h.cfg.Live.LAN, Authorities: roots,
		Connect: uplink.Proxy(h.cfg.Cloud.Proxy).Connect, Convert: live.Convert(h.cfg.Live.Convert),
	}, live.Footage{
		Hub: h.cameras.Hub, Recent: h.record.Recent, Segments: h.ledger.Segments, Wall: h.clock.WallIn, Gap: h.gapInWords, Pin: h.disk.Pin,
		Rates: h.rates, Offset: h.clockOffset, KeyFrame: h.nvr.KeyFrame, Ahead: h.cameras.Ahead, Own: h.cameras.Own, Speaker: h.speaker, TalkEnded: h.nudge,
		Open: func(volume string, segment uint64) (live.File, int64, error) { return h.disk.OpenRead(volume, segment) },
	}, h.pace, h.board, log.With("room", "live"))
	if rtsp := h.cfg.Live.RTSP.config(); rtsp.Listen != "" {
		h.restream = restream.New(rtsp, restream.Deps{Find: h.cameraCalled, Hub: h.cameras.Hub, Wall: h.clock.WallIn}, log.With("room", "restream"))
	}
	return err
}

// gates makes what leads out: the outbox, the gate to the cloud and the window on the LAN.
func (h *house) gates() error {
	log := h.opt.Log
	h.outbox = outbox.New(outbox.Config{}, h.ledger, sender{h}, sender{h}, log.With("room", "outbox"))
	var err error
	h.uplink, err = uplink.New(uplink.Config{Proxy: uplink.Proxy(h.cfg.Cloud.Proxy), CAFile: h.cfg.Cloud.CAFile}, h.me, h.pace, uplink.Deps{
		Hello: h.hello, Heartbeat: h.heartbeat, Urgent: h.urgent, Opened: h.opened, Closed: h.closed, Outage: h.outage, Command: h.command,
	}, log.With("gate", "uplink"))
	if err != nil {
		return err
	}
	if h.cfg.Local.Listen == "off" {
		return nil
	}
	token, err := localToken(h.cfg.Data)
	if err != nil {
		return err
	}
	h.local, err = local.New(local.Config{Listen: h.cfg.Local.Listen, Names: h.cfg.Local.Names, Token: token, Version: h.opt.Version}, local.Deps{
		Status: h.status, PutEvent: h.ledger.PutEvent, AddHold: h.retain.AddHold, ReleaseHold: h.releaseHold, Known: h.knows,
		Opened: h.windowOpened, Now: h.clock.Now, Log: log.With("window", "local"),
	})
	return err
}

// run starts what lives, and ends it in the reverse order: people first, then cameras and the recorder, which
// closes its segments, then what carries the last facts out, and the floors at the end.
func (h *house) run(ctx context.Context) error {
	if err := h.retain.Forget(ctx, h.reclaimed); err != nil {
		return err
	}
	if err := h.record.Begin(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	h.apply(ctx, h.desired().DesiredConfig)
	base := context.WithoutCancel(ctx)
	floors, stopFloors := stage(base)
	out, stopOut := stage(base)
	recording, stopRecording := stage(base)
	people, stopPeople := stage(base)
	failed := make(chan error, 16)
	start := func(g *errgroup.Group, ctx context.Context, name string, run func(context.Context) error) {
		g.Go(func() error {
			err := run(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
				select {
				case failed <- err:
				default:
				}
			}
			return err
		})
	}
	start(floors.group, floors.ctx, "disk", h.disk.Run)
	start(out.group, out.ctx, "pace", h.pace.Run)
	start(out.group, out.ctx, "outbox", h.outbox.Run)
	start(out.group, out.ctx, "uplink", h.uplink.Run)
	start(recording.group, recording.ctx, "record", h.record.Run)
	start(recording.group, recording.ctx, "retain", h.retain.Run)
	start(recording.group, recording.ctx, "fill", h.fill.Run)
	start(recording.group, recording.ctx, "camera", h.cameras.Run)
	start(people.group, people.ctx, "clip", h.clips.Run)
	start(people.group, people.ctx, "live", h.live.Run)
	start(people.group, people.ctx, "nvr", h.nvr.Run)
	if h.restream != nil {
		start(people.group, people.ctx, "restream", h.restream.Run)
	}
	start(people.group, people.ctx, "scrub", h.scrub.Run)
	if h.local != nil {
		start(people.group, people.ctx, "local", h.local.Run)
	}
	people.group.Go(func() error { return h.ready(people.ctx) })
	var cause error
	select {
	case <-ctx.Done():
		h.opt.Log.Info("agent ends")
	case cause = <-failed:
		h.opt.Log.Error("agent ends: something that it can't do without failed", "error", cause)
	}
	return errors.Join(cause, h.stop(stopPeople, stopRecording, stopOut, stopFloors))
}

// ready says that recording has begun, once the window answers too or has said why it can't.
func (h *house) ready(ctx context.Context) error {
	if h.local != nil {
		select {
		case <-h.local.Tried():
		case <-ctx.Done():
			return nil
		}
	}
	if h.opt.Ready != nil {
		h.opt.Ready()
	}
	return nil
}

// stop ends the stages in order, each within its budget.
func (h *house) stop(stages ...func(time.Duration) error) error {
	budgets := []time.Duration{3 * time.Second, 8 * time.Second, 3 * time.Second, 5 * time.Second}
	var errs []error
	for i, end := range stages {
		errs = append(errs, end(budgets[i]))
	}
	return errors.Join(errs...)
}

// floor of a stage: what is started and ended together.
type staged struct {
	ctx   context.Context
	group *errgroup.Group
}

// stage returns a stage and the function that ends it and waits for it, for so long at most.
func stage(base context.Context) (staged, func(time.Duration) error) {
	ctx, cancel := context.WithCancel(base)
	s := staged{ctx: ctx, group: &errgroup.Group{}}
	return s, func(budget time.Duration) error {
		cancel()
		done := make(chan error, 1)
		go func() { done <- s.group.Wait() }()
		limit := time.NewTimer(budget)
		defer limit.Stop()
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-limit.C:
			return fmt.Errorf("did not end within %v", budget)
		}
	}
}
