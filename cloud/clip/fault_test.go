package clip_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/cloud/blob"
	"holdfast/cloud/clip"
	"holdfast/cloud/store/clips"
	"holdfast/shared/wire"
	"holdfast/testenv/s3"
)

// deliver plays the agent: it begins, sends what is missing and completes, again and again until the clip is stored. It
// returns how many parts it sent, and fails when that takes more tries than it may.
func (s *site) deliver(t *testing.T, c clips.Clip, data []byte, b wire.ClipBegin, tries int) (sent int) {
	t.Helper()
	for try := 1; ; try++ {
		n, err := s.tryDeliver(t, c, data, b)
		sent += n
		if err == nil {
			return sent
		}
		if got := s.get(t, c); got.State == wire.ClipStored {
			t.Fatalf("it is called stored after %v", err)
		}
		if try == tries {
			t.Fatalf("not stored after %d tries: %v", tries, err)
		}
	}
}

func (s *site) tryDeliver(t *testing.T, c clips.Clip, data []byte, b wire.ClipBegin) (sent int, err error) {
	t.Helper()
	plan, err := s.Begin(t.Context(), s.ref, c.ID, b)
	if err != nil || plan.Stored {
		return 0, err
	}
	for _, p := range plan.Parts {
		sent++
		if err := s.send(t, c, p, data, false); err != nil {
			return sent, err
		}
	}
	return sent, s.Complete(t.Context(), s.ref, c.ID, wire.ClipComplete{})
}

// holds checks that what is in the store is what was cut.
func (s *site) holds(t *testing.T, c clips.Clip, data []byte) {
	t.Helper()
	if got := s.get(t, c); got.State != wire.ClipStored {
		t.Fatalf("it is %s: %s", got.State, got.Reason)
	}
	r, size, _, err := s.Media(t.Context(), s.ref.Scope(), c.ID)
	if err != nil || size != int64(len(data)) {
		t.Fatalf("Media = %d bytes, %v", size, err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("the object differs: %v", err)
	}
}

// TestFaultsOfTheStore: whatever goes wrong between the cloud, the agent and S3, a clip is stored in the end, never said to
// be stored before, and no more than one part is sent again for each fault.
func TestFaultsOfTheStore(t *testing.T) {
	server := s3.Start(t)
	b := s3.NewBetween(t, server)
	slow, skew := s3.Refuse(http.StatusServiceUnavailable, "SlowDown"), s3.Refuse(http.StatusForbidden, "RequestTimeTooSkewed")
	for name, f := range map[string]struct {
		kind  string
		times int
		how   s3.Spoiler
		again int // parts that may be sent again
	}{
		"down at begin":            {"begin", 4, s3.Down, 0},
		"slow down at begin":       {"begin", 5, slow, 0},
		"slow down at a part":      {"part", 2, slow, 2},
		"wrong clock at a part":    {"part", 2, skew, 2},
		"half a part":              {"part", 2, s3.Half, 2},
		"a part that is not kept":  {"part", 1, s3.Lie, 1},
		"down at the list":         {"parts", 4, s3.Down, 0},
		"slow down at complete":    {"complete", 5, slow, 0},
		"down at complete":         {"complete", 4, s3.Down, 0},
		"wrong clock at complete":  {"complete", 1, skew, 0},
		"down at the verification": {"head", 9, s3.Down, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, b.URL)
			c := s.create(t)
			data, begin := cut(11 << 20)
			b.Set(f.kind, f.times, f.how)
			if sent := s.deliver(t, c, data, begin, 8); sent > len(begin.Parts)+f.again {
				t.Errorf("%d parts were sent, want %d and at most %d again", sent, len(begin.Parts), f.again)
			}
			s.holds(t, c, data)
		})
	}
}

