package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/testenv/fakecam"
	"holdfast/testenv/house"
)

// wine is a Windows that is not there. It shares the network with this machine and has a service manager of its
// own. What it can't show: who may read a file, restarts after a crash, a shutdown, the event log.
type wine struct {
	t    *testing.T
	dir  string // its C: is drive_c in there
	exe  string
	env  []string
	data string // the agent's data folder, as seen from here
	conf string
	cams *fakecam.Server

	cloud   string // URL
	newCode func(*testing.T) string
	local   string // host:port of the agent's window
}

const wineServer, wineProgram = "/usr/lib/wine/wineserver64", "/usr/lib/wine/wine64"

// newWine returns a Windows with nothing of Holdfast in it; what runs in it ends with the test.
func newWine(t *testing.T) *wine {
	t.Helper()
	packages(t, map[string]string{wineProgram: "wine64"})
	w := &wine{t: t, dir: filepath.Join(cache(t), "wine")}
	fresh := w.dir
	if _, err := os.Stat(w.dir); err != nil {
		fresh += ".new"
	}
	w.env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DISPLAY=") })
	w.env = append(w.env, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=", "WINEPREFIX="+fresh)
	if fresh != w.dir {
		began := time.Now()
		if err := os.RemoveAll(fresh); err != nil {
			t.Fatal(err)
		}
		must(t, w.env, wineProgram, "wineboot", "--init")
		must(t, w.env, wineServer, "--wait")
		dll := filepath.Join(fresh, "drive_c", "windows", "system32", "bcryptprimitives.dll")
		// Go asks this library for random numbers; Wine 8 lacks it, but has the same under an older name.
		if err := os.WriteFile(dll, forwarder("bcryptprimitives.dll", "ProcessPrng", "advapi32.SystemFunction036"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(fresh, w.dir); err != nil {
			t.Fatal(err)
		}
		w.env = append(w.env, "WINEPREFIX="+w.dir)
		t.Logf("made a Windows in %v", time.Since(began).Round(time.Second))
	}
	w.data = filepath.Join(w.dir, "drive_c", "ProgramData", "Holdfast")
	w.conf = filepath.Join(w.data, "holdfast.yaml")
	if err := os.RemoveAll(w.data); err != nil {
		t.Fatal(err)
	}
	left := exec.CommandContext(t.Context(), wineProgram, "sc", "delete", "holdfast-agent")
	left.Env = w.env
	_ = left.Run() // it fails when there is no such service, as after every test that ended well
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(tail(filepath.Join(w.data, "log", "agent.log"), 40))
		}
		kill := exec.CommandContext(context.WithoutCancel(t.Context()), wineServer, "--kill")
		kill.Env = w.env
		_ = kill.Run() // it fails when nothing runs any more
	})
	return w
}

// overlay returns a file that makes "go build" leave out one call of package net: when it opens a UDP socket it
// asks not to be told of unreachable networks, which Wine 8 does not know, and a refusal counts as a failure.
// It is the only difference to the program that is released.
func overlay(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(strings.TrimSpace(must(t, nil, "go", "env", "GOROOT")), "src", "net", "fd_windows.go")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const call = "fd.pfd.Sysfd, windows.SIO_UDP_NETRESET"
	if strings.Count(string(text), call) != 1 {
		t.Fatalf("%s is not what it was: how does it open UDP sockets now?", file)
	}
	changed := filepath.Join(dir, "fd_windows.go")
	// The call before, a second time.
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), call, "fd.pfd.Sysfd, syscall.SIO_UDP_CONNRESET", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(out, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

// session keeps this Windows on: it ends its services with the last program of a person.
func (w *wine) session() {
	cmd := exec.CommandContext(context.WithoutCancel(w.t.Context()), wineProgram, "cmd")
	cmd.Env = w.env
	keyboard, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = keyboard.Close()
		_ = cmd.Wait() // it may have been ended with everything else
	})
}

// command returns a call of the agent's program.
func (w *wine) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(w.t.Context()), wineProgram, append([]string{w.exe}, args...)...)
	cmd.Env = w.env
	return cmd
}

