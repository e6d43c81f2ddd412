package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/testenv/db"
	"holdfast/testenv/house"
)

// calls runs the command, which must end with the exit code and say all of the words, and returns what it said.
func calls(t *testing.T, exit int, args []string, words ...string) string {
	t.Helper()
	var out bytes.Buffer
	if got := run(t.Context(), args, &out, &out); got != exit {
		t.Errorf("%q ends with %d, want %d", args, got, exit)
	}
	for _, w := range words {
		if !strings.Contains(out.String(), w) {
			t.Errorf("%q does not say %q:\n%s", args, w, out.String())
		}
	}
	if strings.Contains(out.String(), "panic") {
		t.Error(out.String())
	}
	return out.String()
}

func TestCalls(t *testing.T) {
	calls(t, 0, nil, "serve", "backup", "restore", "The control plane of Holdfast")
	calls(t, 0, []string{"version"}, "holdfast-cloud dev (linux/")
	calls(t, 2, []string{"frobnicate"}, "unexpected argument frobnicate (see holdfast-cloud --help)")
	calls(t, 2, []string{"serve", "--nonsense"}, "unknown flag --nonsense")
	calls(t, 2, []string{"serve", "--log-level", "loud"}, `"debug","info","warn","error"`)
	calls(t, 2, []string{"serve", "--tls-cert", "x.pem"}, "--tls-cert and --tls-key must be used together")
	calls(t, 2, []string{"serve", "--trusted-proxy", "nonsense"}, "--trusted-proxy")
	calls(t, 2, []string{"backup"}, "<to>")
	calls(t, 2, []string{"restore", filepath.Join(t.TempDir(), "none.zip")}, "none.zip")
}

func TestServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{"--listen", "0.0.0.0:0"}, []string{"would send passwords in the clear", "--tls-cert", "--behind-proxy"}},
		{[]string{"--listen", taken.Addr().String()}, []string{taken.Addr().String(), "is another program using the port?", "--listen"}},
		{[]string{"--tls-cert", "/no/chain.pem", "--tls-key", "/no/key.pem"}, []string{"/no/chain.pem", "--tls-cert names the chain"}},
		{[]string{"--tls-cert", os.Args[0], "--tls-key", os.Args[0]}, []string{"can't be used", "the chain as PEM"}},
		{[]string{"--smtp", "mail.example.com"}, []string{"--smtp: want smtp://user:password@host:587"}},
		{[]string{"--ice-server", "nonsense"}, []string{`ICE server "nonsense": want stun:host:port`}},
		{[]string{"--turn-ports", "3478"}, []string{`TURN ports "3478": want first-last`}},
		{[]string{"--turn", ":0"}, []string{"the relay's address is not known", "--turn-address"}},
		{[]string{"--turn", "127.0.0.1", "--turn-address", "127.0.0.1"}, []string{"is no address to listen on"}},
		{[]string{"--turn", taken.Addr().String(), "--turn-address", "127.0.0.1"}, []string{"listen for TURN", "--turn"}},
		{[]string{"--clips", "s3://bucket/prefix?endpoint=http://127.0.0.1:1"}, []string{"AWS_ACCESS_KEY_ID"}},
		{[]string{"--database", "postgres://holdfast:s3cret@127.0.0.1:1/holdfast"}, []string{"is the database reachable"}},
	} {
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		data := filepath.Join(t.TempDir(), "data")
		text := calls(t, 1, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, c.args...), c.words...)
		if strings.Contains(text, "s3cret") || strings.Contains(text, "Listening on") {
			t.Errorf("%q says\n%s", c.args, text)
		}
		if strings.Contains(c.words[0], "clear") || strings.Contains(c.words[0], taken.Addr().String()) {
			if _, err := os.Stat(data); err == nil {
				t.Errorf("%q: a cloud that can't have its port has touched the data", c.args)
			}
		}
	}
}

// served is a cloud that runs in this process.
type served struct {
	t     *testing.T
	url   string
	token string // empty when somebody owns it already
	stop  func()
}

