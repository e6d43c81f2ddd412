package blob_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/blob"
	"holdfast/testenv/s3"
)

const minPart = 5 << 20 // the smallest part that S3 takes, but for the last

// each runs the conformance suite's fn on a folder and on a real S3 server.
func each(t *testing.T, fn func(t *testing.T, s blob.Store)) {
	t.Helper()
	t.Run("folder", func(t *testing.T) { fn(t, open(t, filepath.Join(t.TempDir(), "clips"))) })
	t.Run("s3", func(t *testing.T) { fn(t, open(t, s3.Start(t).URL("some/prefix"))) })
}

func open(t *testing.T, location string) blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), location, s3.Env)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func content(t *testing.T, sizes ...int) ([][]byte, []blob.Part) {
	t.Helper()
	var data [][]byte
	var parts []blob.Part
	for i, n := range sizes {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		data = append(data, b)
		parts = append(parts, blob.Part{Number: i + 1, Size: int64(n), SHA256: sha256.Sum256(b)})
	}
	return data, parts
}

func begin(t *testing.T, s blob.Store, key string) string {
	t.Helper()
	up, err := s.Begin(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return up
}

func put(t *testing.T, s blob.Store, key, up string, p blob.Part, b []byte) {
	t.Helper()
	if err := s.PutPart(t.Context(), key, up, p, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
}

func TestUploadResumeAndRead(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		const key = "org-1/site-1/clip.mp4"
		data, parts := content(t, minPart, minPart, 1234)
		up := begin(t, s, key)
		put(t, s, key, up, parts[0], data[0])
		put(t, s, key, up, parts[2], data[2])
		put(t, s, key, up, parts[2], data[2]) // again, after a lost reply
		have, err := s.Parts(t.Context(), key, up)
		if err != nil || len(have) != 2 || have[0].Number != 1 || have[1].Number != 3 || have[1].Size != 1234 {
			t.Fatalf("Parts = %+v, %v", have, err)
		}
		if _, _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Fatalf("an unfinished object can be opened: %v", err)
		}
		if err := s.Complete(t.Context(), key, up, parts); err == nil {
			t.Fatal("completed with a part missing")
		}
		put(t, s, key, up, parts[1], data[1])
		for range 2 {
			if err := s.Complete(t.Context(), key, up, parts); err != nil {
				t.Fatal(err)
			}
		}
		checkRead(t, s, key, bytes.Join(data, nil))
		if _, err := s.Begin(t.Context(), key); !errors.Is(err, blob.ErrExists) {
			t.Fatalf("Begin over a complete object = %v", err)
		}
		for range 2 {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Fatalf("a deleted object can be opened: %v", err)
		}
	})
}

func checkRead(t *testing.T, s blob.Store, key string, want []byte) {
	t.Helper()
	r, size, err := s.Open(t.Context(), key)
	if err != nil || size != int64(len(want)) {
		t.Fatalf("Open = %d bytes, %v; want %d", size, err, len(want))
	}
	defer func() { _ = r.Close() }()
	for _, at := range []int64{0, 7, minPart - 3, size - 10} {
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 10)
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want[at:at+10]) {
			t.Fatalf("read at %d: %v", at, err)
		}
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, %v; they differ from the %d written", len(got), err, len(want))
	}
}

func TestOtherBytesAreRefused(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		const key = "clip.mp4"
		data, parts := content(t, 1000)
		up := begin(t, s, key)
		flipped := bytes.Clone(data[0])
		flipped[500] ^= 1
		for name, body := range map[string][]byte{"flipped": flipped, "short": data[0][:999], "long": append(bytes.Clone(data[0]), 0)} {
			if err := s.PutPart(t.Context(), key, up, parts[0], bytes.NewReader(body)); !errors.Is(err, blob.ErrMismatch) {
				t.Errorf("%s: PutPart = %v, want ErrMismatch", name, err)
			}
		}
		if have, err := s.Parts(t.Context(), key, up); err != nil || len(have) != 0 {
			t.Fatalf("refused parts are stored: %+v, %v", have, err)
		}
	})
}

