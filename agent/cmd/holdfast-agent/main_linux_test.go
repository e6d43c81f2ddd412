package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/agent"
	"holdfast/shared/wire"
	"holdfast/testenv/house"
)

// call is what a person types, and what is answered.
type call struct {
	args  []string
	exit  int
	words []string // in what is printed, each of them
	never []string
}

func (c call) check(t *testing.T) {
	t.Helper()
	var out bytes.Buffer
	if exit := run(t.Context(), c.args, &out, &out); exit != c.exit {
		t.Errorf("%q ends with %d, want %d", c.args, exit, c.exit)
	}
	said(t, c.args, out.String(), c.words, c.never)
}

func said(t *testing.T, args []string, text string, words, never []string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q:\n%s", args, w, text)
		}
	}
	for _, w := range append(never, "panic", "goroutine") {
		if strings.Contains(text, w) {
			t.Errorf("%q says %q:\n%s", args, w, text)
		}
	}
}

// file writes a file into a folder of the test's own and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCalls(t *testing.T) {
	for _, c := range []call{
		{args: nil, exit: 0, words: []string{"enrol", "check", "uninstall", "The site's configuration."}, never: []string{"--service"}},
		{args: []string{"version"}, exit: 0, words: []string{"holdfast-agent dev (linux/"}},
		{args: []string{"frobnicate"}, exit: 2, words: []string{"unexpected argument frobnicate (see holdfast-agent --help)"}},
		{args: []string{"run", "--nonsense"}, exit: 2, words: []string{"unknown flag --nonsense"}},
		{args: []string{"enrol", "CODE"}, exit: 2, words: []string{"missing flags: --cloud"}},
		{args: []string{"check", "--level", "deep"}, exit: 2, words: []string{`"quick","stat","full"`}},
		{args: []string{"run", "--service"}, exit: 1, words: []string{"--service is for Windows"}},
	} {
		c.check(t)
	}
}

func TestConfigurationsThatAreWrong(t *testing.T) {
	// Every fault at once, each with its place.
	faults := file(t, "faults.yaml", `
data: ""
volumes: [{path: video}]
local: {listen: nonsense}
log: {level: loud}
cameras:
  - {key: Front Door, main: rtsp://10.0.0.1/a}
  - {key: a, transport: smoke}
`)
	// Keys and values that mean nothing, with their lines.
	words := file(t, "words.yaml", `datta: /x
cameras:
  - key: a
    main: http://holdfast:hunter2@10.0.0.1/a
    keep: soon
`)
	for _, command := range [][]string{{"config"}, {"run"}, {"status"}, {"check"}, {"enrol", "--cloud", "https://cloud.example.com", "CODE"}} {
		call{
			args: append([]string{"--config", faults}, command...), exit: 1, words: []string{
				"faults.yaml has 7 fault(s)", "data: is empty", "log.level: want debug, info, warn or error", "local.listen: want host:port",
				"volumes[0].path: want an absolute path", "cameras[0].key: want 1 to 40 lower-case letters", "cameras[1].main: is missing",
				"cameras[1].transport: want tcp or udp",
			},
		}.check(t)
	}
	for _, c := range []call{
		{
			args: []string{"--config", words, "config"}, exit: 1, never: []string{"hunter2"}, words: []string{
				`line 1: datta: unknown key; did you mean "data"?`, "line 4: cameras[0].main: want rtsp", "line 5: cameras[0].keep: want a length of time like 30d",
			},
		},
		{args: []string{"--config", file(t, "broken.yaml", "cameras: [\n  {key: a\n"), "config"}, exit: 1, words: []string{">  2 |"}},
		{args: []string{"--config", filepath.Join(t.TempDir(), "none.yaml"), "config"}, exit: 1, words: []string{"none.yaml", "holdfast-agent sample"}},
	} {
		c.check(t)
	}
}

func TestSample(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "holdfast.yaml")
	call{args: []string{"sample"}, exit: 0, words: []string{agent.Sample()}}.check(t)
	call{args: []string{"sample", path}, exit: 0, words: []string{"Wrote " + path}}.check(t)
	call{args: []string{"--config", path, "config"}, exit: 0, words: []string{"is valid: 1 camera(s), 1 volume(s)"}}.check(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v, %v: it will hold passwords", info.Mode(), err)
	}
	call{args: []string{"sample", path}, exit: 1, words: []string{"exists already"}}.check(t)
}

func TestBeforeEnrolment(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	config := file(t, "holdfast.yaml", "data: "+data+"\nlocal: {listen: '127.0.0.1:1'}\n")
	asked := 0
	hotel := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	t.Cleanup(hotel.Close)
	for _, c := range []call{
		{
			args: []string{"enrol", "--cloud", hotel.URL, "AAAA"}, exit: 1,
			words: []string{"the code has 4 letters and digits, but 20 are needed: compare it with the portal"},
		},
		{args: []string{"enrol", "--cloud", "ftp://example.com", "AAAA"}, exit: 1, words: []string{"want https://, not ftp://"}},
		{args: []string{"run"}, exit: 1, words: []string{"not enrolled yet: make a code in the portal and run holdfast-agent enrol"}},
		{args: []string{"status"}, exit: 1, words: []string{"no agent answers on 127.0.0.1:1: is it running?"}},
		{args: []string{"check"}, exit: 1, words: []string{"there is no ledger to check"}},
	} {
		c.args = append([]string{"--config", config}, c.args...)
		c.check(t)
	}
	if asked > 0 {
		t.Errorf("a code with a slip of the pen reached the cloud %d times", asked)
	}
}

