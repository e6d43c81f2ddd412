// Package db runs a test on every database engine that the cloud supports: SQLite in a file, and a real
// PostgreSQL server that it starts on a free port for the life of the test binary's first use.
//
// PostgreSQL is required: a machine without it fails the test with the one line that installs it.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// Each runs fn as a subtest on SQLite and on PostgreSQL, each time with a new, migrated, empty database.
func Each(t *testing.T, fn func(t *testing.T, d *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) {
		server := Start(t)
		fn(t, open(t, server.Database(t)))
	})
}

// SQLite returns a new, migrated, empty SQLite database in a temporary folder.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "cloud.db"))
}

func open(t testing.TB, location string) *store.DB {
	t.Helper()
	d, err := store.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Server is a running PostgreSQL server without durability, on loopback.
type Server struct{ port int }

// Start starts a PostgreSQL server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	bin := binaries(t)
	dir, err := os.MkdirTemp("", "holdfast-pg-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attr := unprivileged(t, dir)
	run(t, attr, "cp", "-a", template(t, bin), filepath.Join(dir, "data"))
	s := &Server{port: freePort(t)}
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(s.port),
		"-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "synchronous_commit=off",
		"-c", "full_page_writes=off", "-c", "shared_buffers=32MB", "-c", "max_connections=60")
	cmd.SysProcAttr, cmd.Dir = attr, dir
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // fast shutdown
		_ = cmd.Wait()
		_ = log.Close()
	})
	s.await(t, log.Name())
	return s
}

// template returns a fresh cluster to copy: making one takes longer than all the rest, so it is made once for
// each version and user and kept in the folder for temporary files.
func template(t testing.TB, bin string) string {
	t.Helper()
	path := filepath.Join(os.TempDir(), fmt.Sprintf("holdfast-pg-template-%s-%d",
		strings.ReplaceAll(strings.Trim(bin, "/"), "/", "-"), os.Geteuid()))
	if _, err := os.Stat(filepath.Join(path, "PG_VERSION")); err == nil {
		return path
	}
	dir, err := os.MkdirTemp("", "holdfast-pg-*")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	made := filepath.Join(dir, "data")
	run(t, unprivileged(t, dir), filepath.Join(bin, "initdb"), "-D", made, "-U", "holdfast", "-A", "trust",
		"-E", "UTF8", "--no-sync", "--locale=C")
	if err := os.Rename(made, path); err != nil {
		if _, there := os.Stat(filepath.Join(path, "PG_VERSION")); there != nil { // else another test was faster
			t.Fatal(err)
		}
	}
	return path
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://holdfast@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

func (s *Server) await(t testing.TB, log string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ping(ctx, s.url("postgres"))
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			text, _ := os.ReadFile(log)
			t.Fatalf("PostgreSQL did not start: %v\n%s", err, text)
		}
	}
}

func ping(ctx context.Context, url string) error {
	pool, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	return errors.Join(pool.PingContext(ctx), pool.Close())
}

// Database creates an empty database and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "t" + string(id.New[id.Org]())[4:]
	pool, err := sql.Open("pgx", s.url("postgres"))
	if err == nil {
		_, err = pool.ExecContext(t.Context(), "CREATE DATABASE "+name)
		err = errors.Join(err, pool.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}

func binaries(t testing.TB) string {
	t.Helper()
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(dirs) > 0 {
		sort.Strings(dirs)
		return filepath.Dir(dirs[len(dirs)-1])
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		t.Fatal("PostgreSQL is not installed: run  apt-get install -y postgresql")
	}
	return filepath.Dir(path)
}

// unprivileged gives dir to a user that PostgreSQL accepts: it refuses to run as root.
func unprivileged(t testing.TB, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	who, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func run(t testing.TB, attr *syscall.SysProcAttr, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr, cmd.Dir = attr, "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
