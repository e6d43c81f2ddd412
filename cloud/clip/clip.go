// Package clip is the cloud's room of clips: it takes wishes from people and from rules, orders them from the
// agents, receives their bytes by parts, verifies them, gives them out, and lets them go when their time is over.
//
// It owns a clip's life in the cloud from "wanted" to its end. It promises that a rule's clips of one stream never
// send the same moment twice, that an upload goes on where it stopped, and that nothing is substituted: where the
// video is not there, the clip says so and names the nearest. "Stored" is said only of an object that the store
// proves to be the parts which the site announced (blob.Store.Verify tells how): it is not fetched again for that.
// It never talks to a camera, never re-encodes, and no agent ever holds a key of the store.
package clip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/cloud/blob"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config bounds the room.
type Config struct {
	MaxLength time.Duration // of one clip; 0 means 2 h
	MaxMerged time.Duration // of a clip that rules widen: a longer one would come too late; 0 means 15 min
	Link      time.Duration // how long a presigned part is valid; 0 means 15 min
	Resend    time.Duration // how often orders that an agent does not have are sent again; 0 means 30 s
	Tidy      time.Duration // how often what is over is removed; 0 means 10 min
	Orphan    time.Duration // how old an upload is that no clip knows when it is aborted; 0 means a day
}

// SiteGrace is how long the clips of a deleted site can still be seen and downloaded.
const SiteGrace = 30 * 24 * time.Hour

// Agents is how commands reach an agent.
type Agents interface {
	// Command sends a command and waits for its reply.
	Command(ctx context.Context, agent id.Agent, typ wire.CommandType, body any) (reply wire.Reply, payload []byte, err error)
}

var errStored = errors.New("only the cloud says that a clip is stored")

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
	tidied  time.Time // Run's alone
}

// New returns the room. changed is called after each change that people should see.
func New(cfg Config, db *store.DB, blobs blob.Store, far Agents, changed func(id.Org, id.Site, id.Camera, id.Clip), log *slog.Logger) *Room {
	if cfg.MaxLength == 0 {
		cfg.MaxLength = 2 * time.Hour
	}
	if cfg.Link == 0 {
		cfg.Link = 15 * time.Minute
	}
	if cfg.MaxMerged == 0 {
		cfg.MaxMerged = 15 * time.Minute
	}
	if cfg.Tidy == 0 {
		cfg.Tidy = 10 * time.Minute
	}
	if cfg.Orphan == 0 {
		cfg.Orphan = 24 * time.Hour
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
	// Priority and KeepDays are those of the clip; KeepDays as in clips.Clip.
	Priority wire.Priority
	KeepDays int
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
		Priority: w.Priority, KeepDays: w.KeepDays,
	}
	err := r.db.Tx(ctx, func(q store.Querier) error {
		// The same range twice, by a double click or by two people, is one clip.
		around, err := clips.Around(ctx, q, store.Org(org), id.Stream{Camera: w.Camera, Kind: w.Stream}, w.StartUs, w.EndUs)
		for _, known := range around {
			if rangeOf(known) == rangeOf(c) && known.Person != "" && known.Title == c.Title {
				c = known
				return nil
			}
		}
		if err != nil {
			return err
		}
		if err := clips.Insert(ctx, q, c); err != nil {
			return err
		}
		c, err = clips.Get(ctx, q, store.Org(org), c.ID)
		return err
	})
	if err != nil {
		return clips.Clip{}, err
	}
	r.changed(org, c.Site, c.Camera, c.ID)
	r.nudge()
	return c, nil
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

// Patch says what changes of a clip; nil fields stay.
type Patch struct {
	Title    *string
	KeepDays *int
	Priority *wire.Priority
}

// Change gives a clip another title, keep-for or priority. The error is a *Refusal when that can't be.
func (r *Room) Change(ctx context.Context, scope store.Scope, clip id.Clip, p Patch) error {
	var c clips.Clip
	err := r.db.Tx(ctx, func(q store.Querier) (err error) {
		if c, err = clips.Get(ctx, q, scope, clip); err != nil {
			return err
		}
		if p.Title != nil {
			if err := clips.Rename(ctx, q, scope, clip, *p.Title); err != nil {
				return err
			}
		}
		if p.KeepDays == nil && p.Priority == nil {
			return nil
		}
		if _, err := orgs.GetSite(ctx, q, scope, c.Site); errors.Is(err, store.ErrNotFound) {
			return &Refusal{"invalid", "The site was deleted: its clips go with it. Download what you need."}
		}
		if p.KeepDays != nil {
			c.KeepDays = *p.KeepDays
		}
		if p.Priority != nil {
			c.Priority = *p.Priority
		}
		return clips.Change(ctx, q, c, time.Now().UnixMicro())
	})
	if err == nil {
		r.changed(c.Org, c.Site, c.Camera, clip)
		r.nudge()
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
