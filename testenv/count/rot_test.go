package count

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/testenv/house"
)

// TestBitsThatTurn flips one bit in each kind of file that a site has, one after another. Each time somebody is told in
// words which one it is, nothing else is affected, and with the old bytes back all is well.
func TestBitsThatTurn(t *testing.T) {
	t.Parallel()
	h := house.New(t, house.Setup{Cameras: 2})
	s := h.Sites[0]
	d := &disturbed{t: t, site: s}
	d.recording("at first")
	stop := func() {
		t.Helper()
		if err := s.Agent.Stop(25 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := s.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.recording("again")
	stop()
	check := func() (string, bool) {
		out, err := s.Run(t.Context(), "check", "--level", "full")
		return out, err == nil
	}
	if out, ok := check(); !ok {
		t.Fatalf("check before any bit has turned: %s", out)
	}
	segments := files(t, s)
	ledgerFile := filepath.Join(s.Data, "ledger.db")

	for _, c := range []struct {
		name  string
		file  string
		at    func(text []byte) int // where the bit turns
		words []string              // of the check
	}{
		{"a part", segments[0], func(b []byte) int { return bytes.LastIndex(b, []byte("mdat")) + 500 }, []string{"broken I1", "damage"}},
		{"a seal", segments[1], func(b []byte) int { return len(b) - 60 }, []string{"broken I1"}},
		{"the ledger", ledgerFile, func([]byte) int { return 4096 }, []string{"ledger is damaged"}},
		{"the volume's identity", filepath.Join(s.Data, "video", "volume.json"), braceOf, []string{"volume.json is damaged"}},
		{"the memory of volumes", filepath.Join(s.Data, "volumes.json"), braceOf, []string{"volumes.json, is damaged"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mend := turn(t, c.file, c.at)
			out, ok := check()
			if ok {
				t.Errorf("nobody has noticed: %s", out)
			}
			for _, w := range c.words {
				if !strings.Contains(out, w) {
					t.Errorf("the check does not say %q: %s", w, out)
				}
			}
			if n := strings.Count(out, "broken I1"); strings.HasSuffix(c.file, ".mp4") && n != 1 {
				t.Errorf("%d segments are broken, want one: %s", n, out)
			}
			mend()
			if out, ok := check(); !ok {
				t.Errorf("the old bytes are back, and the check says %s", out)
			}
		})
	}

	for _, c := range []struct{ name, file, words string }{
		{"the identity", filepath.Join(s.Data, "identity.json"), "identity.json"},
		{"the cameras' names", filepath.Join(s.Data, "cameras.json"), "cameras.json"},
		{"the configuration", s.Config, "holdfast.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mend := turn(t, c.file, braceOf)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			out, err := s.Run(ctx, "run")
			if err == nil || ctx.Err() != nil || !strings.Contains(out, c.words) {
				t.Errorf("the agent starts with %s damaged: %v, %s", c.file, err, out)
			}
			mend()
		})
	}
	keysAreGuarded(t, s)
	if err := s.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.recording("with everything mended")
}

// braceOf is the place of the first bracket or colon: without it the file can't be read.
func braceOf(text []byte) int { return bytes.IndexAny(text, "{:") }

// turn flips a bit of the byte that at names, and returns what puts the old bytes back.
func turn(t *testing.T, file string, at func([]byte) int) (mend func()) {
	t.Helper()
	return change(t, file, func(text []byte) { text[at(text)] ^= 0x10 })
}

// change changes a file's bytes, and returns what puts the old ones back.
func change(t *testing.T, file string, how func([]byte)) (mend func()) {
	t.Helper()
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := slices.Clone(old)
	how(text)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(file, old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// keysAreGuarded: a key with another letter in it is still well-formed, and must not be taken for the site's own.
func keysAreGuarded(t *testing.T, s *house.Site) {
	t.Helper()
	for _, name := range []string{"key_seed", "evidence_seed", "seal_key", "cloud_key", "agent"} {
		mend := change(t, filepath.Join(s.Data, "identity.json"), func(text []byte) {
			_, value, found := bytes.Cut(text, []byte(`"`+name+`": "`))
			if !found {
				t.Fatalf("identity.json has no %s", name)
			}
			if c := &value[8]; *c == 'a' {
				*c = 'b'
			} else {
				*c = 'a'
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		out, err := s.Run(ctx, "run")
		cancel()
		if err == nil || !strings.Contains(out, "identity.json is damaged") {
			t.Errorf("the agent starts with another %s: %v, %s", name, err, out)
		}
		mend()
	}
}
