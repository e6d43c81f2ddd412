// Package cloud is the hall of the cloud's house: it opens the floors, joins the rooms and serves the door. It
// holds no logic of its own.
//
// Where to look: agents come in by cloud/gateway, which proves who they are; their facts go through cloud/ingest
// into cloud/store, and what they say of themselves into cloud/fleet, which says why a site is dark and lets
// cloud/alert tell people. People come in by cloud/api, where cloud/access decides what they may; cloud/live
// brokers pictures between them and an agent (its relay gives one copy to many), cloud/clip keeps chosen ranges in cloud/blob. cloud/portal is the
// web app.
package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/alert"
	"holdfast/cloud/api"
	"holdfast/cloud/blob"
	"holdfast/cloud/clip"
	"holdfast/cloud/fleet"
	"holdfast/cloud/gateway"
	"holdfast/cloud/ingest"
	"holdfast/cloud/live"
	"holdfast/cloud/live/relay"
	"holdfast/cloud/live/turn"
	"holdfast/cloud/portal"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/alerts"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Config is what the command line says.
type Config struct {
	Data      string // folder for keys and the embedded defaults
	Listen    string // host:port
	Database  string // file of SQLite or postgres:// URL; empty: cloud.db in Data
	Clips     string // folder or s3:// URL; empty: "clips" in Data
	TLSCert   string // PEM files; empty: plain HTTP, which is taken on loopback only
	TLSKey    string
	PublicURL string         // how browsers and agents reach the cloud; empty: as the browser that asks did
	Proxies   []netip.Prefix // balancers whose X-Forwarded-For is believed
	Plain     bool           // a balancer in front ends TLS: plain HTTP is taken on any address
	ICE       []wire.ICEServer
	Turn      Turn
	Alert     alert.Config
	Grace     time.Duration // after a start, in which no site is called dark; 0 means 150 s
	Version   string
	Log       *slog.Logger
	Env       func(string) string
	// Serving is called once with the address and, when nobody owns the installation yet, the one-time token.
	Serving func(url, setupToken string)
}

// house holds floors and rooms in the order in which they are made.
type house struct {
	cfg Config
	log *slog.Logger

	certificate *certificate // nil for plain HTTP
	db          *store.DB
	blobs       blob.Store
	keys        *gateway.Keys

	bus     *api.Bus
	access  *access.Access
	alert   *alert.Alert
	fleet   *fleet.Fleet
	clips   *clip.Room
	ingest  *ingest.Ingest
	gateway *gateway.Gateway
	turn    *turn.Server  // nil without one
	relay   *relay.Config // nil without one
	live    *live.Broker
	api     *api.API
}

// Run serves until ctx ends, then ends every session in order. It fails when something is wrong at the start: a
// port in use, a database that can't be opened, a certificate that can't be read.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &house{cfg: cfg, log: cfg.Log, bus: api.NewBus()}
	if cfg.TLSCert != "" {
		if h.certificate, err = loadCertificate(cfg.TLSCert, cfg.TLSKey, cfg.Log); err != nil {
			return err
		}
	}
	listener, err := h.listen(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closed(listener.Close())) }()
	if err := h.openTurn(ctx, listener); err != nil {
		return err
	}
	if h.turn != nil {
		defer func() { err = errors.Join(err, closed(h.turn.Close())) }()
	}
	if err := h.floors(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.db.Close()) }()
	if err := h.rooms(); err != nil {
		return err
	}
	if err := h.fleet.Load(ctx); err != nil {
		return err
	}
	token, needed, err := h.access.SetupToken(ctx)
	if err != nil {
		return err
	}
	if !needed {
		token = ""
	}
	return h.serve(ctx, listener, token)
}

