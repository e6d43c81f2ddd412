package agent

import (
	"path/filepath"
	"strings"
)

// sameDisk says whether two folders are on one drive.
func sameDisk(a, b string) bool {
	x, errA := filepath.Abs(a)
	y, errB := filepath.Abs(b)
	return errA == nil && errB == nil && strings.EqualFold(filepath.VolumeName(x), filepath.VolumeName(y))
}