func TestAbortAndForeignUploads(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		data, parts := content(t, 10)
		up := begin(t, s, "a.mp4")
		if err := s.PutPart(t.Context(), "b.mp4", up, parts[0], bytes.NewReader(data[0])); err == nil {
			t.Fatal("an upload took a part for another key")
		}
		for range 2 {
			if err := s.Abort(t.Context(), "a.mp4", up); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.PutPart(t.Context(), "a.mp4", up, parts[0], bytes.NewReader(data[0])); !errors.Is(err, blob.ErrUpload) {
			t.Fatalf("PutPart after Abort = %v, want ErrUpload", err)
		}
		if _, err := s.Parts(t.Context(), "a.mp4", up); !errors.Is(err, blob.ErrUpload) {
			t.Fatalf("Parts after Abort = %v, want ErrUpload", err)
		}
	})
}

func TestTheFirstToCompleteWins(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		one, p1 := content(t, 100)
		two, p2 := content(t, 100)
		u1, u2 := begin(t, s, "x.mp4"), begin(t, s, "x.mp4")
		put(t, s, "x.mp4", u1, p1[0], one[0])
		put(t, s, "x.mp4", u2, p2[0], two[0])
		if err := errors.Join(s.Complete(t.Context(), "x.mp4", u1, p1), s.Complete(t.Context(), "x.mp4", u2, p2)); err != nil {
			t.Fatal(err)
		}
		checkRead2(t, s, "x.mp4", one[0])
	})
}

func checkRead2(t *testing.T, s blob.Store, key string, want []byte) {
	t.Helper()
	r, _, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the object was overwritten (%v)", err)
	}
}

func TestVerify(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		const key = "org/clip.mp4"
		data, parts := content(t, minPart, 700)
		if err := s.Verify(t.Context(), key, parts); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Verify of no object = %v", err)
		}
		up := begin(t, s, key)
		put(t, s, key, up, parts[0], data[0])
		put(t, s, key, up, parts[1], data[1])
		if err := s.Complete(t.Context(), key, up, parts); err != nil {
			t.Fatal(err)
		}
		whole := bytes.Join(data, nil)
		one := []blob.Part{{Number: 1, Size: int64(len(whole)), SHA256: sha256.Sum256(whole)}}
		for name, announced := range map[string][]blob.Part{"as sent": parts, "in parts of another size": one} {
			if err := s.Verify(t.Context(), key, announced); err != nil {
				t.Errorf("%s: Verify = %v", name, err)
			}
		}
		other := append([]blob.Part{}, parts...)
		other[0].SHA256[0] ^= 1
		short := append([]blob.Part{}, parts...)
		short[1].Size--
		for name, announced := range map[string][]blob.Part{"another sum": other, "another size": short, "less": parts[:1]} {
			if err := s.Verify(t.Context(), key, announced); !errors.Is(err, blob.ErrMismatch) {
				t.Errorf("%s: Verify = %v, want ErrMismatch", name, err)
			}
		}
	})
}

func TestOrphansAreAborted(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		data, parts := content(t, 10)
		known, orphan := begin(t, s, "o/known.mp4"), begin(t, s, "o/orphan.mp4")
		put(t, s, "o/known.mp4", known, parts[0], data[0])
		put(t, s, "o/orphan.mp4", orphan, parts[0], data[0])
		sweep := func(before time.Time, want int) {
			t.Helper()
			n, err := s.AbortOrphans(t.Context(), before, func(up string) bool { return up == known })
			if err != nil || n != want {
				t.Fatalf("AbortOrphans = %d, %v; want %d", n, err, want)
			}
		}
		sweep(time.Now().Add(-time.Hour), 0)
		sweep(time.Now().Add(time.Hour), 1)
		sweep(time.Now().Add(time.Hour), 0)
		if _, err := s.Parts(t.Context(), "o/orphan.mp4", orphan); !errors.Is(err, blob.ErrUpload) {
			t.Errorf("Parts of an orphan = %v", err)
		}
		if err := s.Complete(t.Context(), "o/known.mp4", known, parts); err != nil {
			t.Errorf("the known upload was aborted: %v", err)
		}
	})
}

