package real

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/shared/wire"
	"holdfast/testenv/house"
)

// TestTheLineIsDown has the line cut while events happen and a clip is wanted. When it is back all of it reaches the
// cloud, and what happens then does not wait behind it.
func TestTheLineIsDown(t *testing.T) {
	b := open(t, house.Setup{})
	b.ring(3)
	from := time.Now().UnixMicro()
	b.site.Line.Cut()
	b.ring(200)
	b.during(6 * time.Second)
	clip := b.choose(from, 3*time.Second)
	b.restore()
	b.until(40*time.Second, "the agent is back", func(ctx context.Context) (bool, error) { return connected(ctx, b.site) })
	begun := time.Now()
	b.ring(1)
	b.until(10*time.Second, "a new event reaches the portal", func(ctx context.Context) (bool, error) {
		got, err := b.told(ctx)
		return err == nil && len(got) > 0 && got[len(got)-1] == b.rung[len(b.rung)-1], err
	})
	if late := time.Since(begun); late > 5*time.Second {
		t.Errorf("an event that happened after the outage took %v", late)
	}
	b.stored(clip)
	b.settled(30 * time.Second)
}

// TestTheLineFlaps has a line that is up for some seconds and down for some, again and again, while a clip is wanted. In
// each time up there is one session at most, and of the clip no more goes twice than one part for each flap.
func TestTheLineFlaps(t *testing.T) {
	flaps, up, down, length, setup := 5, time.Second, 700*time.Millisecond, 2*time.Second, house.Setup{}
	if *long {
		flaps, up, down, length = 20, 10*time.Second, 20*time.Second, 60*time.Second
		setup.Branches = heavy(t) // a clip of many parts
	}
	b := open(t, setup)
	before := b.site.Line.Stats().Up
	clip := b.choose(time.Now().UnixMicro(), length)
	sessions := b.sessions()
	for range flaps {
		b.during(up)
		b.site.Line.Cut()
		// The word of the last one may come a moment after the cut.
		b.until(10*time.Second, "the agent sees the cut", func(ctx context.Context) (bool, error) {
			ok, err := connected(ctx, b.site)
			return !ok, err
		})
		now := b.sessions()
		if n := now - sessions; n > 1 {
			t.Errorf("%d sessions were opened in %v", n, up)
		}
		sessions = now
		b.during(down)
		b.restore()
		if *long {
			b.site.Line.Cap(600_000) // a part needs most of the time
		}
	}
	b.restore()
	b.stored(clip)
	b.inOrder(60 * time.Second)
	b.resent(clip, b.site.Line.Stats().Up-before, flaps)
	b.settled(60 * time.Second)
}

// sessions counts the sessions that the agent has had.
func (b *branch) sessions() int {
	b.Helper()
	text, err := os.ReadFile(b.site.Agent.Log)
	if err != nil {
		b.Fatal(err)
	}
	return strings.Count(string(text), "session with the cloud opened")
}

// resent holds what the line has carried against the clip, of which one part may go again for each cut.
func (b *branch) resent(clip string, carried int64, cuts int) {
	b.Helper()
	const part = 5 << 20
	var c struct{ Bytes int64 }
	if err := b.house.Owner.Get(b.Context(), "/clips/"+clip, &c); err != nil || c.Bytes == 0 {
		b.Fatalf("a clip of %d bytes, %v", c.Bytes, err)
	}
	// Handshakes, heartbeats and events: a tenth of a part for each session is much.
	beside := int64(cuts+1) * part / 10
	again := carried - c.Bytes - beside
	b.Logf("flap_resent: %.2f parts a flap (a clip of %d bytes, %d carried, %d flaps)", max(float64(carried-c.Bytes), 0)/float64(cuts)/part, c.Bytes, carried, cuts)
	if most := int64(cuts) * min(part, c.Bytes); again > most {
		b.Errorf("%d bytes went again in %d flaps, want %d at most", again, cuts, most)
	}
}

