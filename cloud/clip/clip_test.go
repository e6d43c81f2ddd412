package clip_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/cloud/blob"
	"holdfast/cloud/clip"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
	"holdfast/testenv/s3"
)

// site is a room with one far agent.
type site struct {
	*clip.Room
	db    *store.DB
	blobs blob.Store
	ref   agents.Ref
	reply wire.Reply // to a clip's order
	mu    sync.Mutex
	heard []wire.CommandType
}

func (s *site) Command(_ context.Context, agent id.Agent, typ wire.CommandType, _ any) (wire.Reply, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, typ)
	reply := s.reply
	reply.Body = json.RawMessage("{}")
	return reply, nil, nil
}

var quiet = slog.New(slog.DiscardHandler)

func changedNothing(id.Org, id.Site, id.Camera, id.Clip) {}

func newSite(t *testing.T, location string) *site {
	t.Helper()
	blobs, err := blob.Open(t.Context(), location, s3.Env)
	if err != nil {
		t.Fatal(err)
	}
	return roomOn(t, blobs)
}

// roomOn is a room of a site in Madrid.
func roomOn(t *testing.T, blobs blob.Store) *site {
	t.Helper()
	return roomOver(t, blobs, db.SQLite(t))
}

func roomOver(t *testing.T, blobs blob.Store, d *store.DB) *site {
	t.Helper()
	s := &site{db: d, blobs: blobs, ref: agents.Ref{Org: id.New[id.Org](), Site: id.New[id.Site](), Agent: id.New[id.Agent]()}}
	s.Room = clip.New(clip.Config{}, s.db, blobs, s, changedNothing, quiet)
	s.tx(t, func(q store.Querier) error {
		return errors.Join(orgs.Add(t.Context(), q, orgs.Org{ID: s.ref.Org, Name: "Bakery", CreatedUs: 1}),
			orgs.AddSite(t.Context(), q, orgs.Site{ID: s.ref.Site, Org: s.ref.Org, Name: "Harbour", Timezone: "Europe/Madrid", CreatedUs: 1}))
	})
	return s
}

