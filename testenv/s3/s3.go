// Package s3 runs a real S3 server on loopback for tests: versitygw over a temporary folder, built from the
// pinned module of testenv/tools on first use.
//
// It owns the server's process and its keys, and ends it with the test; Between stands before it and spoils what it is
// told to. It never talks to a cloud.
package s3

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Keys of the server's only account.
const (
	AccessKey = "holdfast-test"
	SecretKey = "holdfast-test-secret"
)

// Server is a running S3 server.
type Server struct {
	Endpoint string // http://127.0.0.1:port
	dir      string
}

// Env gives the keys under the names of the AWS environment variables.
func Env(name string) string {
	switch name {
	case "AWS_ACCESS_KEY_ID":
		return AccessKey
	case "AWS_SECRET_ACCESS_KEY":
		return SecretKey
	default:
		return ""
	}
}

// Start starts a server with one empty bucket named "clips"; it ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"data/clips", "meta"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	addr := freeAddr(t)
	cmd := exec.Command(program(t), "--port", addr, "--access", AccessKey, "--secret", SecretKey, "--region", "us-east-1",
		"--quiet", "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("S3 server: %s", output.String())
		}
	})
	s := &Server{Endpoint: "http://" + addr, dir: dir}
	s.await(t)
	return s
}

// URL returns the clip store's location for a prefix inside the bucket.
func (s *Server) URL(prefix string) string {
	return fmt.Sprintf("s3://clips/%s?endpoint=%s", prefix, s.Endpoint)
}

// Object returns the file in which the server keeps an object, to look behind its back.
func (s *Server) Object(key string) string { return filepath.Join(s.dir, "data", "clips", key) }

func (s *Server) await(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the S3 server did not start: %v", err)
		}
	}
}

// program builds the server from the tools module and returns its path.
func program(t testing.TB) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "..", "..")
	cmd := exec.Command("go", "tool", "-modfile=testenv/tools/go.mod", "-n", "versitygw")
	cmd.Dir = root
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("build the S3 server: %v\n%s", err, failure.String())
	}
	return strings.TrimSpace(string(out))
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
