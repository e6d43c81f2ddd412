// Package crashfs is a file system in memory that loses power, for disk.Config.FS in tests.
//
// It keeps apart what the system shows and what the platter holds. Bytes reach the platter by a file's Sync in blocks
// of 4 KiB, names by a folder's Sync, and by nothing else. Crash returns what is found after a power cut: each block
// that was not flushed is there, torn or missing, each size and each name that was not flushed is the old one or the
// new one, all by chance and independently of each other, so that later writes survive where earlier ones are lost.
// After a Sync that failed, the blocks count as clean although they may not be on the platter, as Linux has it: a
// second Sync would be a lie.
//
// Every operation has a number. Fault is asked before each one and may fail it. At a number or a moment of the test's
// choice the power goes: OnCut is called, and every operation from then on fails and changes nothing.
//
// The ledger stands on a real folder. CutLedger, called in OnCut, copies its files as a power cut leaves them: SQLite
// flushes its log at every commit, so that what has been committed stays, and behind it lies a torn frame. Commits
// that others are in the middle of are there as a whole or not at all.
package crashfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// ErrPower is the error of every operation after the power has gone.
var ErrPower = errors.New("the power has gone")

// Op is one operation: its number from 1 on, what it is ("write", "sync", "create" ...) and on which path.
type Op struct {
	N    int
	Kind string
	Path string
}

// String returns the operation as one line.
func (o Op) String() string { return fmt.Sprintf("%d:%s %s", o.N, o.Kind, o.Path) }

// FS is the file system. Safe for concurrent use.
type FS struct {
	// Fault fails the operations for which it returns an error; a write that is failed by a Short writes that many
	// bytes first. Set it before use, or under a lock of its own.
	Fault func(Op) error
	// Lying makes Sync of a file do nothing and say that all is well, as some disks do: no test may pass with it.
	Lying bool
	// OnCut is called once, when the power goes. Nothing of this file system may be used in it.
	OnCut func()
	// Capacity is how many bytes fit; 0 means 1 TB.
	Capacity int64

	mu      sync.Mutex
	ops     int
	cutAt   int           // the operation at which the power goes; 0 means none
	dark    chan struct{} // closed when it has gone
	root    *folder
	used    int64
	offence []string
	chance  func(n int) int
}

// Short is an error of a write that has written its first bytes.
type Short struct {
	Bytes int
	Err   error
}

// Error returns the cause.
func (s *Short) Error() string { return s.Err.Error() }

// Unwrap returns the cause.
func (s *Short) Unwrap() error { return s.Err }

// New returns an empty file system. chance(n) returns a number below n; it decides what a failed Sync wrote.
func New(chance func(n int) int) *FS {
	return &FS{root: newFolder(), dark: make(chan struct{}), chance: chance}
}

// CutAt has the power go at the n-th operation from now on; 0 means never.
func (s *FS) CutAt(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cutAt = 0; n > 0 {
		s.cutAt = s.ops + n
	}
}

// Cut has the power go now. Safe to call again.
func (s *FS) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goDark()
}

func (s *FS) goDark() {
	if s.isDark() {
		return
	}
	close(s.dark)
	if s.OnCut != nil {
		s.OnCut()
	}
}

// Dark is closed when the power has gone.
func (s *FS) Dark() <-chan struct{} { return s.dark }

func (s *FS) isDark() bool {
	select {
	case <-s.dark:
		return true
	default:
		return false
	}
}

// Ops returns how many operations there have been.
func (s *FS) Ops() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ops
}

// Offences returns what no caller may do, one line each: a Sync of a file after one that failed, while there are
// blocks that the failed one has lost.
func (s *FS) Offences() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.offence)
}

// do performs one operation: it takes a number, asks Fault, and then runs fn under the lock with what Fault has said.
func (s *FS) do(kind, name string, fn func(failed error) error) error {
	s.mu.Lock()
	s.ops++
	op := Op{s.ops, kind, name}
	if s.ops == s.cutAt {
		s.goDark()
	}
	s.mu.Unlock()
	var failed error
	if s.Fault != nil {
		failed = s.Fault(op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDark() {
		return &fs.PathError{Op: kind, Path: name, Err: ErrPower}
	}
	if err := fn(failed); err != nil {
		return &fs.PathError{Op: kind, Path: name, Err: err}
	}
	return nil
}

// plain makes of an operation that fails as a whole one that do takes.
func plain(fn func() error) func(error) error {
	return func(failed error) error {
		if failed != nil {
			return failed
		}
		return fn()
	}
}

// Files returns the paths of all files as the system shows them, in order.
func (s *FS) Files() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	s.root.walk("", func(name string, _ *inode) { out = append(out, name) })
	slices.SortFunc(out, cmp.Compare[string])
	return out
}

// clean turns any path into the names from the root on.
func clean(name string) []string {
	name = strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(name, `\`, "/")), "/")
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}
