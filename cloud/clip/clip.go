// Package clip is the cloud's room of clips: it takes wishes from people and from rules, orders them from the
// agents, receives their bytes by parts, verifies them, and gives them out.
//
// It owns a clip's life in the cloud from "wanted" to "stored". It promises that "stored" is said only after
// size and SHA-256 of the whole object were checked, that an upload goes on where it stopped, and that nothing
// is substituted: where the video is not there, the clip says so. It never talks to a camera and never
// re-encodes.
package clip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"holdfast/cloud/blob"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config bounds the room.
type Config struct {
	MaxLength time.Duration // of one clip; 0 means 2 h
	Link      time.Duration // how long a presigned part is valid; 0 means 15 min
	Resend    time.Duration // how often wanted clips are ordered again; 0 means 30 s
}

// Agents is how commands reach an agent.
type Agents interface {
	// Command sends a command and waits for its reply.
	Command(ctx context.Context, agent id.Agent, typ wire.CommandType, body any) (reply wire.Reply, payload []byte, err error)
}

// Refusal is an error for the person who asked, in words.
type Refusal struct{ Code, Text string }

// Error returns the sentence.
func (r *Refusal) Error() string { return r.Text }

// Refusal returns code and sentence, for the door.
func (r *Refusal) Refusal() (code, text string) { return r.Code, r.Text }

// Room holds no state of its own: all is in the store.
type Room struct {
	cfg     Config
	db      *store.DB
	blobs   blob.Store
	agents  Agents
	changed func(id.Org, id.Site, id.Camera, id.Clip)
	log     *slog.Logger
	wake    chan struct{}
}

// New returns the room. changed is called after each change that people should see.
func New(cfg Config, db *store.DB, blobs blob.Store, far Agents, changed func(id.Org, id.Site, id.Camera, id.Clip), log *slog.Logger) *Room {
	if cfg.MaxLength == 0 {
		cfg.MaxLength = 2 * time.Hour
	}
	if cfg.Link == 0 {
		cfg.Link = 15 * time.Minute
	}
	if cfg.Resend == 0 {
		cfg.Resend = 30 * time.Second
	}
	return &Room{cfg: cfg, db: db, blobs: blobs, agents: far, changed: changed, log: log, wake: make(chan struct{}, 1)}
}

// Wish is a range that somebody chose.
type Wish struct {
	Site    id.Site
	Camera  id.Camera
	Stream  id.StreamKind // empty: main
	StartUs int64
	EndUs   int64
	Title   string
	Person  id.Person
}

// Create records a wish and orders it from the agent, now or when it comes back. The error is a *Refusal when
// the wish makes no sense.
func (r *Room) Create(ctx context.Context, org id.Org, w Wish) (clips.Clip, error) {
	if w.Stream == "" {
		w.Stream = id.Main
	}
	length := time.Duration(w.EndUs-w.StartUs) * time.Microsecond
	switch {
	case length < 100*time.Millisecond:
		return clips.Clip{}, &Refusal{"invalid", "The clip would be empty: choose an end after the start."}
	case length > r.cfg.MaxLength:
		return clips.Clip{}, &Refusal{"invalid", fmt.Sprintf("The clip would be %v long; at most %v are kept in one. Choose a shorter range.",
			length.Round(time.Second), r.cfg.MaxLength)}
	case w.StartUs > time.Now().UnixMicro():
		return clips.Clip{}, &Refusal{"invalid", "The range lies in the future."}
	}
	c := clips.Clip{
		ID: id.New[id.Clip](), Org: org, Site: w.Site, Camera: w.Camera, Stream: w.Stream, Title: w.Title, Audio: true,
		StartUs: w.StartUs, EndUs: w.EndUs, Person: w.Person, State: wire.ClipWanted, CreatedUs: time.Now().UnixMicro(),
	}
	err := r.db.Tx(ctx, func(q store.Querier) error {
		_, err := clips.Insert(ctx, q, c)
		return err
	})
	if err != nil {
		return clips.Clip{}, err
	}
	r.changed(org, c.Site, c.Camera, c.ID)
	r.nudge()
	return c, nil
}

