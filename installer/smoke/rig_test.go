package smoke

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast/testenv/house"
)

// wanted skips a test that takes minutes and installs programs, unless it was asked for by name.
func wanted(t *testing.T, name string) {
	t.Helper()
	if os.Getenv("HOLDFAST_SMOKE") != name {
		t.Skipf("run  make %s", map[string]string{"debian": "smoke", "wine": "wine"}[name])
	}
}

// step runs one part of a story; what follows a failed part would only repeat its failure.
func step(t *testing.T, name string, do func(t *testing.T)) {
	t.Helper()
	if !t.Run(name, do) {
		t.FailNow()
	}
}

// cache returns a folder that outlives the test, made if it is missing.
func cache(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = "/var/cache"
	}
	dir = filepath.Join(dir, "holdfast-smoke")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// must runs a program of this machine to its end and returns what it printed.
func must(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = house.Root()
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// packages installs what this machine lacks, as root; else it says what is missing.
func packages(t *testing.T, programs map[string]string) {
	t.Helper()
	var missing []string
	for program, name := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return
	}
	if os.Geteuid() != 0 {
		t.Fatalf("missing: sudo apt-get install --no-install-recommends %s", strings.Join(missing, " "))
	}
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	must(t, env, "apt-get", "update", "-qq")
	must(t, env, "apt-get", append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)...)
}

// program builds a command of this module for the operating system and returns its file.
func program(t *testing.T, dir, system, name, path, version string, more ...string) string {
	t.Helper()
	out := filepath.Join(dir, name)
	args := append([]string{"build", "-ldflags", "-s -w -X main.version=" + version, "-o", out}, more...)
	must(t, []string{"CGO_ENABLED=0", "GOOS=" + system}, "go", append(args, path)...)
	return out
}

// dist builds Debian packages of one version for this machine's processor.
func dist(t *testing.T, dir, version string, products ...string) {
	t.Helper()
	env := map[string]string{"holdfast-agent": "TARGETS=", "holdfast-cloud": "CLOUD_TARGETS="}
	for _, p := range products {
		env[p] += "linux/" + runtime.GOARCH
	}
	must(t, []string{"VERSION=" + version, "DIST=" + dir, env["holdfast-agent"], env["holdfast-cloud"]}, "installer/dist.sh")
}

// deb returns the file of the one package of that name.
func deb(t *testing.T, dir, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages of %s: %v, %v", name, found, err)
	}
	return found[0]
}

// await waits until ask finds nothing to complain about; the last complaint is the failure.
func await(t *testing.T, limit time.Duration, ask func() (complaint string)) {
	t.Helper()
	complaint := ""
	err := house.Until(t.Context(), limit, "what is told below", func(context.Context) (bool, error) {
		complaint = ask()
		return complaint == "", nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, complaint)
	}
}

// contains fails the test when one of the words is missing in the text.
func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in:\n%s", w, text)
		}
	}
}

// found makes the organisation of a new cloud through its one-time link, and a site, and returns what makes codes for it.
func found(t *testing.T, owner *house.Client, link string) (newCode func(*testing.T) string) {
	t.Helper()
	_, token, ok := strings.Cut(strings.TrimSpace(link), "token=")
	if !ok {
		t.Fatalf("the set-up link %q has no token", link)
	}
	err := owner.Post(t.Context(), "/setup", map[string]any{
		"token": token, "organisation": "Northwind Stores", "name": "Olivia Owner", "email": house.OwnerEmail, "password": house.OwnerPassword,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var site struct{ ID string }
	if err := owner.Post(t.Context(), "/sites", map[string]any{"name": "Branch 7", "timezone": "Europe/Berlin"}, &site); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) string {
		t.Helper()
		var made struct{ Code string }
		if err := owner.Post(t.Context(), "/sites/"+site.ID+"/codes", nil, &made); err != nil {
			t.Fatal(err)
		}
		return made.Code
	}
}

// tail returns the last lines of a file.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	return fmt.Sprintf("--- %s ---\n%s", filepath.Base(path), bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
