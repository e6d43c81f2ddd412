package agent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"holdfast/agent/clip"
	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/local"
	"holdfast/agent/pace"
	"holdfast/agent/record"
	"holdfast/agent/retain"
	"holdfast/agent/uplink"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// This file holds what one room needs of another, as the functions and one-method types that they ask for.

func (h *house) diskConfig() disk.Config {
	c := disk.Config{State: h.cfg.Data + string(os.PathSeparator) + "volumes.json"}
	for _, v := range h.cfg.Volumes {
		c.Volumes = append(c.Volumes, disk.Volume{Path: v.Path, Create: true, Free: int64(v.Free), Max: int64(v.Max)})
	}
	return c
}

func (h *house) recordConfig() record.Config {
	c := record.Config{Site: h.me.Site, Key: h.me.EvidenceKey(), BootID: record.BootID(), Version: h.opt.Version, Offset: h.clockOffset}
	for _, s := range h.cameras.Recorded() {
		c.Hubs = append(c.Hubs, h.cameras.Hub(s))
	}
	return c
}

func (h *house) retainConfig() retain.Config {
	c := retain.Config{Limits: map[id.Camera]retain.Limit{}, Ballast: ballast}
	for _, cam := range h.cfg.Cameras {
		c.Limits[h.keys[cam.Key].ID] = retain.Limit{Keep: time.Duration(cam.Keep), Bytes: int64(cam.Max), Share: int(cam.Share)}
	}
	return c
}

// reach is how far back video of a camera goes, or will go at today's rate; 0 when that is not known yet.
func (h *house) reach(cam id.Camera) time.Duration {
	r := h.retain.Report().Cameras[cam]
	reach := time.Duration(r.Days * float64(24*time.Hour))
	if keep := time.Duration(r.KeepUs) * time.Microsecond; keep > 0 && (reach == 0 || keep < reach) {
		reach = keep
	}
	return reach
}

// ballast is what lies beside the ledger for the day on which its disk is full, in bytes: more than its journal
// grows to between two checkpoints.
const ballast = 64 << 20

// clockOffset is the measured error of the site's clock, by the cloud's.
func (h *house) clockOffset() (int64, bool) {
	if h.uplink == nil {
		return 0, false
	}
	s := h.uplink.Status()
	return s.Offset.Microseconds(), s.OffsetKnown
}

func (h *house) knows(cam id.Camera) bool {
	for _, k := range h.keys {
		if k.ID == cam {
			return true
		}
	}
	return false
}