func TestHostileKeysAreRefused(t *testing.T) {
	each(t, func(t *testing.T, s blob.Store) {
		for _, key := range []string{
			"", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "a\\b", "C:", "a b", "a\x00", "A", "a?b", strings.Repeat("a", 513),
		} {
			if _, err := s.Begin(t.Context(), key); err == nil {
				t.Errorf("Begin(%q) accepted", key)
			}
			if _, _, err := s.Open(t.Context(), key); err == nil || errors.Is(err, blob.ErrNotFound) {
				t.Errorf("Open(%q) = %v", key, err)
			}
			if err := s.Delete(t.Context(), key); err == nil {
				t.Errorf("Delete(%q) accepted", key)
			}
		}
		for _, upload := range []string{"", "../objects", strings.Repeat("0", 32)} {
			if _, err := s.Parts(t.Context(), "a.mp4", upload); err == nil {
				t.Errorf("Parts of upload %q accepted", upload)
			}
		}
	})
}

func TestFolderHasNoLinks(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "clips"))
	_, parts := content(t, 10)
	if _, ok, err := s.Link(t.Context(), "a.mp4", begin(t, s, "a.mp4"), parts[0], time.Minute); ok || err != nil {
		t.Fatalf("Link = %v, %v", ok, err)
	}
}

func TestPresignedPartTakesExactlyThatPart(t *testing.T) {
	s := open(t, s3.Start(t).URL("p"))
	data, parts := content(t, 2000)
	up := begin(t, s, "a.mp4")
	link, ok, err := s.Link(t.Context(), "a.mp4", up, parts[0], time.Minute)
	if err != nil || !ok {
		t.Fatalf("Link = %v, %v", ok, err)
	}
	flipped := bytes.Clone(data[0])
	flipped[3] ^= 1
	tries := []struct {
		name   string
		method string
		url    string
		body   []byte
		ok     bool
	}{
		{"other bytes", http.MethodPut, link.URL, flipped, false},
		{"a longer body", http.MethodPut, link.URL, append(bytes.Clone(data[0]), 1), false},
		{"a shorter body", http.MethodPut, link.URL, data[0][:100], false},
		{"another key", http.MethodPut, strings.Replace(link.URL, "a.mp4", "b.mp4", 1), data[0], false},
		{"another part", http.MethodPut, strings.Replace(link.URL, "partNumber=1", "partNumber=2", 1), data[0], false},
		{"another method", http.MethodDelete, link.URL, nil, false},
		{"the part", http.MethodPut, link.URL, data[0], true},
	}
	for _, try := range tries {
		if status := send(t, try.method, try.url, link.Headers, try.body); (status == http.StatusOK) != try.ok {
			t.Errorf("%s: status %d", try.name, status)
		}
	}
	if err := s.Complete(t.Context(), "a.mp4", up, parts); err != nil {
		t.Fatal(err)
	}
	checkRead2(t, s, "a.mp4", data[0])
}

func send(t *testing.T, method, url string, headers map[string]string, body []byte) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	none := func(string) string { return "" }
	for location, want := range map[string]string{
		"s3://":                       "s3://bucket",
		"s3://b?endpoint=nonsense":    "endpoint",
		"s3://b?colour=red":           "unknown setting",
		"s3://b/../x":                 "element",
		"s3://b?endpoint=http://h:1/": "AWS_ACCESS_KEY_ID",
	} {
		env := s3.Env
		if want == "AWS_ACCESS_KEY_ID" {
			env = none
		}
		if _, err := blob.Open(t.Context(), location, env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q) = %v, want a word of %q", location, err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.Open(t.Context(), filepath.Join(file, "clips"), none); err == nil {
		t.Error("opened a store below a file")
	}
}
