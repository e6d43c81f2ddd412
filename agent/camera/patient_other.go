//go:build !unix

package camera

import "syscall"

// trier is of no use here: the system has no reading without waiting that the runtime allows.
type trier struct{}

func newTrier(syscall.RawConn) *trier { return nil }

func (*trier) read([]byte) (n int, ok bool, err error) { return 0, false, nil }