// conditionChanged writes a changed condition into the ledger and asks for a heartbeat.
func (h *house) conditionChanged(c health.Condition) {
	if h.ledger == nil {
		return // the floors themselves are being laid
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := h.ledger.PutCondition(ctx, c); err != nil {
		h.opt.Log.Error("note condition", "name", c.Name, "error", err)
	}
	h.nudge()
}

// nudge asks for a heartbeat.
func (h *house) nudge() {
	select {
	case h.urgent <- struct{}{}:
	default:
	}
}

// states is what is known of every camera.
func (h *house) states() []wire.CameraState {
	states := h.cameras.States()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := h.record.Amend(ctx, states); err != nil {
		h.opt.Log.Warn("look up what is recorded", "error", err)
	}
	kept := h.retain.Report().Cameras
	for i := range states {
		states[i].PTZ = h.nvr.Knows(states[i].Camera)
		if r, known := kept[states[i].Camera]; known {
			states[i].Retention = &r
		}
	}
	return states
}

// rates is how many bytes per second the streams bring that are pulled now.
func (h *house) rates() map[id.Stream]float64 {
	out := map[id.Stream]float64{}
	for _, c := range h.cameras.States() {
		for _, s := range c.Streams {
			out[id.Stream{Camera: c.Camera, Kind: s.Kind}] = s.Kbps * 1000 / 8
		}
	}
	return out
}

// recordedRate is how many bytes per second a recorded stream brings: now, or by its share of the last day.
func (h *house) recordedRate(s id.Stream) float64 {
	for _, c := range h.cameras.States() {
		for _, st := range c.Streams {
			switch {
			case c.Camera != s.Camera || st.Kind != s.Kind || !st.Record:
			case st.Kbps == 0 && st.Kind == id.Main:
				return float64(h.retain.Report().Cameras[s.Camera].DayBytes) / (24 * time.Hour).Seconds()
			default:
				return st.Kbps * 1000 / 8
			}
		}
	}
	return 0
}

func (h *house) nameOf(cam id.Camera) string {
	for _, c := range h.cameras.States() {
		if c.Camera == cam && c.Name != "" {
			return c.Name
		}
	}
	return string(cam)
}

// outageLeast is how long there must be no session before the line counts as carrying nothing.
const outageLeast = 10 * time.Minute

// clipLine is what the line carries, bytes per second, under the cap in force; false while nobody knows.
func (h *house) clipLine() (float64, bool) {
	if s := h.uplink.Status(); !s.Connected {
		return 0, h.clock.Now()-s.SinceUs > outageLeast.Microseconds()
	}
	s := h.pace.State()
	rate := s.Line.Rate
	if s.Cap > 0 && (rate == 0 || float64(s.Cap) < rate) {
		rate = float64(s.Cap)
	}
	return rate, rate > 0
}

func (h *house) hello() wire.Hello {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	hello := wire.Hello{
		Epoch: h.ledger.Epoch(), AgentVer: h.opt.Version, OS: runtime.GOOS + "/" + runtime.GOARCH, Host: host, BootID: record.BootID(),
		Run: h.clock.Run(), UpUs: time.Since(h.started).Microseconds(), WallUs: time.Now().UnixMicro(),
		Cameras: h.states(), Conditions: h.board.Conditions(), Config: h.desired().held(), Local: h.cfg.Local.Listen,
		Holds: h.retain.Report().Holds,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	queues, err := h.ledger.Queues(ctx)
	if err != nil {
		h.opt.Log.Warn("look up queues", "error", err)
	}
	for _, q := range queues {
		hello.Queues = append(hello.Queues, q.Queue)
	}
	return hello
}

// heartbeat reports everything small each time; what changed is the cloud's to find.
func (h *house) heartbeat(bool) wire.Heartbeat {
	h.lookAtClock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return wire.Heartbeat{
		WallUs: time.Now().UnixMicro(), MonoUs: h.clock.Mono(), Cameras: h.states(), Conditions: h.board.Conditions(),
		Disk: h.diskState(ctx), Queue: h.queueState(ctx), Live: h.live.Open(), Holds: h.retain.Report().Holds,
	}
}

// queueState is what waits for the line, and how fast it goes.
func (h *house) queueState(ctx context.Context) wire.QueueState {
	s, err := h.ledger.QueueState(ctx)
	if err != nil {
		h.opt.Log.Warn("look up queue", "error", err)
	}
	s.Losses = h.clips.Losses()
	line := h.pace.State()
	s.FactsMinute, s.LineRate, s.Cap, s.CapText = h.outbox.Minute(), int64(line.Line.Rate), line.Cap, line.Why.Text
	for _, c := range line.Classes {
		s.UpRate += int64(c.Rate)
		switch c.Class {
		case pace.Clips.String():
			s.ClipRate = int64(c.Rate)
		case pace.Stills.String():
			s.Stills = int64(c.Waiting)
		}
	}
	if s.Cap == 0 {
		s.CapText = "" // there is none: nothing is to be explained
	}
	return s
}

// lookAtClock says whether this machine's clock agrees with the cloud's.
func (h *house) lookAtClock() {
	line := h.uplink.Status()
	if !line.OffsetKnown {
		return
	}
	c := health.Condition{Name: "clock", State: wire.OK}
	if text := uplink.ClockText(line.Offset); text != "" {
		c.State, c.Text = wire.Failing, text
	}
	h.board.Set(c)
}

func (h *house) diskState(ctx context.Context) wire.DiskState {
	total, free := h.disk.Space()
	s := wire.DiskState{TotalBytes: total, FreeBytes: free}
	bytes, err := h.ledger.Bytes(ctx)
	if err != nil {
		h.opt.Log.Warn("look up recorded bytes", "error", err)
	}
	s.VideoBytes = bytes
	r := h.retain.Report()
	s.DaysLeft, s.HeldBytes, s.CapacityBytes = r.Days, r.Held, r.Capacity
	return s
}

// releaseHold is what the window asks for.
func (h *house) releaseHold(which id.Hold) error {
	err := h.retain.ReleaseHold(which)
	if errors.Is(err, retain.ErrNoHold) {
		return fmt.Errorf("%w: %w", local.ErrNoHold, err)
	}
	return err
}

func (h *house) opened(session id.Session, w wire.Welcome) {
	h.opt.Log.Info("connected to the cloud", "session", session)
	h.outbox.Opened(w.Marks)
	h.clips.Opened()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if w.Config != nil {
		h.desire(ctx, *w.Config)
	}
	for _, o := range w.Clips {
		if err := h.clips.Order(ctx, o); err != nil {
			h.opt.Log.Warn("take clip order", "clip", o.Clip, "error", err)
		}
	}
}

func (h *house) closed(err error) {
	h.outbox.Closed()
	h.opt.Log.Info("no session with the cloud", "cause", err)
}

func (h *house) outage(o wire.OutageFact) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := h.ledger.PutOutage(ctx, o); err != nil {
		h.opt.Log.Error("note outage", "error", err)
	}
}

// command does what the cloud asks for: the closed list.
func (h *house) command(ctx context.Context, c wire.Command) (any, []byte, error) {
	switch c.Type {
	case wire.CmdLiveOffer:
		return answered(c, func(o wire.LiveOffer) (wire.LiveAnswer, error) { return h.live.Offer(ctx, o) })
	case wire.CmdLiveView:
		return answered(c, func(o wire.LiveView) (wire.LiveAnswer, error) { return h.live.View(ctx, o) })
	case wire.CmdLivePaths:
		return answered(c, func(o wire.LivePaths) (wire.LivePaths, error) { return h.live.Paths(ctx, o) })
	case wire.CmdLiveClose:
		return answered(c, func(o wire.LiveClose) (struct{}, error) { h.live.Close(o.Session); return struct{}{}, nil })
	case wire.CmdTalk:
		return answered(c, func(o wire.TalkOffer) (wire.LiveAnswer, error) { return h.live.Talk(ctx, o) })
	case wire.CmdTalkAsk:
		return answered(c, func(o wire.TalkAsk) (wire.TalkState, error) { return h.live.AskTalk(ctx, o), nil })
	case wire.CmdStill:
		var frame []byte
		reply, _, err := answered(c, func(o wire.StillOrder) (r wire.StillReply, err error) {
			r, frame, err = h.live.Still(ctx, o)
			return r, err
		})
		return reply, frame, err
	case wire.CmdClip:
		return answered(c, func(o wire.ClipOrder) (struct{}, error) { return struct{}{}, h.clips.Order(ctx, o) })
	case wire.CmdClipDrop:
		return answered(c, func(o wire.ClipDrop) (struct{}, error) { return struct{}{}, h.clips.Drop(ctx, o.Clip) })
	case wire.CmdPTZ:
		return answered(c, func(o wire.PTZOrder) (wire.PTZReply, error) { return h.nvr.Do(ctx, o) })
	case wire.CmdConfig:
		return answered(c, func(d wire.DesiredConfig) (wire.ConfigReply, error) { return h.desire(ctx, d), nil })
	default:
		return nil, nil, wire.Fail(wire.FailedRefused, "This agent does not know the command %q.", c.Type)
	}
}

// answered decodes a command's body and does it.
func answered[In, Out any](c wire.Command, do func(In) (Out, error)) (any, []byte, error) {
	var in In
	if err := json.Unmarshal(c.Body, &in); err != nil {
		return nil, nil, wire.Fail(wire.FailedRefused, "The command %q can't be read.", c.Type)
	}
	out, err := do(in)
	return out, nil, err
}

const desiredMeta = "desired"

// desired is the last good desired configuration of the cloud, as the ledger keeps it.
type desired struct {
	wire.DesiredConfig
	Wire int `json:"wire"` // version of the protocol in which it was understood; an agent of version 1 kept none
}

// held is the version that the cloud is told. What an older agent took in may lack what this one understands: the
// cloud sends it again then.
func (d desired) held() int64 {
	if d.Wire < wire.Version {
		return 0
	}
	return d.Version
}

func (h *house) desired() desired {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var d desired
	text, err := h.ledger.Meta(ctx, desiredMeta)
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &d)
	}
	if err != nil {
		h.opt.Log.Warn("read the desired configuration", "error", err)
	}
	return d
}

