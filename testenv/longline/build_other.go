//go:build !linux

package longline

import "errors"

func (l *Line) build() error { return errors.New("it is not Linux") }