// OnEvent makes the clips that rules choose for an event, inside the caller's transaction. Call Nudge after the
// commit.
func (r *Room) OnEvent(ctx context.Context, q store.Querier, ref agents.Ref, e wire.EventFact) error {
	rules, err := clips.Rules(ctx, q, ref.Scope(), e.Kind)
	if err != nil {
		return err
	}
	for _, rule := range rules {
		camera := rule.Camera
		if camera == "" {
			camera = e.Camera
		}
		if !rule.Enabled || camera == "" || (rule.Site != "" && rule.Site != ref.Site) {
			continue
		}
		end := max(e.EndUs, e.AtUs)
		_, err := clips.Insert(ctx, q, clips.Clip{
			ID: id.New[id.Clip](), Org: ref.Org, Site: ref.Site, Camera: camera, Stream: rule.Stream, Audio: true,
			Title: title(rule, e), StartUs: e.AtUs - int64(rule.PreS)*1_000_000,
			EndUs: min(end, e.AtUs+r.cfg.MaxLength.Microseconds()/2) + int64(max(rule.PostS, 1))*1_000_000,
			Rule:  rule.ID, Event: e.ID, CreatedUs: time.Now().UnixMicro(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func title(rule clips.Rule, e wire.EventFact) string {
	if e.Text != "" {
		return e.Text
	}
	return strings.ReplaceAll(e.Kind, "_", " ") + " (" + rule.Name + ")"
}

// Report applies an agent's word about a clip, inside the caller's transaction.
func (r *Room) Report(ctx context.Context, q store.Querier, ref agents.Ref, f wire.ClipFact) error {
	if f.State == wire.ClipStored {
		return errors.New("only the cloud says that a clip is stored")
	}
	return clips.Report(ctx, q, ref.Scope(), ref.Site, f, time.Now().UnixMicro())
}

// Orders returns what an agent's site is to cut, for its welcome.
func (r *Room) Orders(ctx context.Context, ref agents.Ref) ([]wire.ClipOrder, error) {
	open, err := clips.Open(ctx, r.db.Read(), ref.Scope(), ref.Site)
	if err != nil {
		return nil, err
	}
	var out []wire.ClipOrder
	for _, c := range open {
		out = append(out, c.Order())
	}
	return out, nil
}

// Rename gives a clip another title.
func (r *Room) Rename(ctx context.Context, scope store.Scope, clip id.Clip, title string) error {
	c, err := clips.Get(ctx, r.db.Read(), scope, clip)
	if err != nil {
		return err
	}
	err = r.db.Tx(ctx, func(q store.Querier) error { return clips.Rename(ctx, q, scope, clip, title) })
	if err == nil {
		r.changed(c.Org, c.Site, c.Camera, clip)
	}
	return err
}

// Delete removes a clip for everybody at once; its bytes follow.
func (r *Room) Delete(ctx context.Context, scope store.Scope, clip id.Clip) error {
	c, err := clips.Get(ctx, r.db.Read(), scope, clip)
	if err != nil {
		return err
	}
	err = r.db.Tx(ctx, func(q store.Querier) error { return clips.Delete(ctx, q, scope, clip, time.Now().UnixMicro()) })
	if err == nil {
		r.changed(c.Org, c.Site, c.Camera, clip)
		r.nudge()
	}
	return err
}

// Media opens a stored clip for reading.
func (r *Room) Media(ctx context.Context, scope store.Scope, clip id.Clip) (blob.Reader, int64, clips.Clip, error) {
	c, err := clips.Get(ctx, r.db.Read(), scope, clip)
	if err != nil {
		return nil, 0, c, err
	}
	if c.State != wire.ClipStored {
		return nil, 0, c, &Refusal{"no_video", "The clip is not stored yet: it is " + string(c.State) + "."}
	}
	reader, size, err := r.blobs.Open(ctx, key(c))
	return reader, size, c, err
}

func key(c clips.Clip) string {
	return string(c.Org) + "/" + string(c.Site) + "/" + string(c.ID) + ".mp4"
}

// Nudge makes Run look for wanted clips at once.
func (r *Room) Nudge() { r.nudge() }

func (r *Room) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run orders wanted clips from agents that are connected, and removes the bytes of deleted ones, until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Resend)
	defer tick.Stop()
	for {
		if err := errors.Join(r.order(ctx), r.sweep(ctx)); err != nil && ctx.Err() == nil {
			r.log.Error("look after clips", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.wake:
		}
	}
}

func (r *Room) order(ctx context.Context) error {
	sites, err := clips.WaitingSites(ctx, r.db.Read(), store.System(store.UseWatch))
	if err != nil {
		return err
	}
	for _, site := range sites {
		agent, err := agents.OfSite(ctx, r.db, store.System(store.UseWatch), site)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := r.orderFrom(ctx, agent.Ref); err != nil {
			r.log.Debug("order clips later: the agent is not connected", "site", site, "error", err)
		}
	}
	return nil
}

func (r *Room) orderFrom(ctx context.Context, ref agents.Ref) error {
	open, err := clips.Open(ctx, r.db.Read(), ref.Scope(), ref.Site)
	if err != nil {
		return err
	}
	for _, c := range open {
		if c.State != wire.ClipWanted {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		reply, _, err := r.agents.Command(ctx, ref.Agent, wire.CmdClip, c.Order())
		cancel()
		if err != nil {
			return err
		}
		if reply.Error != "" {
			r.log.Warn("the agent refuses a clip", "clip", c.ID, "error", reply.Error)
		}
	}
	return nil
}

func (r *Room) sweep(ctx context.Context) error {
	scope := store.System(store.UseSweep)
	gone, err := clips.Deleted(ctx, r.db.Read(), scope)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range gone {
		if c.Upload.Handle != "" {
			errs = append(errs, r.blobs.Abort(ctx, key(c), c.Upload.Handle))
		}
		if err := r.blobs.Delete(ctx, key(c)); err != nil {
			errs = append(errs, err)
			continue
		}
		r.tellDropped(ctx, c)
		errs = append(errs, r.db.Tx(ctx, func(q store.Querier) error { return clips.Remove(ctx, q, scope, c.ID) }))
	}
	return errors.Join(errs...)
}

// tellDropped spares an agent that is connected the work; one that is not hears of it when it begins the upload.
func (r *Room) tellDropped(ctx context.Context, c clips.Clip) {
	if c.Final() {
		return
	}
	agent, err := agents.OfSite(ctx, r.db, store.Org(c.Org), c.Site)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, _, err = r.agents.Command(ctx, agent.Agent, wire.CmdClipDrop, wire.ClipDrop{Clip: c.ID})
	}
	if err != nil {
		r.log.Debug("tell agent that a clip was deleted", "clip", c.ID, "error", err)
	}
}