// run calls the program, which must end with the exit code, and returns what it printed.
func (w *wine) run(t *testing.T, code int, args ...string) string {
	t.Helper()
	cmd := w.command(args...)
	// Not a pipe: the services of this Windows, which the first program starts, would keep it open.
	out, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, _ := os.ReadFile(out.Name()) // an empty text is shown as well
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("holdfast-agent %s: %v, want exit code %d\n%s", strings.Join(args, " "), err, code, text)
	}
	return strings.ReplaceAll(string(text), "\r", "")
}

func TestWindowsProgram(t *testing.T) {
	wanted(t, "wine")
	w := newWine(t)
	dir := t.TempDir()
	w.exe = program(t, dir, "windows", "holdfast-agent.exe", "./agent/cmd/holdfast-agent", "1.0.0", "-overlay", overlay(t, dir))
	w.serve(t, program(t, dir, "linux", "holdfast-cloud", "./cloud/cmd/holdfast-cloud", "1.0.0"))
	for _, part := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"commands", w.commands},
		{"the service's handler", w.handler},
		{"enrolment", w.enrol},
		{"in the foreground", w.foreground},
		{"as a service", w.service},
		{"a service that can't start says why", w.broken},
	} {
		step(t, part.name, part.do)
	}
}

// serve starts a cloud and a camera on this machine.
func (w *wine) serve(t *testing.T, program string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "cloud.log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, program, "serve", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.cams, err = fakecam.New(fakecam.Config{Cameras: []fakecam.CameraConfig{{Name: "dock", Main: "dock/main", User: "holdfast", Password: "s3cret"}}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.cams.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the cloud ended with %v\n%s", err, tail(log, 20))
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	link := ""
	await(t, 30*time.Second, func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			return err.Error()
		}
		for line := range strings.Lines(string(text)) {
			if after, ok := strings.CutPrefix(line, "Listening on "); ok {
				w.cloud = strings.TrimSpace(after)
			}
			if after, ok := strings.CutPrefix(line, "Set up: "); ok && strings.HasSuffix(line, "\n") {
				link = after
				return ""
			}
		}
		return "the cloud prints no link"
	})
	w.newCode = found(t, house.NewClient(w.cloud), link)
	if w.local, err = house.FreeAddr(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *wine) commands(t *testing.T) {
	contains(t, w.run(t, 0, "version"), "holdfast-agent 1.0.0 (windows/amd64,")
	contains(t, w.run(t, 0, "sample"), "cameras:", "camera_networks:")
	contains(t, w.run(t, 1, "config"), `C:\ProgramData\Holdfast\holdfast.yaml`, "sample")
	contains(t, w.run(t, 2, "config", "--nonsense"), "unknown flag --nonsense")
	contains(t, w.run(t, 0, "sample", `C:\ProgramData\Holdfast\holdfast.yaml`), `Wrote C:\ProgramData\Holdfast\holdfast.yaml`)
	contains(t, w.run(t, 1, "sample", `C:\ProgramData\Holdfast\holdfast.yaml`), "exists already")
	contains(t, w.run(t, 0, "config"), "is valid: 1 camera(s), 1 volume(s)")
	contains(t, w.run(t, 1, "status"), "no agent answers")
	contains(t, w.run(t, 1, "check"), "no ledger to check")
	contains(t, w.run(t, 1, "run"), "not enrolled yet")
	contains(t, w.run(t, 1, "start"), "not installed")
	w.write(t, "cameras: [{key: Dock, main: 'rtsp://127.0.0.1/'}]\nvolumes: [{path: 'video'}]\n")
	contains(t, w.run(t, 1, "config"), "fault(s)", "cameras[0].key", "volumes[0].path: want an absolute path")
}

// handler runs the tests of the program's own package for Windows: they ask what no service manager here asks.
func (w *wine) handler(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "handler.test.exe")
	must(t, []string{"CGO_ENABLED=0", "GOOS=windows"}, "go", "test", "-c", "-o", exe, "./agent/cmd/holdfast-agent")
	program := w.exe
	w.exe = exe
	defer func() { w.exe = program }()
	contains(t, w.run(t, 0, "-test.v"), "--- PASS: TestServiceEndsInOrder", "--- PASS: TestServiceThatFails")
}