// Nobody reads the standard error of a Windows service: all that it has to say is in a file.
func TestASilentAgentLogsToAFile(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	config := file(t, "holdfast.yaml", "data: "+data+"\n")
	ready := func() { t.Error("ready without an identity") }
	if err := work(t.Context(), config, true, ready); err == nil {
		t.Fatal("it runs without an identity")
	}
	text, err := os.ReadFile(filepath.Join(data, "log", "agent.log"))
	if err != nil || !strings.Contains(string(text), "level=ERROR") || !strings.Contains(string(text), "not enrolled yet") {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := os.Stat(filepath.Join(data, "log", "crash.log")); err != nil {
		t.Errorf("where a crash would go: %v", err)
	}
	log := filepath.Join(t.TempDir(), "own.log")
	if err := work(t.Context(), file(t, "own.yaml", "data: "+data+"\nlog: {file: "+log+"}\n"), true, ready); err == nil {
		t.Fatal("it runs without an identity")
	}
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "not enrolled yet") {
		t.Errorf("%v\n%s", err, text)
	}
}

// systemd is told once, and a manager that went away does no harm.
func TestNotifyReady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	notifyReady()
	buf := make([]byte, 64)
	if err := socket.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := socket.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	notifyReady()
	t.Setenv("NOTIFY_SOCKET", "")
	notifyReady()
}

// What is answered while an agent runs beside a cloud, both of them real programs.
func TestBesideARunningAgent(t *testing.T) {
	h := house.New(t, house.Setup{})
	s := h.Sites[0]
	ask := func(t *testing.T, works bool, words []string, args ...string) string {
		t.Helper()
		out, err := s.Run(t.Context(), args...)
		if works != (err == nil) {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
		said(t, args, out, words, []string{"camera-secret"})
		return out
	}
	code := func(t *testing.T) string {
		t.Helper()
		c, err := s.NewCode(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	t.Run("status", func(t *testing.T) {
		ask(t, true, []string{"Site     Branch 1", "Camera   Camera 1", "Disk "}, "status")
		var answer struct{ Site string }
		if err := json.Unmarshal([]byte(ask(t, true, nil, "status", "--json")), &answer); err != nil || answer.Site != "Branch 1" {
			t.Errorf("%+v, %v", answer, err)
		}
	})
	t.Run("a second one on the same data", func(t *testing.T) {
		ask(t, false, []string{"another agent uses this data folder", "stop it first"}, "run")
		ask(t, false, []string{"another agent uses this data folder"}, "check")
	})
	t.Run("enrolled already", func(t *testing.T) {
		ask(t, false, []string{"enrolled already", "Branch 1"}, "enrol", "--cloud", h.URL, code(t))
	})
	t.Run("a code that never was one", func(t *testing.T) {
		data := filepath.Join(t.TempDir(), "data")
		ask(t, false, []string{"the cloud does not take this code", "make a new one in the portal"},
			"--config", file(t, "holdfast.yaml", "data: "+data+"\n"), "enrol", "--cloud", h.URL, wire.NewCode().Text())
		if _, err := os.Stat(filepath.Join(data, "identity.json")); err == nil {
			t.Error("a refused enrolment left an identity")
		}
	})
	t.Run("a taken port", func(t *testing.T) {
		if err := s.Agent.Stop(25 * time.Second); err != nil {
			t.Fatal(err)
		}
		taken, err := net.Listen("tcp", strings.TrimPrefix(s.Local, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		started := make(chan error, 1)
		go func() { started <- s.StartAgent(t.Context()) }()
		missing := func(ctx context.Context) string {
			var site struct{ Missing []struct{ Text string } }
			if err := h.Owner.Get(ctx, "/sites/"+string(s.ID), &site); err != nil {
				t.Error(err)
			}
			return fmt.Sprint(site.Missing)
		}
		// Recording goes on, the portal says what is wrong, and it mends itself.
		if err := house.Until(t.Context(), 30*time.Second, "the portal says that the port is taken", func(ctx context.Context) (bool, error) {
			return strings.Contains(missing(ctx), "Stop the program that uses the port"), nil
		}); err != nil {
			t.Error(err)
		}
		if err := s.Recording(t.Context(), 1, 30*time.Second); err != nil {
			t.Error(err)
		}
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
		if err := <-started; err != nil {
			t.Error(err)
		}
		if err := house.Until(t.Context(), 30*time.Second, "the portal says that all is well", func(ctx context.Context) (bool, error) {
			return !strings.Contains(missing(ctx), "uses the port"), nil
		}); err != nil {
			t.Error(err)
		}
		if err := s.Agent.Stop(25 * time.Second); err != nil {
			t.Error(err)
		}
	})
	t.Run("after the stop", func(t *testing.T) {
		ask(t, true, []string{"Everything is accounted for"}, "check", "--level", "full")
		ask(t, false, []string{"no agent answers"}, "status")
	})
}