// serve runs "serve" until stop, which the end of the test calls too.
func serve(t *testing.T, args ...string) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	read, write := io.Pipe()
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--log-level", "error"}, args...), write, &errs)
		_ = write.Close() // a pipe's Close does not fail
	}()
	s := &served{t: t}
	ended := false
	s.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		_, _ = io.Copy(io.Discard, read) // until it is closed
		if exit := <-done; exit != 0 {
			t.Errorf("the cloud ends with %d\n%s", exit, errs.String())
		}
	}
	t.Cleanup(s.stop)
	buf := make([]byte, 1024)
	text := ""
	for !strings.Contains(text, "Listening on ") || strings.Count(text, "\n") == 0 {
		n, err := read.Read(buf)
		if err != nil {
			t.Fatalf("the cloud does not serve\n%s%s", text, errs.String())
		}
		text += string(buf[:n])
	}
	s.url = strings.TrimSpace(strings.TrimPrefix(text, "Listening on "))
	var refused *house.StatusError
	if err := house.NewClient(s.url).Get(t.Context(), "/setup", nil); err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	if refused == nil { // nobody owns it: the link follows
		n, err := read.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		_, s.token, _ = strings.Cut(strings.TrimSpace(string(buf[:n])), "token=")
	}
	return s
}

// own makes the first account and a site.
func (s *served) own() {
	s.t.Helper()
	c := house.NewClient(s.url)
	err := c.Post(s.t.Context(), "/setup", map[string]any{
		"token": s.token, "organisation": "Northwind Stores", "name": "Olivia Owner", "email": house.OwnerEmail, "password": house.OwnerPassword,
	}, nil)
	if err == nil {
		err = c.Post(s.t.Context(), "/sites", map[string]any{"name": "Branch 7", "timezone": "Europe/Berlin"}, nil)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// sites signs the owner in and returns the names of the sites.
func (s *served) sites() string {
	s.t.Helper()
	c := house.NewClient(s.url)
	var list struct{ Sites []struct{ Name string } }
	err := c.SignIn(s.t.Context(), house.OwnerEmail, house.OwnerPassword)
	if err == nil {
		err = c.Get(s.t.Context(), "/sites", &list)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprint(list.Sites)
}

func TestServeTellsTheServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	data := t.TempDir()
	first := serve(t, "--data", data)
	buf := make([]byte, 64)
	if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := socket.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if first.token == "" {
		t.Error("a new cloud prints no link for the first account")
	}
	first.own()
	first.stop()
	if again := serve(t, "--data", data); again.token != "" || again.sites() != "[{Branch 7}]" {
		t.Errorf("after a restart: token %q, sites %s", again.token, again.sites())
	}
}

func TestANewerDatabaseIsRefused(t *testing.T) {
	data := t.TempDir()
	s := serve(t, "--data", data)
	s.own()
	s.stop()
	raw, err := sql.Open("sqlite", "file:"+filepath.Join(data, "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	words := []string{"schema version 99999", "start the newer holdfast-cloud again"}
	if text := calls(t, 1, []string{"serve", "--listen", "127.0.0.1:0", "--data", data}, words...); strings.Contains(text, "Listening") {
		t.Error(text)
	}
	calls(t, 1, []string{"backup", "--data", data, filepath.Join(t.TempDir(), "x.zip")}, words...)
}

func TestBackupAndRestore(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { roundTrip(t, func() string { return filepath.Join(t.TempDir(), "own.db") }) })
	t.Run("postgres", func(t *testing.T) { roundTrip(t, func() string { return db.Postgres(t) }) })
}

func roundTrip(t *testing.T, database func() string) {
	data, location := filepath.Join(t.TempDir(), "data"), database()
	file := filepath.Join(t.TempDir(), "cloud.zip")
	calls(t, 1, []string{"backup", "--data", data, "--database", location, file}, "is --data the folder that the cloud serves from?")

	s := serve(t, "--data", data, "--database", location)
	s.own()
	// The cloud runs meanwhile.
	calls(t, 0, []string{"backup", "--data", data, "--database", location, file}, "Wrote "+file, "keep it like a password", "Clips are not in it")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v, %v: it holds the identity key", info.Mode(), err)
	}
	before := tree(t, filepath.Dir(file))
	calls(t, 1, []string{"backup", "--data", data, "--database", location, file}, "file exists")
	if after := tree(t, filepath.Dir(file)); after != before {
		t.Error("a backup has overwritten another")
	}

	// Over a cloud that lives, or its database alone, nothing is restored.
	before = tree(t, data)
	calls(t, 1, []string{"restore", "--data", data, "--database", database(), file}, "holds a cloud's identity already", "empty folder")
	calls(t, 1, []string{"restore", "--data", filepath.Join(t.TempDir(), "new"), "--database", location, file}, "not empty")
	if s.sites() != "[{Branch 7}]" {
		t.Error("a refused restore has touched the cloud")
	}
	s.stop()
	if after := tree(t, data); !strings.Contains(after, "cloud.key") || line(after, "cloud.key") != line(before, "cloud.key") {
		t.Errorf("a refused restore has touched the folder:\n%s\nwas\n%s", after, before)
	}

	fresh, other := filepath.Join(t.TempDir(), "new", "data"), database()
	calls(t, 0, []string{"restore", "--data", fresh, "--database", other, file}, "Restored.")
	if line(tree(t, fresh), "cloud.key") != line(tree(t, data), "cloud.key") {
		t.Error("the restored cloud has another identity: no agent will know it")
	}
	again := serve(t, "--data", fresh, "--database", other)
	if again.token != "" || again.sites() != "[{Branch 7}]" {
		t.Errorf("restored: token %q, sites %s", again.token, again.sites())
	}
}

func TestRestoreRefusesFilesThatAreNone(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := serve(t, "--data", data)
	s.own()
	good := filepath.Join(t.TempDir(), "good.zip")
	calls(t, 0, []string{"backup", "--data", data, good})
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		words   string
	}{
		"text.zip":     {[]byte("this is no zip"), "not a valid zip file"},
		"cut.zip":      {whole[:len(whole)/2], "not a valid zip file"},
		"key.zip":      {flip(t, good, "cloud.key"), "read cloud.key of the backup"},
		"table.zip":    {flip(t, good, "-site.jsonl"), ""},
		"other.zip":    {zipped(t, map[string]string{"photo.jpg": "x"}), "is not a backup of holdfast-cloud"},
		"product.zip":  {rezip(t, good, "manifest.json", `"product":"holdfast-cloud"`, `"product":"something"`), "is not a backup of holdfast-cloud"},
		"format.zip":   {rezip(t, good, "manifest.json", `"format":1`, `"format":2`), "that this program can read"},
		"schema.zip":   {rezip(t, good, "manifest.json", `"schema":`, `"schema":9`), "restore it with the program that wrote it"},
		"postgres.zip": {rezip(t, good, "manifest.json", `"postgres":false`, `"postgres":true`), "other kind of database"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(file, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			target := filepath.Join(t.TempDir(), "target")
			calls(t, 1, []string{"restore", "--data", target, file}, c.words)
			if _, err := os.Stat(filepath.Join(target, "cloud.key")); err == nil {
				t.Error("a refused backup has left an identity")
			}
			// What was refused does not stand in the way of the right one.
			calls(t, 0, []string{"restore", "--data", target, good}, "Restored.")
		})
	}
}

// flip returns the archive with one bit changed near the middle of an entry; one of those that change nothing when
// unpacked, as deflate has in its padding, is not taken.
func flip(t *testing.T, path, entry string) []byte {
	t.Helper()
	out, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	for _, f := range in.File {
		if strings.HasSuffix(f.Name, entry) {
			at, err := f.DataOffset()
			if err != nil {
				t.Fatal(err)
			}
			for i := at + int64(f.CompressedSize64/2); i < at+int64(f.CompressedSize64); i++ {
				out[i] ^= 1
				if !unpacks(t, out, f.Name) {
					return out
				}
				out[i] ^= 1
			}
		}
	}
	t.Fatalf("no entry %s", entry)
	return nil
}

// unpacks says whether an entry of an archive can be read with its checksum.
func unpacks(t *testing.T, archive []byte, entry string) bool {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = fs.ReadFile(z, entry)
	return err == nil
}

func zipped(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rezip returns the archive with a text in one entry replaced.
func rezip(t *testing.T, path, entry, old, with string) []byte {
	t.Helper()
	in, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	files := map[string]string{}
	for _, f := range in.File {
		text, err := fs.ReadFile(in, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name] = string(text); f.Name == entry {
			if !strings.Contains(string(text), old) {
				t.Fatalf("%s holds no %s: %s", entry, old, text)
			}
			files[f.Name] = strings.Replace(string(text), old, with, 1)
		}
	}
	return zipped(t, files)
}

// tree returns names and sums of all files below a folder.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", strings.TrimPrefix(path, dir), sha256.Sum256(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// line returns the line that names the file.
func line(text, name string) string {
	for l := range strings.Lines(text) {
		if strings.Contains(l, name) {
			return l
		}
	}
	return ""
}
