package clip

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/agent/camera"
	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/agent/record"
	"holdfast/shared/backoff"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/fakecam"
)

// TestMain lets many tests run at once: they wait for a camera's real time, not for a processor.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// site records cameras on a real disk and ledger.
type site struct {
	t       *testing.T
	cams    *fakecam.Server
	ids     map[string]id.Camera
	clock   *media.Clock
	key     ed25519.PublicKey
	path    string // of the ledger
	ledger  *ledger.Ledger
	disk    *disk.Disk
	cameras *camera.Cameras
	record  *record.Recorder
	stops   []func() // in the order of starting
}

func newSite(t *testing.T, cams ...fakecam.CameraConfig) *site {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	s := &site{t: t, ids: map[string]id.Camera{}, clock: media.NewClock()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	s.cams, err = fakecam.New(fakecam.Config{Cameras: cams})
	must(err)
	cfg := camera.Config{
		Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Stall: 1500 * time.Millisecond,
		Retry: backoff.Policy{Min: 50 * time.Millisecond, Cap: 200 * time.Millisecond},
	}
	for _, c := range s.cams.Cameras() {
		cam := camera.Camera{ID: id.New[id.Camera](), Name: c.Name()}
		cam.Main, err = camera.NewSource(c.URL("main"), "", "", "tcp")
		must(err)
		s.ids[c.Name()] = cam.ID
		cfg.Cameras = append(cfg.Cameras, cam)
	}
	s.path = filepath.Join(dir, "ledger.db")
	s.ledger, err = ledger.Open(t.Context(), s.path, log)
	must(err)
	board := health.NewBoard(s.clock.Now, nil)
	s.disk, err = disk.Open(disk.Config{
		Volumes: []disk.Volume{{Path: filepath.Join(dir, "video"), Create: true, Free: 1}}, State: filepath.Join(dir, "volumes.json"),
	}, board, log)
	must(err)
	s.cameras, err = camera.New(cfg, s.clock, board, log)
	must(err)
	public, key, err := ed25519.GenerateKey(nil)
	must(err)
	s.key = public
	recording := record.Config{Site: "site-test", Key: key, BootID: "boot-1", Version: "test", Segment: 3 * time.Second}
	for _, name := range s.cameras.Recorded() {
		recording.Hubs = append(recording.Hubs, s.cameras.Hub(name))
	}
	s.record, err = record.New(recording, record.Floors{Ledger: s.ledger, Disk: s.disk, Clock: s.clock, Board: board, Log: log})
	must(err)
	must(s.record.Begin(t.Context()))
	for name, fn := range map[string]func(context.Context) error{"cameras at the site": s.cams.Run, "disk": s.disk.Run} {
		t.Cleanup(run(t, name, fn))
	}
	for name, fn := range map[string]func(context.Context) error{"record": s.record.Run, "camera": s.cameras.Run} {
		s.stops = append(s.stops, run(t, name, fn))
	}
	t.Cleanup(func() {
		s.finish()
		if err := s.disk.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run starts something that lives; stop ends it and waits.
func run(t *testing.T, name string, fn func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := fn(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	return func() { cancel(); done.Wait() }
}

// finish ends the recording in order: every segment is closed and sealed, and the ledger may be copied.
func (s *site) finish() {
	if s.stops == nil {
		return
	}
	for _, stop := range s.stops {
		stop()
	}
	s.stops = nil
	if err := s.ledger.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *site) cam(name string) *fakecam.Camera { return s.cams.Camera(name) }

func (s *site) stream(name string) id.Stream { return id.Stream{Camera: s.ids[name], Kind: id.Main} }

// eventually waits until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// recorded waits until a camera is on disk from some moment on for so long, and returns that moment.
func (s *site) recorded(t *testing.T, name string, d time.Duration) (fromUs int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%v of %s", d, name), func() bool {
		stats, err := s.ledger.StreamStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stat := stats[s.stream(name)]
		fromUs = stat.FirstUs
		return fromUs > 0 && stat.DurableUs-fromUs > d.Microseconds()
	})
	return fromUs
}

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
	d.room, err = New(d.cfg, Deps{
		Ledger: d.ledger, Sender: d.cloud, Now: d.site.clock.Now, Log: slog.New(slog.DiscardHandler),
		Open:   func(volume string, segment uint64) (File, int64, error) { return d.site.disk.OpenRead(volume, segment) },
		Camera: func(cam id.Camera) bool { return slices.Contains(slices.Collect(maps.Values(d.site.ids)), cam) },
	})
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
		batch, err := d.ledger.Pending(d.t.Context(), q.Queue, 1<<20, 1<<30)
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
	eventually(d.t, "the clip to be stored", func() bool { return d.cloud.stored(clip) != nil && d.gone(clip) })
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

// cloud is the far side: it keeps parts in memory and fails as told.
type cloud struct {
	mu    sync.Mutex
	clips map[id.Clip]*upload
	fail  func(op string, part int) error // asked before each operation; nil succeeds
	puts  []int                           // parts that arrived, in order
	bad   []id.Clip                       // never taken
}

type upload struct {
	begin wire.ClipBegin
	parts map[int][]byte
	whole []byte // once it is stored
}

// set makes the cloud fail as fn says.
func (c *cloud) set(fn func(op string, part int) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fn
}

// refuse makes the cloud fail for a clip, for good.
func (c *cloud) refuse(clip id.Clip) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad = append(c.bad, clip)
}

func (c *cloud) ask(op string, part int) error {
	if c.fail == nil {
		return nil
	}
	return c.fail(op, part)
}

func (c *cloud) stored(clip id.Clip) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.clips[clip]; u != nil {
		return u.whole
	}
	return nil
}

// arrived returns the numbers of the parts that came, in order.
func (c *cloud) arrived() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.puts)
}

