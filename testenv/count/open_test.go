package count

import (
	"errors"
	"os"

	"holdfast/shared/mp4"
)

// open opens a segment file and reads its header.
func open(path string) (*os.File, int64, mp4.Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, mp4.Header{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, mp4.Header{}, errors.Join(err, f.Close())
	}
	header, _, err := mp4.ReadHeader(f, info.Size())
	if err != nil {
		return nil, 0, header, errors.Join(err, f.Close())
	}
	return f, info.Size(), header, nil
}