// TestABadLine has a line of 256 kbit/s and 600 ms there and back: the site never looks dark, and loses nothing.
func TestABadLine(t *testing.T) {
	b := open(t, house.Setup{})
	b.site.Line.Delay(300 * time.Millisecond)
	b.site.Line.Cap(256_000 / 8)
	clip := b.choose(time.Now().UnixMicro(), 3*time.Second)
	length := 8 * time.Second
	if *long {
		length = 2 * time.Minute
	}
	var dark []string
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { dark = b.darkness(ctx) })
	b.ring(100)
	b.during(length)
	stop()
	watching.Wait()
	if len(dark) > 0 {
		t.Errorf("the portal called the site %s", strings.Join(dark, ", "))
	}
	b.stored(clip)
	b.settled(30 * time.Second)
}

// darkness collects what the portal says of a site other than that it is connected.
func (b *branch) darkness(ctx context.Context) (out []string) {
	for ctx.Err() == nil {
		var site struct {
			Status string
			Agent  struct{ Connected bool }
		}
		err := b.house.Owner.Get(context.WithoutCancel(ctx), "/sites/"+string(b.site.ID), &site)
		if err != nil || site.Status == "dark" || !site.Agent.Connected {
			out = append(out, fmt.Sprintf("%s (%v)", site.Status, err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return out
}

// choose orders a clip of the camera.
func (b *branch) choose(fromUs int64, length time.Duration) string {
	b.Helper()
	ids, err := b.site.CameraIDs()
	if err != nil {
		b.Fatal(err)
	}
	var c struct{ ID string }
	for _, camera := range ids {
		if err := b.house.Owner.Post(b.Context(), "/clips", map[string]any{
			"camera": camera, "start_us": fromUs, "end_us": fromUs + length.Microseconds(), "title": "Chosen",
		}, &c); err != nil {
			b.Fatal(err)
		}
	}
	return c.ID
}

// stored waits until a clip is in the cloud.
func (b *branch) stored(clip string) {
	b.Helper()
	var c struct{ State, Reason string }
	b.until(60*time.Second, "the clip is stored", func(ctx context.Context) (bool, error) {
		err := b.house.Owner.Get(ctx, "/clips/"+clip, &c)
		if c.State == "lost" || c.State == "unavailable" {
			return false, fmt.Errorf("the clip is %s: %s", c.State, c.Reason)
		}
		return c.State == "stored", err
	})
}

// TestAcksAreLost has something between that loses every other answer to a batch after the cloud's commit, and sends
// every third batch twice.
func TestAcksAreLost(t *testing.T) {
	b := open(t, house.Setup{})
	far, err := url.Parse(b.house.URL)
	if err != nil {
		t.Fatal(err)
	}
	between := &mangler{proxy: httputil.NewSingleHostReverseProxy(far), far: b.house.URL}
	server := httptest.NewServer(between)
	defer server.Close()
	b.site.Line.Aim(strings.TrimPrefix(server.URL, "http://"))
	b.site.Line.Drop()
	b.during(8 * time.Second)
	b.site.Line.Aim(far.Host)
	b.site.Line.Drop()
	if lost, twice := between.counts(); lost < 2 || twice < 1 {
		t.Errorf("%d answers were lost and %d batches came twice: that tests nothing", lost, twice)
	}
	b.settled(60 * time.Second)
}

// mangler is an HTTP hop that loses answers and repeats requests.
type mangler struct {
	proxy *httputil.ReverseProxy
	far   string

	mu                 sync.Mutex
	batch, lost, twice int
}

func (m *mangler) counts() (lost, twice int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lost, m.twice
}

// ServeHTTP passes a request on.
func (m *mangler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != wire.PathBatch {
		m.proxy.ServeHTTP(w, r)
		return
	}
	m.mu.Lock()
	m.batch++
	lose, repeat := m.batch%2 == 0, m.batch%3 == 0
	if lose {
		m.lost++
	}
	if repeat {
		m.twice++
	}
	m.mu.Unlock()
	answer := httptest.NewRecorder()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	send := func(into http.ResponseWriter) {
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		m.proxy.ServeHTTP(into, again)
	}
	send(answer)
	if repeat {
		send(httptest.NewRecorder()) // refused or skipped: nobody waits for this answer
	}
	if lose {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the agent asks again
}

// TestTheCloudIsOlderThanItWas kills the cloud and starts it from a backup of before: the site tells the rest again.
func TestTheCloudIsOlderThanItWas(t *testing.T) {
	b := open(t, house.Setup{})
	b.ring(20)
	b.until(20*time.Second, "the first events reach the cloud", func(ctx context.Context) (bool, error) {
		got, err := b.told(ctx)
		return len(got) == 20, err
	})
	backup, data := filepath.Join(b.house.Dir, "backup"), filepath.Join(b.house.Dir, "cloud")
	b.cloud("backup", "--data", data, backup)
	b.ring(20)
	b.until(20*time.Second, "more events reach the cloud", func(ctx context.Context) (bool, error) {
		got, err := b.told(ctx)
		return len(got) == 40, err
	})
	if err := b.house.Cloud.Kill(); err != nil {
		t.Fatal(err)
	}
	b.ring(20)
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	b.cloud("restore", "--data", data, backup)
	if err := b.house.StartCloud(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.house.Owner.SignIn(t.Context(), house.OwnerEmail, house.OwnerPassword); err != nil {
		t.Fatal(err)
	}
	b.settled(60 * time.Second)
}

// cloud runs one command of the cloud's program.
func (b *branch) cloud(args ...string) {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), filepath.Join(b.house.Dir, "bin", "holdfast-cloud"), args...).CombinedOutput()
	if err != nil {
		b.Fatalf("holdfast-cloud %v: %v\n%s", args, err, out)
	}
}

// TestAMachineIsCloned starts a copy of the site's machine beside it: the copy is kept away and says so, and nothing of
// it reaches the cloud.
func TestAMachineIsCloned(t *testing.T) {
	b := open(t, house.Setup{})
	b.ring(10)
	copied := filepath.Join(t.TempDir(), "data")
	if err := b.site.Agent.Stop(25 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(copied, os.DirFS(b.site.Data)); err != nil {
		t.Fatal(err)
	}
	if err := b.site.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.until(20*time.Second, "the site is connected", func(ctx context.Context) (bool, error) { return connected(ctx, b.site) })
	clone := b.clone(copied)
	b.during(time.Second)
	b.until(40*time.Second, "the copy is kept away", func(ctx context.Context) (bool, error) {
		status, err := clone.Status(ctx)
		text, _ := json.Marshal(status["cloud"])
		if is, _ := connected(ctx, clone); is {
			return false, fmt.Errorf("the copy has a session: %s", text)
		}
		return strings.Contains(string(text), "copy"), err
	})
	if err := clone.Event(t.Context(), map[string]any{"kind": "door_opened", "text": "of the copy"}); err != nil {
		t.Fatal(err)
	}
	b.during(2 * time.Second)
	if ok, err := connected(t.Context(), b.site); !ok || err != nil {
		t.Errorf("the machine itself lost its session: %v", err)
	}
	if err := clone.Agent.Stop(25 * time.Second); err != nil {
		t.Error(err)
	}
	b.settled(30 * time.Second)
}

// clone starts an agent on a copied data folder.
func (b *branch) clone(data string) *house.Site {
	b.Helper()
	addr, err := house.FreeAddr(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	c := *b.site
	c.Data, c.Local = data, "http://"+addr
	c.Config = filepath.Join(b.TempDir(), "holdfast.yaml")
	if err := c.WriteConfig(nil); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), filepath.Join(b.house.Dir, "bin", "holdfast-agent"), "run", "--config", c.Config)
	if c.Agent, err = house.Spawn("clone", filepath.Join(b.house.Dir, "clone.log"), cmd); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Agent.Kill() })
	b.until(30*time.Second, "the copy's window answers", func(ctx context.Context) (bool, error) {
		_, err := c.Status(ctx)
		return err == nil, c.Agent.Alive()
	})
	return &c
}