// desire takes over a desired configuration inside the site's ceilings; an older one is refused.
func (h *house) desire(ctx context.Context, d wire.DesiredConfig) wire.ConfigReply {
	have := h.desired()
	reply := wire.ConfigReply{Version: have.Version}
	if d.Version < have.Version {
		reply.Faults = append(reply.Faults, fmt.Sprintf("version %d is older than %d, which is in force", d.Version, have.Version))
		return reply
	}
	text, err := json.Marshal(desired{d, wire.Version})
	if err == nil {
		err = h.ledger.SetMeta(ctx, desiredMeta, string(text))
	}
	if err != nil {
		reply.Faults = append(reply.Faults, err.Error())
		return reply
	}
	reply.Faults = h.apply(ctx, d)
	reply.Version = d.Version
	return reply
}

// apply gives the rooms their part of a desired configuration and returns what of it can't be done.
func (h *house) apply(ctx context.Context, d wire.DesiredConfig) (faults []string) {
	h.cameras.Apply(d.Cameras)
	h.retain.Apply(d.Cameras)
	h.clips.Apply(d.Cameras)
	faults, err := h.retain.ApplyHolds(ctx, d.Holds)
	if err != nil {
		h.opt.Log.Error("keep the holds of the cloud", "error", err)
		faults = append(faults, "The holds could not be kept: "+err.Error())
	}
	return faults
}

