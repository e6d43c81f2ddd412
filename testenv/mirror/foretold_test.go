package mirror

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	agentclip "holdfast/agent/clip"
	"holdfast/agent/disk"
	agenthealth "holdfast/agent/health"
	"holdfast/cloud/alert"
	"holdfast/cloud/blob"
	cloudclip "holdfast/cloud/clip"
	"holdfast/cloud/fleet"
	"holdfast/cloud/ingest"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/alerts"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
	"holdfast/testenv/line"
)

// forecast is a rig whose site has a room for clips, and whose cloud has those for clips, sites and alerts.
type forecast struct {
	*rig
	rate  atomic.Int64 // that the line carries, bytes per second
	board *agenthealth.Board
	room  *agentclip.Room
	fleet *fleet.Fleet
	clips *cloudclip.Room
	alert *alert.Alert
}

func newForecast(t *testing.T, d *store.DB) *forecast {
	f := &forecast{rig: newRig(t, d)}
	f.enrol()
	quiet := slog.New(slog.DiscardHandler)
	blobs, err := blob.Open(t.Context(), t.TempDir(), nil)
	f.must(err)
	f.alert = alert.New(alert.Config{}, d, quiet)
	_, err = f.alert.Put(t.Context(), f.ref.Scope(), alert.Settings{Emails: []string{"anna@example.com"}})
	f.must(err)
	f.clips = cloudclip.New(cloudclip.Config{}, d, blobs, f, func(id.Org, id.Site, id.Camera, id.Clip) {}, quiet)
	f.in = ingest.New(ingest.Config{}, d, ingest.Deps{Clip: f.clips.Report})
	f.fleet = fleet.New(fleet.Config{Grace: time.Millisecond, Settle: 10 * time.Millisecond, Tick: 10 * time.Millisecond}, d, fleet.Deps{
		Incident: func(ctx context.Context, q store.Querier, i health.Incident, phase string) error {
			return f.alert.Enqueue(ctx, q, i, alerts.Phase(phase))
		},
		Push: func(_ context.Context, _ id.Agent, want wire.DesiredConfig) (wire.ConfigReply, error) {
			f.room.Apply(want.Cameras)
			return wire.ConfigReply{Version: want.Version}, nil
		},
	})
	f.board = agenthealth.NewBoard(func() int64 { return time.Now().UnixMicro() }, nil)
	f.room, err = agentclip.New(agentclip.Config{Dir: t.TempDir(), Free: 1 << 60}, agentclip.Deps{
		Ledger: f.l, Log: quiet, Board: f.board, Now: func() int64 { return time.Now().UnixMicro() },
		Open: func(string, uint64) (agentclip.File, int64, error) { return nil, 0, disk.ErrAbsent },
		Line: func() (float64, bool) { return float64(f.rate.Load()), true },
		Rate: func(s id.Stream) float64 {
			return map[id.StreamKind]float64{id.Main: 500_000, id.Sub: 50_000}[s.Kind]
		},
		Name: func(id.Camera) string { return "Till" }, Camera: func(id.Camera) bool { return true },
		Keep: func(id.Camera) time.Duration { return 24 * time.Hour },
	})
	f.must(err)
	f.must(f.fleet.Load(t.Context()))
	for _, run := range []func(context.Context) error{f.fleet.Run, f.clips.Run, f.room.Run} {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	return f
}

func (f *forecast) enrol() {
	now, ctx := time.Now().UnixMicro(), f.t.Context()
	public, _, err := ed25519.GenerateKey(nil)
	f.must(err)
	code := agents.Code{ID: id.New[id.Code](), Org: f.ref.Org, Site: f.ref.Site, Lookup: string(f.ref.Site)[5:9], Key: make([]byte, 32), CreatedUs: now, ExpiresUs: now + 1e9}
	f.must(agents.PutCode(ctx, f.d, f.ref.Scope(), code))
	_, err = agents.Redeem(ctx, f.d, f.ref.Scope(), code.ID, agents.Agent{
		Ref: f.ref, Key: public, SealKey: make([]byte, 32), EvidenceKey: public, Host: "box", OS: "linux/amd64",
	}, now)
	f.must(err)
}

// Command brings an order to the site.
func (f *forecast) Command(ctx context.Context, _ id.Agent, _ wire.CommandType, body any) (reply wire.Reply, payload []byte, err error) {
	order, ok := body.(wire.ClipOrder)
	if !ok {
		return reply, nil, errors.New("not an order of a clip")
	}
	return reply, nil, f.room.Order(ctx, order)
}

// beat sends a heartbeat, as it crosses the line.
func (f *forecast) beat() {
	f.t.Helper()
	queue, err := f.l.QueueState(f.t.Context())
	f.must(err)
	queue.Losses = f.room.Losses()
	text, err := json.Marshal(wire.Heartbeat{WallUs: time.Now().UnixMicro(), Conditions: f.board.Conditions(), Queue: queue})
	f.must(err)
	var b wire.Heartbeat
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	f.must(d.Decode(&b))
	f.must(b.Tidy())
	f.fleet.Heartbeat(f.t.Context(), f.ref, b, time.Millisecond)
}

// told returns the phases of which an organisation's receiver is told, oldest first.
func (f *forecast) told() string {
	f.t.Helper()
	all, err := f.alert.Deliveries(f.t.Context(), f.ref.Scope(), 100)
	f.must(err)
	out := ""
	for _, d := range all["anna@example.com"] {
		out = string(d.Phase) + " " + out
	}
	return strings.TrimSpace(out)
}

func (f *forecast) incident() health.Incident {
	f.t.Helper()
	list, _, err := health.Incidents(f.t.Context(), f.d.Read(), f.ref.Scope(), health.IncidentFilter{Kind: health.Losing})
	f.must(err)
	if len(list) != 1 {
		return health.Incident{}
	}
	return list[0]
}

// TestALossIsForetoldAndAvoided: a person chooses an hour that the line can't carry before the site deletes it. The site
// foretells that, people are told, one of them lets the camera's clips step down; the site then turns to the sub stream,
// which the clip says at once, and people are told that nothing was lost.
func TestALossIsForetoldAndAvoided(t *testing.T) {
	db.Each(t, func(t *testing.T, d *store.DB) {
		f, ctx := newForecast(t, d), t.Context()
		f.rate.Store(20_000)
		hello := wire.Hello{
			Version: wire.Version, Agent: f.ref.Agent, Site: f.ref.Site, Epoch: f.l.Epoch(), WallUs: time.Now().UnixMicro(),
			Cameras: []wire.CameraState{{Camera: f.camera, Name: "Till", Streams: []wire.StreamState{{Kind: id.Main, Record: true}, {Kind: id.Sub, Record: true}}}},
		}
		_, err := f.fleet.Welcome(ctx, f.ref, hello)
		f.must(err)
		f.fleet.Opened(ctx, f.ref, hello)
		start := time.Now().Add(-20 * time.Hour).UnixMicro()
		f.record(id.Main, start, 60)
		f.record(id.Sub, start, 60)
		f.connect()
		wish, err := f.clips.Create(ctx, f.ref.Org, cloudclip.Wish{Site: f.ref.Site, Camera: f.camera, StartUs: start, EndUs: start + hour, KeepDays: -1})
		f.must(err)
		line.Until(t, "the site to foretell the loss", func() bool {
			f.room.Apply(nil) // looks again
			return len(f.room.Losses()) == 1
		})
		line.Until(t, "people to be told", func() bool { f.beat(); return f.told() == "losing" })
		i := f.incident()
		for _, part := range []string{"Till loses ", " in 4 h (", "unless the line carries ", "takes 180 MB instead of 1800 MB: let its clips step down"} {
			if !strings.Contains(i.Text, part) {
				t.Errorf("the incident lacks %q: %s", part, i.Text)
			}
		}
		if l := f.fleet.Site(f.ref.Scope(), f.ref.Site).Losses; len(l) != 1 || l[0].Name != "Till" || l[0].Bytes != 1.8e9 || l[0].SubBytes != 180e6 {
			t.Errorf("losses %+v", l)
		}
		f.tx(func(q store.Querier) error {
			c, err := orgs.GetCamera(ctx, q, f.ref.Scope(), f.camera)
			c.StepDown = true
			return errors.Join(err, orgs.UpdateCamera(ctx, q, f.ref.Scope(), c))
		})
		f.fleet.Reconfigure(f.ref.Org, f.ref.Site)
		line.Until(t, "the clip to step down", func() bool {
			c, err := clips.Get(ctx, f.d.Read(), f.ref.Scope(), wish.ID)
			f.must(err)
			return c.SteppedDown() && c.State == wire.ClipWanted && c.Reason != ""
		})
		line.Until(t, "people to be told that it is over", func() bool { f.beat(); return f.told() == "losing over" })
		if i := f.incident(); i.Outcome != fleet.Kept || i.SettledUs == 0 {
			t.Errorf("the incident %+v", i)
		}
		if l := f.fleet.Site(f.ref.Scope(), f.ref.Site).Losses; len(l) != 0 {
			t.Errorf("losses %+v", l)
		}
	})
}
