//go:build !linux

package disk

import "os"

// datasync flushes a file's bytes and its size.
func datasync(f *os.File) error { return f.Sync() }