func (s *site) tx(t *testing.T, fn func(q store.Querier) error) {
	t.Helper()
	if err := s.db.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func (s *site) create(t *testing.T) clips.Clip {
	t.Helper()
	now := time.Now().Add(-time.Hour).UnixMicro()
	c, err := s.Create(t.Context(), s.ref.Org, clip.Wish{Site: s.ref.Site, Camera: id.New[id.Camera](), StartUs: now, EndUs: now + 60_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *site) get(t *testing.T, c clips.Clip) clips.Clip {
	t.Helper()
	got, err := clips.Get(t.Context(), s.db.Read(), s.ref.Scope(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func cut(size int) ([]byte, wire.ClipBegin) {
	data := make([]byte, size)
	_, _ = rand.Read(data)
	whole := sha256.Sum256(data)
	b := wire.ClipBegin{Bytes: int64(size), SHA256: whole[:], PartBytes: 5 << 20}
	for at := 0; at < size; at += 5 << 20 {
		sum := sha256.Sum256(data[at:min(at+5<<20, size)])
		b.Parts = append(b.Parts, sum[:])
	}
	return data, b
}

func (s *site) send(t *testing.T, c clips.Clip, p wire.PartPlan, data []byte, corrupt bool) error {
	t.Helper()
	at := (p.Number - 1) * 5 << 20
	body := bytes.Clone(data[at:min(at+5<<20, len(data))])
	if corrupt {
		body[0] ^= 1
	}
	if strings.HasPrefix(p.URL, wire.PathClips) {
		return s.Part(t.Context(), s.ref, c.ID, p.Number, bytes.NewReader(body))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range p.Headers {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

func TestUploadResumesAndIsVerified(t *testing.T) {
	locations := map[string]string{"folder": filepath.Join(t.TempDir(), "clips"), "s3": s3.Start(t).URL("x")}
	for name, location := range locations {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, location)
			c := s.create(t)
			data, begin := cut(12 << 20)
			plan, err := s.Begin(t.Context(), s.ref, c.ID, begin)
			if err != nil || len(plan.Parts) != 3 {
				t.Fatalf("plan %+v, %v", plan, err)
			}
			if err := s.send(t, c, plan.Parts[1], data, true); err == nil {
				t.Fatal("other bytes were taken")
			}
			if err := s.send(t, c, plan.Parts[1], data, false); err != nil {
				t.Fatal(err)
			}
			if err := s.Complete(t.Context(), s.ref, c.ID, wire.ClipComplete{}); err == nil || s.get(t, c).State == wire.ClipStored {
				t.Fatal("completed with parts missing")
			}
			// The agent restarts: only what is missing is asked for.
			if plan, err = s.Begin(t.Context(), s.ref, c.ID, begin); err != nil || len(plan.Parts) != 2 || plan.Parts[0].Number != 1 || plan.Parts[1].Number != 3 {
				t.Fatalf("resumed plan %+v, %v", plan, err)
			}
			for _, p := range plan.Parts {
				if err := s.send(t, c, p, data, false); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := s.Complete(t.Context(), s.ref, c.ID, wire.ClipComplete{}); err != nil {
					t.Fatal(err)
				}
			}
			if got := s.get(t, c); got.State != wire.ClipStored || got.Bytes != int64(len(data)) {
				t.Fatalf("after Complete: %+v", got)
			}
			if plan, err = s.Begin(t.Context(), s.ref, c.ID, begin); err != nil || !plan.Stored {
				t.Fatalf("Begin of a stored clip: %+v, %v", plan, err)
			}
			r, size, _, err := s.Media(t.Context(), s.ref.Scope(), c.ID)
			if err != nil || size != int64(len(data)) {
				t.Fatalf("Media = %d bytes, %v", size, err)
			}
			got, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("media differs (%v)", err)
			}
		})
	}
}

func TestACrashBeforeStoredIsMended(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "clips"))
	c := s.create(t)
	data, begin := cut(1000)
	plan, err := s.Begin(t.Context(), s.ref, c.ID, begin)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.send(t, c, plan.Parts[0], data, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), s.ref, c.ID, wire.ClipComplete{}); err != nil {
		t.Fatal(err)
	}
	// The object is complete, but the row says "uploading", as after a crash between the two.
	err = s.db.Tx(t.Context(), func(q store.Querier) error {
		_, err := q.ExecContext(t.Context(), `UPDATE clip SET state = 'uploading', upload = '' WHERE id = $1`, c.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if plan, err = s.Begin(t.Context(), s.ref, c.ID, begin); err != nil || !plan.Stored || s.get(t, c).State != wire.ClipStored {
		t.Fatalf("Begin = %+v, %v; state %s", plan, err, s.get(t, c).State)
	}
}

func TestOtherSitesAndBadAnnouncements(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "clips"))
	c := s.create(t)
	_, good := cut(1000)
	stranger := s.ref
	stranger.Site = id.New[id.Site]()
	if _, err := s.Begin(t.Context(), stranger, c.ID, good); !isGone(err) {
		t.Errorf("another site began the upload: %v", err)
	}
	if err := s.Part(t.Context(), s.ref, c.ID, 1, strings.NewReader("x")); err == nil {
		t.Error("a part that was not announced was taken")
	}
	for name, change := range map[string]func(*wire.ClipBegin){
		"no bytes":    func(b *wire.ClipBegin) { b.Bytes = 0 },
		"huge":        func(b *wire.ClipBegin) { b.Bytes = 1 << 62 },
		"tiny parts":  func(b *wire.ClipBegin) { b.PartBytes = 1 },
		"zero parts":  func(b *wire.ClipBegin) { b.PartBytes = 0 },
		"no hash":     func(b *wire.ClipBegin) { b.SHA256 = nil },
		"other count": func(b *wire.ClipBegin) { b.Parts = nil },
		"short hash":  func(b *wire.ClipBegin) { b.Parts = [][]byte{{1}} },
	} {
		_, b := cut(1000)
		change(&b)
		if _, err := s.Begin(t.Context(), s.ref, c.ID, b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := s.Delete(t.Context(), s.ref.Scope(), c.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(t.Context(), s.ref, c.ID, good); !isGone(err) {
		t.Errorf("a deleted clip takes bytes: %v", err)
	}
}

func TestRunOrdersAndSweeps(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "clips"))
	kept, dropped := s.create(t), s.create(t)
	if err := s.Delete(t.Context(), s.ref.Scope(), dropped.ID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		gone, err := clips.Deleted(ctx, s.db.Read(), s.ref.Scope())
		if err != nil {
			t.Fatalf("the deleted clip was not swept: %v", err)
		}
		if len(gone) == 0 {
			break
		}
		<-tick.C
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if orders, err := s.Orders(t.Context(), s.ref); err != nil || len(orders) != 1 || orders[0].Clip != kept.ID {
		t.Fatalf("Orders = %+v, %v", orders, err)
	}
}

func TestWishesThatMakeNoSense(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "clips"))
	now := time.Now().UnixMicro()
	for name, w := range map[string]clip.Wish{
		"empty":    {StartUs: now - 10, EndUs: now - 10},
		"reversed": {StartUs: now - 10, EndUs: now - 10_000_000},
		"too long": {StartUs: now - 10*3_600_000_000, EndUs: now},
		"future":   {StartUs: now + 3_600_000_000, EndUs: now + 3_700_000_000},
	} {
		var refusal *clip.Refusal
		if _, err := s.Create(t.Context(), s.ref.Org, w); !errors.As(err, &refusal) {
			t.Errorf("%s: %v, want a refusal in words", name, err)
		}
	}
}

func isGone(err error) bool {
	var r *wire.Refusal
	return errors.As(err, &r) && r.Code == wire.RefusedGone
}