// write writes the configuration.
func (w *wine) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(w.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *wine) enrol(t *testing.T) {
	w.write(t, fmt.Sprintf("camera_networks: [127.0.0.0/8]\nlocal: {listen: '%s'}\nvolumes: [{path: 'C:\\ProgramData\\Holdfast\\video', free: 100MB}]\n"+
		"cameras:\n  - {key: dock, name: Loading dock, main: '%s', user: holdfast, password: s3cret}\n", w.local, w.cams.Camera("dock").URL("main")))
	contains(t, w.run(t, 0, "config"), "is valid: 1 camera(s), 1 volume(s)")
	contains(t, w.run(t, 0, "enrol", "--cloud", w.cloud, w.newCode(t)), "as the agent of Branch 7", "Next:  holdfast-agent install")
}

// recording waits until the running agent records and is connected.
func (w *wine) recording(t *testing.T) {
	t.Helper()
	await(t, 60*time.Second, func() string {
		cmd := w.command("status", "--json")
		out, _ := cmd.CombinedOutput() // the text says it
		var a answer
		if err := json.Unmarshal(out, &a); err != nil || len(a.Cameras) != 1 {
			return string(out)
		}
		if a.Cameras[0].State != "ok" {
			return a.Cameras[0].Text
		}
		return connected(a)
	})
	began := time.Now()
	await(t, 30*time.Second, func() string {
		complaint := "no video grows on the disk"
		_ = filepath.WalkDir(filepath.Join(w.data, "video"), func(path string, _ os.DirEntry, _ error) error { // files come and go
			if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Size() > 50_000 && info.ModTime().After(began) {
				complaint = ""
			}
			return nil
		})
		return complaint
	})
}

// endedWell checks what an agent that has stopped leaves on the disk.
func (w *wine) endedWell(t *testing.T) {
	t.Helper()
	text := w.run(t, 0, "check", "--level", "full")
	contains(t, text, "Everything is accounted for")
	if strings.Contains(text, " 0 segments") {
		t.Error("nothing was recorded")
	}
	t.Log(strings.TrimSpace(text))
}

func (w *wine) foreground(t *testing.T) {
	cmd := w.command("run")
	log := filepath.Join(t.TempDir(), "run.log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Log(tail(log, 40))
			_ = cmd.Process.Kill()
		}
	}()
	w.recording(t)
	if err := cmd.Process.Signal(os.Interrupt); err != nil { // Wine makes Ctrl-C of it
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("run ended with %v", err)
	}
	contains(t, tail(log, 40), "agent begins", "agent ends")
	w.endedWell(t)
}

func (w *wine) service(t *testing.T) {
	must(t, w.env, wineServer, "--wait") // until it is off: the last Ctrl-C was for everybody
	w.session()
	t.Log(strings.TrimSpace(w.run(t, 0, "install")))
	contains(t, w.run(t, 1, "install"), "is installed already")
	began := time.Now()
	contains(t, w.run(t, 0, "start"), "The service is running.")
	t.Logf("started in %v", time.Since(began).Round(10*time.Millisecond))
	w.recording(t)
	began = time.Now()
	contains(t, w.run(t, 0, "stop"), "The service has stopped.")
	t.Logf("stopped in %v", time.Since(began).Round(10*time.Millisecond))
	contains(t, tail(filepath.Join(w.data, "log", "agent.log"), 100), "agent begins", "agent ends")
	w.endedWell(t)
	// A running service is stopped before it goes.
	contains(t, w.run(t, 0, "start"), "The service is running.")
	contains(t, w.run(t, 0, "uninstall"), "Footage and identity stay")
	contains(t, w.run(t, 1, "stop"), "not installed")
	contains(t, w.run(t, 1, "status"), "no agent answers")
	w.endedWell(t)
}

func (w *wine) broken(t *testing.T) {
	w.run(t, 0, "install")
	if err := os.WriteFile(filepath.Join(w.data, "identity.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, w.run(t, 1, "start"), "the service ended while it was starting", `C:\ProgramData\Holdfast\log\agent.log says why`)
	contains(t, tail(filepath.Join(w.data, "log", "agent.log"), 1), "level=ERROR", "the agent ends", "identity.json")
	w.run(t, 0, "uninstall")
}