// TestATruncatedObjectIsNoClip: the store says 200 to everything and keeps less. It is seen before "stored" is said, and all
// is sent again.
func TestATruncatedObjectIsNoClip(t *testing.T) {
	server := s3.Start(t)
	b := s3.NewBetween(t, server)
	s := newSite(t, b.URL)
	c := s.create(t)
	data, begin := cut(6 << 20)
	path := server.Object("x/" + string(c.Org) + "/" + string(c.Site) + "/" + string(c.ID) + ".mp4")
	done := false
	b.After = func(kind string) {
		if kind == "complete" && !done {
			done = true
			if err := os.Truncate(path, 5<<20); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := s.tryDeliver(t, c, data, begin); err == nil {
		t.Fatal("a truncated object was taken")
	}
	if got := s.get(t, c); got.State != wire.ClipQueued || !strings.Contains(got.Reason, "sent again") {
		t.Fatalf("it is %s: %q", got.State, got.Reason)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is no clip lies there: %v", err)
	}
	s.deliver(t, c, data, begin, 2)
	s.holds(t, c, data)
}

// TestTheProofNeedsNoDownload: a store that refuses wrong sums proves an object by its composite sum, and one that does not
// is read back.
func TestTheProofNeedsNoDownload(t *testing.T) {
	b := s3.NewBetween(t, s3.Start(t))
	for _, honest := range []bool{true, false} {
		blobs, err := blob.Open(t.Context(), b.URL, s3.Env)
		if err != nil {
			t.Fatal(err)
		}
		if !honest {
			b.Set("put", 1, s3.Lie) // it takes what has another sum
		}
		if err := blobs.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := roomOn(t, blobs)
		c := s.create(t)
		data, begin := cut(6 << 20)
		before := b.Count("get")
		s.deliver(t, c, data, begin, 1)
		if reads := b.Count("get") - before; (reads == 0) != honest {
			t.Errorf("honest %v: the object was fetched %d times to verify it", honest, reads)
		}
		s.holds(t, c, data)
	}
}

// TestTheCloudDiesBeforeItsCommit: the object is complete, and nobody knows. The next begin finds it and proves it.
func TestTheCloudDiesBeforeItsCommit(t *testing.T) {
	server := s3.Start(t)
	b := s3.NewBetween(t, server)
	for name, location := range map[string]string{"s3": b.URL, "folder": filepath.Join(t.TempDir(), "clips")} {
		s := newSite(t, location)
		c := s.create(t)
		data, begin := cut(6 << 20)
		plan, err := s.Begin(t.Context(), s.ref, c.ID, begin)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plan.Parts {
			if err := s.send(t, c, p, data, false); err != nil {
				t.Fatal(err)
			}
		}
		ctx, die := context.WithCancel(t.Context())
		if name == "s3" {
			b.After = func(kind string) {
				if kind == "complete" {
					die()
				}
			}
			if err := s.Complete(ctx, s.ref, c.ID, wire.ClipComplete{}); err == nil {
				t.Fatalf("%s: completed by a cloud that died", name)
			}
			b.After = nil
		} else {
			complete(t, s, c)
		}
		die()
		if got := s.get(t, c); got.State == wire.ClipStored {
			t.Fatalf("%s: it is called stored", name)
		}
		s.restart(t, location)
		if sent := s.deliver(t, c, data, begin, 2); sent != 0 {
			t.Errorf("%s: %d parts were sent again", name, sent)
		}
		s.holds(t, c, data)
	}
}

// complete makes the object behind the room's back.
func complete(t *testing.T, s *site, c clips.Clip) {
	t.Helper()
	c = s.get(t, c)
	var parts []blob.Part
	for i, sum := range c.Upload.Parts {
		parts = append(parts, blob.Part{Number: i + 1, Size: min(c.Upload.PartBytes, c.Bytes-int64(i)*c.Upload.PartBytes), SHA256: [32]byte(sum)})
	}
	if err := s.blobs.Complete(t.Context(), string(c.Org)+"/"+string(c.Site)+"/"+string(c.ID)+".mp4", c.Upload.Handle, parts); err != nil {
		t.Fatal(err)
	}
}

// TestPiecesThroughTheCloud: a part that never passes whole passes in pieces, the cloud may die in between, and a spoilt
// piece is asked for again.
func TestPiecesThroughTheCloud(t *testing.T) {
	locations := map[string]string{"folder": filepath.Join(t.TempDir(), "clips"), "s3": s3.Start(t).URL("x")}
	for name, location := range locations {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, location)
			c := s.create(t)
			data, begin := cut(5<<20 + 300_000)
			begin.Pieces = true
			plan, err := s.Begin(t.Context(), s.ref, c.ID, begin)
			if err != nil || len(plan.Parts) != 2 || len(plan.Parts[0].Pieces) != 20 || len(plan.Parts[1].Pieces) != 2 {
				t.Fatalf("plan %+v, %v", plan, err)
			}
			piece := func(part, n int) []byte {
				at := (part-1)*5<<20 + (n-1)*wire.MaxClipPieceBytes
				return data[at:min(at+wire.MaxClipPieceBytes, part*5<<20, len(data))]
			}
			put := func(part, n int, body []byte) error {
				return s.Piece(t.Context(), s.ref, c.ID, part, n, bytes.NewReader(body))
			}
			for _, bad := range [][2]int{{1, 21}, {1, 0}, {3, 1}, {0, 1}} {
				if err := put(bad[0], bad[1], piece(1, 1)); err == nil {
					t.Errorf("piece %d of part %d was taken", bad[1], bad[0])
				}
			}
			if err := put(1, 1, piece(1, 1)[:1000]); err == nil {
				t.Error("a short piece was taken")
			}
			for n := 1; n < 20; n++ {
				if err := put(1, n, piece(1, n)); err != nil {
					t.Fatal(err)
				}
			}
			s.restart(t, location)
			if plan, err = s.Begin(t.Context(), s.ref, c.ID, begin); err != nil || len(plan.Parts) != 2 || len(plan.Parts[0].Pieces) != 1 {
				t.Fatalf("after a restart: plan %+v, %v", plan, err)
			}
			if got := s.get(t, c); got.Sent != 19*wire.MaxClipPieceBytes {
				t.Errorf("%d bytes are said to have arrived", got.Sent)
			}
			spoilt := bytes.Clone(piece(1, 20))
			spoilt[7] ^= 1
			if err := put(1, 20, spoilt); err == nil {
				t.Fatal("a part of other bytes was put together")
			}
			if plan, err = s.Begin(t.Context(), s.ref, c.ID, begin); err != nil || len(plan.Parts[0].Pieces) != 20 {
				t.Fatalf("after a spoilt piece: plan %+v, %v", plan, err)
			}
			for part, pieces := range map[int]int{1: 20, 2: 2} {
				for n := 1; n <= pieces; n++ {
					if err := put(part, n, piece(part, n)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := s.Complete(t.Context(), s.ref, c.ID, wire.ClipComplete{}); err != nil {
				t.Fatal(err)
			}
			s.holds(t, c, data)
			if kept, err := clips.Pieces(t.Context(), s.db.Read(), s.ref.Scope(), c.ID); err != nil || len(kept) != 0 {
				t.Errorf("pieces are left: %v, %v", kept, err)
			}
		})
	}
}

// TestLinksEnd: a link names its part and is good for a quarter of an hour, and the agent is told so.
func TestLinksEnd(t *testing.T) {
	s := newSite(t, s3.Start(t).URL("x"))
	c := s.create(t)
	_, begin := cut(6 << 20)
	plan, err := s.Begin(t.Context(), s.ref, c.ID, begin)
	if err != nil || plan.ValidUs != 900_000_000 || len(plan.Parts) != 2 {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	for i, p := range plan.Parts {
		u, err := url.Parse(p.URL)
		if err != nil {
			t.Fatal(err)
		}
		if q := u.Query(); q.Get("X-Amz-Expires") != "900" || q.Get("partNumber") != fmt.Sprint(i+1) || !strings.HasSuffix(u.Path, string(c.ID)+".mp4") {
			t.Errorf("the link is %s", p.URL)
		}
	}
}

// restart makes another room over the same rows and objects.
func (s *site) restart(t *testing.T, location string) {
	t.Helper()
	blobs, err := blob.Open(t.Context(), location, s3.Env)
	if err != nil {
		t.Fatal(err)
	}
	s.blobs = blobs
	s.Room = clip.New(clip.Config{}, s.db, blobs, s, changedNothing, quiet)
}
