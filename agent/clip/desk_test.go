package clip

import (
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/eventually"
)

// desk is a room for clips with a cloud of its own. It may be closed and opened again on the same folder and ledger.
type desk struct {
	t      *testing.T
	site   *site
	ledger *ledger.Ledger
	dir    string
	cfg    Config
	part   int64
	cloud  *cloud
	room   *Room
	stop   func()
	more   func(*Deps) // what the test adds
}

func newDesk(t *testing.T, s *site) *desk {
	d := &desk{
		t: t, site: s, ledger: s.ledger, dir: filepath.Join(t.TempDir(), "clips"), cloud: &cloud{clips: map[id.Clip]*upload{}}, part: partBytes,
		cfg: Config{Late: time.Millisecond, Free: 1, Retry: backoff.Policy{Min: 20 * time.Millisecond, Cap: 50 * time.Millisecond}},
	}
	if s.stops == nil {
		d.copyLedger()
	}
	t.Cleanup(d.close)
	return d
}

// copyLedger gives the desk a ledger of its own once the site's is finished: each room sees its own clips alone.
func (d *desk) copyLedger() {
	d.t.Helper()
	b, err := os.ReadFile(d.site.path)
	path := filepath.Join(d.t.TempDir(), "ledger.db")
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err == nil {
		d.ledger, err = ledger.Open(d.t.Context(), path, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := d.ledger.Close(); err != nil {
			d.t.Error(err)
		}
	})
}

// open makes the room and runs it.
func (d *desk) open() *Room {
	d.t.Helper()
	d.cfg.Dir = d.dir
	var err error
	deps := Deps{
		Ledger: d.ledger, Sender: d.cloud, Now: d.site.clock.Now, Log: slog.New(slog.DiscardHandler),
		Open:   func(volume string, segment uint64) (File, int64, error) { return d.site.disk.OpenRead(volume, segment) },
		Camera: func(cam id.Camera) bool { return slices.Contains(slices.Collect(maps.Values(d.site.ids)), cam) },
	}
	if d.more != nil {
		d.more(&deps)
	}
	d.room, err = New(d.cfg, deps)
	if err != nil {
		d.t.Fatal(err)
	}
	d.room.part = d.part
	d.stop = run(d.t, "clips", d.room.Run)
	return d.room
}

func (d *desk) close() {
	if d.stop != nil {
		d.stop()
		d.stop = nil
	}
}

// order wants a range of a camera.
func (d *desk) order(name string, fromUs, toUs int64) wire.ClipOrder {
	return wire.ClipOrder{Clip: id.New[id.Clip](), Camera: d.site.ids[name], Stream: id.Main, StartUs: fromUs, EndUs: toUs, Audio: true}
}

// place hands an order in.
func (d *desk) place(o wire.ClipOrder) {
	d.t.Helper()
	if err := d.room.Order(d.t.Context(), o); err != nil {
		d.t.Fatal(err)
	}
}

// facts returns what was said of a clip, in order.
func (d *desk) facts(clip id.Clip) (out []wire.ClipFact) {
	d.t.Helper()
	queues, err := d.ledger.Queues(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, q := range queues {
		batch, err := d.ledger.Pending(d.t.Context(), q.Queue, 0, 1<<20, 1<<30)
		if err != nil {
			d.t.Fatal(err)
		}
		for _, f := range batch.Facts {
			var fact wire.ClipFact
			if f.Kind != wire.KindClip {
				continue
			}
			if err := json.Unmarshal(f.Body, &fact); err != nil {
				d.t.Fatal(err)
			}
			if fact.Clip == clip {
				out = append(out, fact)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b wire.ClipFact) int { return int(a.AtUs - b.AtUs) })
	return out
}

// said waits until a state was said of a clip, and returns what was said.
func (d *desk) said(clip id.Clip, state wire.ClipState) wire.ClipFact {
	d.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		more := d.ledger.Appended()
		facts := d.facts(clip)
		if i := slices.IndexFunc(facts, func(f wire.ClipFact) bool { return f.State == state }); i >= 0 {
			return facts[i]
		}
		select {
		case <-more:
		case <-limit:
			d.t.Fatalf("waited in vain for the word %q; said %+v", state, facts)
		}
	}
}

// stored waits until a clip is in the cloud and gone from the site, and returns it.
func (d *desk) stored(clip id.Clip) []byte {
	d.t.Helper()
	eventually.True(d.t, "the clip to be stored", func() bool { return d.cloud.stored(clip) != nil && d.gone(clip) })
	return d.cloud.stored(clip)
}

// gone says whether neither the ledger nor the folder knows the clip any more.
func (d *desk) gone(clip id.Clip) bool {
	d.t.Helper()
	_, ok := d.row(clip)
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	return !ok && !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == fileOf(clip) })
}

func (d *desk) row(clip id.Clip) (ledger.Clip, bool) {
	d.t.Helper()
	all, err := d.ledger.Clips(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(c ledger.Clip) bool { return c.Order.Clip == clip })
	if i < 0 {
		return ledger.Clip{}, false
	}
	return all[i], true
}