// gapInWords says why a stream has no video at a moment.
func (h *house) gapInWords(ctx context.Context, s id.Stream, atUs int64) string {
	ranges, err := h.ledger.Coverage(ctx, s, atUs, atUs+1)
	if err != nil || len(ranges) == 0 || ranges[0].Gap == nil {
		return ""
	}
	g := ranges[0].Gap
	text := g.Detail
	if text == "" {
		text = "No video: " + strings.ReplaceAll(string(g.Reason), "_", " ") + "."
	}
	if answer := h.fill.Answer(g.ID); answer != "" && h.fill.Asks(s) {
		text += " Other sources of this time: " + answer
	}
	return text
}

// sender is outbox.Sender and outbox.Comparer over the gate, which is made after the outbox.
type sender struct{ h *house }

// SendBatch implements outbox.Sender.
func (s sender) SendBatch(ctx context.Context, b wire.Batch) (wire.Ack, error) {
	return s.h.uplink.SendBatch(ctx, b)
}

// Days implements outbox.Comparer.
func (s sender) Days(ctx context.Context, ask wire.DayAsk) (wire.DayAnswer, error) {
	return s.h.uplink.Days(ctx, ask)
}

// Restate implements outbox.Comparer.
func (s sender) Restate(ctx context.Context, r wire.Restatement) (wire.Restated, error) {
	return s.h.uplink.Restate(ctx, r)
}

// clipSender is clip.Sender over the gate.
type clipSender struct{ h *house }

// Begin implements clip.Sender.
func (s clipSender) Begin(ctx context.Context, c id.Clip, b wire.ClipBegin) (wire.ClipPlan, error) {
	plan, err := s.h.uplink.ClipBegin(ctx, c, b)
	return plan, gone(err)
}

// Put implements clip.Sender.
func (s clipSender) Put(ctx context.Context, p wire.PartPlan, body io.ReadSeeker, size int64, sum []byte) error {
	_, err := s.h.uplink.PutPart(ctx, p, body, size, [sha256.Size]byte(sum))
	return gone(err)
}

// Complete implements clip.Sender.
func (s clipSender) Complete(ctx context.Context, c id.Clip, done wire.ClipComplete) error {
	_, err := s.h.uplink.ClipComplete(ctx, c, done)
	return gone(err)
}

func gone(err error) error {
	var r *wire.Refusal
	if errors.As(err, &r) && r.Code == wire.RefusedGone {
		return clip.ErrGone
	}
	return err
}

// Enrolment is what a person says to join the cloud.
type Enrolment struct {
	Cloud   string // address
	Code    string
	Replace bool // forget the identity that this machine has
}

// Enrol joins the cloud.
func Enrol(ctx context.Context, cfg Config, e Enrolment) (uplink.Identity, error) {
	before := evidenceKeys(cfg.Data)
	me, err := uplink.Enrol(ctx, uplink.EnrolConfig{
		URL: e.Cloud, Code: e.Code, DataDir: cfg.Data, Proxy: uplink.Proxy(cfg.Cloud.Proxy), CAFile: cfg.Cloud.CAFile, Replace: e.Replace,
	})
	if err != nil {
		return me, err
	}
	return me, errors.Join(adopt(cfg.Data, me.Cameras), keepEvidenceKeys(cfg.Data, before))
}

// windowOpened sets the condition of the window.
func (h *house) windowOpened(trouble string) {
	c := health.Condition{Name: "window", State: wire.OK, Text: trouble}
	if trouble != "" {
		c.State = wire.Failing
	}
	h.board.Set(c)
}