// Begin implements Sender.
func (c *cloud) Begin(_ context.Context, clip id.Clip, b wire.ClipBegin) (wire.ClipPlan, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ask("begin", 0); err != nil {
		return wire.ClipPlan{}, err
	}
	if slices.Contains(c.bad, clip) {
		return wire.ClipPlan{}, errors.New("this clip can't be taken")
	}
	u := c.clips[clip]
	if u == nil || !bytes.Equal(u.begin.SHA256, b.SHA256) {
		u = &upload{begin: b, parts: map[int][]byte{}}
		c.clips[clip] = u
	}
	plan := wire.ClipPlan{Stored: u.whole != nil}
	for i := range b.Parts {
		if u.whole == nil && u.parts[i+1] == nil {
			plan.Parts = append(plan.Parts, wire.PartPlan{Number: i + 1, URL: string(clip)})
		}
	}
	return plan, nil
}

// Put implements Sender.
func (c *cloud) Put(_ context.Context, p wire.PartPlan, body io.ReadSeeker, size int64, sum []byte) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ask("put", p.Number); err != nil {
		return err
	}
	u := c.clips[id.Clip(p.URL)]
	if got := sha256.Sum256(b); !bytes.Equal(got[:], sum) || int64(len(b)) != size || !bytes.Equal(sum, u.begin.Parts[p.Number-1]) {
		return fmt.Errorf("part %d has %d bytes and another sum than announced", p.Number, len(b))
	}
	u.parts[p.Number] = b
	c.puts = append(c.puts, p.Number)
	return nil
}

// Complete implements Sender.
func (c *cloud) Complete(_ context.Context, clip id.Clip, _ wire.ClipComplete) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ask("complete", 0); err != nil {
		return err
	}
	u := c.clips[clip]
	var whole []byte
	for i := range u.begin.Parts {
		whole = append(whole, u.parts[i+1]...)
	}
	if got := sha256.Sum256(whole); !bytes.Equal(got[:], u.begin.SHA256) || int64(len(whole)) != u.begin.Bytes {
		return errors.New("the clip is not what was announced")
	}
	u.whole = whole
	return nil
}