func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (h *house) floors(ctx context.Context) error {
	if err := os.MkdirAll(h.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	var err error
	if h.keys, err = gateway.LoadKeys(KeyFile(h.cfg.Data)); err != nil {
		return err
	}
	if h.blobs, err = blob.Open(ctx, Clips(h.cfg.Data, h.cfg.Clips), h.cfg.Env); err != nil {
		return err
	}
	if err := h.blobs.Check(ctx); err != nil {
		return err
	}
	h.db, err = store.Open(ctx, Database(h.cfg.Data, h.cfg.Database))
	return err
}

// KeyFile returns where the cloud's identity lies.
func KeyFile(data string) string { return filepath.Join(data, "cloud.key") }

// Database returns where the database lies.
func Database(data, location string) string {
	if location == "" {
		return filepath.Join(data, "cloud.db")
	}
	return location
}

// Clips returns where clips lie.
func Clips(data, location string) string {
	if location == "" {
		return filepath.Join(data, "clips")
	}
	return location
}

// rooms makes the rooms and passes to each what it needs of the others.
func (h *house) rooms() error {
	var err error
	if h.access, err = access.New(access.Defaults(), h.db, h.log.With("room", "access")); err != nil {
		return err
	}
	if err := h.cfg.Alert.Validate(); err != nil {
		return err
	}
	h.alert = alert.New(h.cfg.Alert, h.db, h.log.With("room", "alert"))
	h.fleet = fleet.New(fleet.Config{Grace: h.cfg.Grace}, h.db, fleet.Deps{
		Log: h.log.With("room", "fleet"), Incident: h.tell, Told: h.alert.Wake, Push: h.push,
		Changed: func(c fleet.Change) {
			h.bus.Publish(api.Changed{Org: c.Org, Site: c.Site, Camera: c.Camera, Kind: c.Kind, ID: c.ID})
		},
	})
	if h.gateway, err = gateway.New(gateway.Config{Version: h.cfg.Version, Proxies: h.cfg.Proxies}, h.db, h.keys, h.hooks(),
		h.log.With("room", "gateway")); err != nil {
		return err
	}
	h.clips = clip.New(clip.Config{}, h.db, h.blobs, h.gateway, h.clipChanged, h.log.With("room", "clip"))
	h.ingest = ingest.New(ingest.Config{}, h.db, ingest.Deps{
		Log: h.log.With("room", "ingest"), Clip: h.clips.Report, Events: h.clips.OnEvents,
		Changed: func(c ingest.Change) {
			h.bus.Publish(api.Changed{Org: c.Org, Site: c.Site, Camera: c.Camera, Kind: c.Kind, ID: c.ID})
		},
	})
	silent := func(session id.Session) { h.api.Silent(session) } // nobody speaks before there is a door
	if h.live, err = live.New(live.Config{ICE: h.cfg.ICE, Turn: h.turn, Relay: h.relay, Silent: silent}, h.gateway, h.log.With("room", "live")); err != nil {
		return err
	}
	return h.door()
}

// door makes the API over the rooms.
func (h *house) door() error {
	cfg := api.Defaults()
	cfg.Version, cfg.PublicURL, cfg.TrustedProxies = h.cfg.Version, h.cfg.PublicURL, h.cfg.Proxies
	cfg.Secure = h.cfg.TLSCert != "" || h.cfg.Plain
	cfg.Commands = enrolCommands
	kept := clipRoom{h.db, h.clips, h.fleet.Site}
	var err error
	h.api, err = api.New(cfg, h.db, h.access, api.Rooms{
		Fleet: fleetRoom{h.fleet}, Agents: agentRoom{h.db, h.gateway}, Coverage: coverageRoom{h.db, h.fleet.Stream},
		Live: liveRoom{h.db, h.live}, Events: eventRoom{h.db}, Clips: kept, Rules: kept, Alerts: alertRoom{h.alert},
	}, h.bus, portal.Handler(), h.log.With("door", "api"))
	return err
}

func enrolCommands(base, code string) api.Commands {
	return api.Commands{
		Linux:   fmt.Sprintf("sudo holdfast-agent enrol --cloud %s %s", base, code),
		Windows: fmt.Sprintf(`& "C:\Program Files\Holdfast\holdfast-agent.exe" enrol --cloud %s %s`, base, code),
	}
}

func (h *house) clipChanged(org id.Org, site id.Site, camera id.Camera, c id.Clip) {
	h.bus.Publish(api.Changed{Org: org, Site: site, Camera: camera, Kind: "clip", ID: string(c)})
	h.bus.Publish(api.Changed{Org: org, Site: site, Camera: camera, Kind: "coverage"})
}

// tell lets alert tell people of an incident, in the transaction that stores it.
func (h *house) tell(ctx context.Context, q store.Querier, incident health.Incident, phase string) error {
	return h.alert.Enqueue(ctx, q, incident, alerts.Phase(phase))
}

// push hands a desired configuration to an agent.
func (h *house) push(ctx context.Context, agent id.Agent, want wire.DesiredConfig) (wire.ConfigReply, error) {
	var out wire.ConfigReply
	reply, _, err := h.gateway.Command(ctx, agent, wire.CmdConfig, want)
	if err == nil && reply.Error != "" {
		err = &wire.Failure{Code: reply.Code, Text: reply.Error}
	}
	if err == nil {
		err = json.Unmarshal(reply.Body, &out)
	}
	return out, err
}

// hooks joins the gateway to the rooms behind it.
func (h *house) hooks() gateway.Hooks {
	return gateway.Hooks{
		Welcome: h.welcome,
		Opened: func(ctx context.Context, ref agents.Ref, hello wire.Hello) {
			h.fleet.Opened(ctx, ref, hello)
			h.clips.Nudge()
		},
		Closed: func(ctx context.Context, ref agents.Ref, why string) { h.fleet.Closed(ctx, ref, why) },
		Heartbeat: func(ctx context.Context, ref agents.Ref, beat wire.Heartbeat, rtt time.Duration) {
			h.fleet.Heartbeat(ctx, ref, beat, rtt)
			h.live.Reported(ref.Agent, beat.Live)
		},
		Batch: func(ctx context.Context, ref agents.Ref, b wire.Batch) (wire.Ack, error) {
			ack, err := h.ingest.Apply(ctx, ref, b)
			if err == nil {
				h.clips.Nudge()
			}
			return ack, err
		},
		Days:    h.days,
		Restate: h.restate,
		ClipBegin: func(ctx context.Context, ref agents.Ref, c id.Clip, b wire.ClipBegin) (wire.ClipPlan, error) {
			return h.clips.Begin(ctx, ref, c, b)
		},
		ClipPart: func(ctx context.Context, ref agents.Ref, c id.Clip, number int, body io.Reader, _ int64) error {
			return h.clips.Part(ctx, ref, c, number, body)
		},
		ClipPiece: func(ctx context.Context, ref agents.Ref, c id.Clip, number, piece int, body io.Reader) error {
			return h.clips.Piece(ctx, ref, c, number, piece, body)
		},
		ClipComplete: func(ctx context.Context, ref agents.Ref, c id.Clip, done wire.ClipComplete) error {
			return h.clips.Complete(ctx, ref, c, done)
		},
		Names:    h.names,
		Cameras:  h.knownCameras,
		Enrolled: h.enrolled,
		Alarm:    h.alarm,
	}
}

// days and restate go through functions of the hall, for ingest is made after the gateway's hooks.
func (h *house) days(ctx context.Context, ref agents.Ref, ask wire.DayAsk) (wire.DayAnswer, error) {
	return h.ingest.Days(ctx, ref, ask)
}

func (h *house) restate(ctx context.Context, ref agents.Ref, r wire.Restatement) (wire.Restated, error) {
	restated, err := h.ingest.Restate(ctx, ref, r)
	if err == nil {
		h.clips.Nudge()
	}
	return restated, err
}

func (h *house) enrolled(ctx context.Context, e gateway.Enrolment) {
	h.log.Info("agent enrolled", "site", e.Site, "agent", e.Agent, "host", e.Host, "by", e.By, "replaced", e.Replaced)
	detail := "on " + e.Host + " (" + e.OS + ")"
	if e.Replaced != "" {
		detail += ", in place of " + string(e.Replaced)
	}
	h.audit(ctx, e.Ref, e.Addr, access.Entry{Deed: access.DeedAgentEnrolled, Target: string(e.Agent), Site: e.Site, Detail: detail})
	h.bus.Publish(api.Changed{Org: e.Org, Site: e.Site, Kind: "site"})
}

func (h *house) alarm(ctx context.Context, a gateway.Alarm) {
	h.log.Error("alarm: "+a.Text, "kind", a.Kind, "site", a.Ref.Site, "agent", a.Ref.Agent, "from", a.Addr, "count", a.Count)
	if a.Ref.Org != "" {
		h.audit(ctx, a.Ref, a.Addr, access.Entry{Deed: access.DeedAgentAlarm, Target: string(a.Ref.Agent), Site: a.Ref.Site, Detail: a.Text})
	}
}

// audit writes a row for what an agent did, rather than a person.
func (h *house) audit(ctx context.Context, ref agents.Ref, addr netip.Addr, e access.Entry) {
	if err := h.access.Record(ctx, access.Actor{Org: ref.Org, IP: addr.String()}, e); err != nil {
		h.log.Error("write audit", "deed", e.Deed, "error", err)
	}
}

func (h *house) knownCameras(ctx context.Context, ref agents.Ref) ([]wire.CameraKey, error) {
	list, err := orgs.Cameras(ctx, h.db.Read(), ref.Scope(), ref.Site)
	var out []wire.CameraKey
	for _, c := range list {
		out = append(out, wire.CameraKey{Camera: c.ID, Channel: c.Channel})
	}
	return out, err
}

func (h *house) names(ctx context.Context, ref agents.Ref) (org, site string, err error) {
	s, err := orgs.GetSite(ctx, h.db.Read(), ref.Scope(), ref.Site)
	if err != nil {
		return "", "", err
	}
	o, err := orgs.Get(ctx, h.db.Read(), ref.Scope(), ref.Org)
	return o.Name, s.Name, err
}

// welcome adds what the rooms have for an agent.
func (h *house) welcome(ctx context.Context, ref agents.Ref, hello wire.Hello) (wire.Welcome, error) {
	var w wire.Welcome
	var err error
	if w.Config, err = h.fleet.Welcome(ctx, ref, hello); err != nil {
		return w, err
	}
	if w.Marks, err = h.ingest.Marks(ctx, ref, hello.Epoch); err != nil {
		return w, err
	}
	w.Clips, err = h.clips.Orders(ctx, ref)
	return w, err
}
