package real

import (
	"crypto/sha256"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/cloud/api"
	"holdfast/testenv/house"
	"holdfast/testenv/netcut"
	"holdfast/testenv/s3"
)

// TestTheStoreIsBad has the clips go to a real S3 server that is gone, asks for patience, finds the clock wrong, takes half
// a part, and keeps less than it says. Each clip is stored in the end, never said to be before it was proven, and in the
// store lie the bytes that the site has cut.
func TestTheStoreIsBad(t *testing.T) {
	server := s3.Start(t)
	far := s3.NewBetween(t, server)
	hop := strings.TrimPrefix(far.Endpoint, "http://")
	wan, err := netcut.New("127.0.0.1:0", hop)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- wan.Run(t.Context()) }()
	t.Cleanup(func() { // the test's context has ended
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	env := []string{"AWS_ACCESS_KEY_ID=" + s3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3.SecretKey}
	b := open(t, house.Setup{Clips: strings.Replace(far.URL, hop, wan.Addr(), 1), Env: env})
	w := &witness{branch: b, server: server}
	far.Before, far.After = w.before, w.after
	slow, skew := s3.Refuse(http.StatusServiceUnavailable, "SlowDown"), s3.Refuse(http.StatusForbidden, "RequestTimeTooSkewed")
	// After three parts in a row that did not pass, the site sends small pieces to the cloud, which sends the part itself:
	// that is another story, so parts are spoilt twice at most.
	times, parts := 1, 1
	if *long {
		times, parts = 4, 2
	}
	b.during(4 * time.Second) // which are recorded: a clip is cut at once
	w.stored("gone", func() { wan.Cut(); b.during(time.Second) }, func() {
		b.during(2 * time.Second)
		if err := wan.Restore(); err != nil {
			t.Fatal(err)
		}
	})
	for _, f := range []struct {
		name, kind string
		times      int
		how        s3.Spoiler
	}{
		{"slow down at begin", "begin", 3 * times, slow}, // one try of the cloud asks three times
		{"slow down at a part", "part", parts, slow},
		{"a wrong clock at a part", "part", parts, skew},
		{"half a part", "part", parts, s3.Half},
		{"slow down at complete", "complete", 3 * times, slow},
	} {
		w.stored(f.name, func() { far.Set(f.kind, f.times, f.how) }, func() {})
		if n := far.Left(f.kind); n > 0 {
			t.Errorf("%s: %d requests were not spoilt: that tests little", f.name, n)
		}
	}
	w.stored("truncated", func() { w.truncate = true }, func() {})
	if w.truncate {
		t.Error("no object was truncated: that tests nothing")
	}
	b.settled(30 * time.Second)
}

// witness watches what is asked of the store for one clip after the other.
type witness struct {
	*branch
	server   *s3.Server
	truncate bool // the next object that is completed loses its end

	mu   sync.Mutex
	clip string
	sum  [sha256.Size]byte // of the file at the site
	size int64
	asks []string    // what was asked of the store for this clip
	puts []time.Time // when parts came
}

// before looks at the clip before the store is asked for something.
func (w *witness) before(kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clip == "" {
		return
	}
	var c api.Clip
	if err := w.house.Owner.Get(w.Context(), "/clips/"+w.clip, &c); err != nil || c.State == "stored" {
		w.Errorf("at %s the clip is %s, %v", kind, c.State, err)
	}
	w.asks = append(w.asks, kind)
	if kind != "part" {
		return
	}
	w.puts = append(w.puts, time.Now())
	text, err := os.ReadFile(filepath.Join(w.site.Data, "clips", w.clip+".mp4"))
	if err != nil {
		w.Errorf("read the clip at the site: %v", err)
	}
	w.sum, w.size = sha256.Sum256(text), int64(len(text))
}

// after takes the end off a complete object, once.
func (w *witness) after(kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.truncate || kind != "complete" {
		return
	}
	w.truncate = false
	if err := os.Truncate(w.object(), w.size/2); err != nil {
		w.Error(err)
	}
}

// object is the path of the clip's object.
func (w *witness) object() string {
	paths, err := filepath.Glob(w.server.Object("x/*/*/" + w.clip + ".mp4"))
	if err != nil || len(paths) != 1 {
		w.Errorf("the store has %d objects of the clip, %v", len(paths), err)
		return ""
	}
	return paths[0]
}

// stored has a fault begin, orders a clip, has the fault end, and holds what is stored in the end against what was cut.
func (w *witness) stored(fault string, begin, end func()) {
	w.Helper()
	begun := time.Now()
	begin()
	w.mu.Lock()
	clip := w.choose(time.Now().Add(-2*time.Second).UnixMicro(), time.Second)
	w.clip, w.asks, w.puts = clip, nil, nil
	w.mu.Unlock()
	end()
	w.branch.stored(clip)
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.clip = "" }()
	w.Logf("%s: stored after %.1f s: %s", fault, time.Since(begun).Seconds(), strings.Join(w.asks, " "))
	if last := w.asks[len(w.asks)-1]; last != "head" {
		w.Errorf("%s: the last that was asked of the store is %s: nothing was proven", fault, last)
	}
	asks := slices.DeleteFunc(slices.Clone(w.asks), func(k string) bool { return k != "part" && k != "parts" })
	for i, k := range asks {
		if k == "part" && (i == 0 || asks[i-1] != "parts") {
			w.Errorf("%s: a part was sent again without a new link: %v", fault, w.asks)
		}
	}
	for i, at := range w.puts {
		if i > 0 && at.Sub(w.puts[i-1]) < 400*time.Millisecond {
			w.Errorf("%s: a part was sent again after %v", fault, at.Sub(w.puts[i-1]))
		}
	}
	text, err := os.ReadFile(w.object())
	if err != nil || sha256.Sum256(text) != w.sum || int64(len(text)) != w.size {
		w.Errorf("%s: the store has %d bytes, the site cut %d, or they differ (%v)", fault, len(text), w.size, err)
	}
}
