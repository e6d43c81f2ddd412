package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzConfig reads anything as the site's configuration: a fault in words, or a configuration that is whole.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(Sample()))
	f.Add([]byte("data: /x\ncameras:\n  - {key: a, main: 'rtsp://u:p@10.0.0.1/s', keep: 30d}\nvolumes: [{path: /v, max: 500GB}]\nline: {up: 2Mbit}\n"))
	f.Add([]byte("cameras: {a: &x [1, *x]}\n? [a]\n: !!binary x\n"))
	f.Add([]byte("a: |\n  x\n---\n- b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Defaults()
		faults, readable := decodeYAML(text, &c)
		if !readable {
			if len(faults) == 0 {
				t.Fatal("it can't be read, and nobody says why")
			}
			return
		}
		for i := range c.Cameras {
			c.Cameras[i].PasswordFile = "" // the fuzzer has no business in files
			if o := c.Cameras[i].Onvif; o != nil {
				o.PasswordFile = ""
			}
		}
		c.fill()
		faults = append(faults, c.check()...)
		if len(faults) > 0 {
			return
		}
		for _, cam := range c.Cameras {
			if cam.Main.URL == nil || !validKey(cam.Key) || cam.RecordSub == nil {
				t.Fatalf("%+v was taken", cam)
			}
		}
		for _, v := range c.Volumes {
			if !filepath.IsAbs(v.Path) || v.Max < 0 || v.Free < 0 {
				t.Fatalf("%+v was taken", v)
			}
		}
	})
}

// FuzzMoment reads anything as a moment.
func FuzzMoment(f *testing.F) {
	for _, text := range []string{"now", "-10m", "+90s", "-2d", "2026-11-28 14:05:00.123", "2026-11-28T14:05:00+01:00", "-1e300d", "2026-02-30"} {
		f.Add(text)
	}
	now := time.Date(2026, 11, 28, 15, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		at, err := Moment(text, now, now.Add(-time.Hour))
		if err == nil && strings.HasPrefix(strings.TrimSpace(text), "-") && !at.Before(now) {
			t.Fatalf("%q is %v", text, at)
		}
	})
}

// FuzzParseKey reads anything as a public key.
func FuzzParseKey(f *testing.F) {
	f.Add("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n")
	f.Add(strings.Repeat("ab", 32))
	f.Add("GbB9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := ParseKey(path); err == nil && len(key) != 32 {
			t.Fatalf("a key of %d bytes", len(key))
		}
	})
}

// FuzzCameraKeys reads anything as the file of the cameras' identities, which a crash of a disk may have left.
func FuzzCameraKeys(f *testing.F) {
	f.Add([]byte(`{"till-1": "cam-2axbggczsvs37t0ayehrs4zp1m"}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		data := t.TempDir()
		if err := os.WriteFile(filepath.Join(data, camerasFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if known, err := readKeys(data); err == nil {
			known["new"] = "cam-2axbggczsvs37t0ayehrs4zp1m"
			if err := writeKeys(data, known); err != nil {
				t.Fatal(err)
			}
		}
	})
}
