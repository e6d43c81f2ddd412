package house

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast/shared/id"
	"holdfast/shared/mp4"
	"holdfast/testenv/fakecam"
)

// Frames reads the numbers of all stamped frames in the segment files under a folder, by stream, with their wall times there,
// microseconds since 1970.
func Frames(dir string) (map[id.Stream]map[uint64]int64, error) {
	out := map[id.Stream]map[uint64]int64{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".mp4") {
			return err
		}
		return readFrames(path, out)
	})
	return out, err
}

func readFrames(path string, into map[id.Stream]map[uint64]int64) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header, _, err := mp4.ReadHeader(file, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	stream := id.Stream{Camera: id.Camera(header.Camera), Kind: id.StreamKind(header.Stream)}
	numbers := into[stream]
	if numbers == nil {
		numbers = map[uint64]int64{}
		into[stream] = numbers
	}
	for part, err := range mp4.Parts(file, info.Size()) {
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		samples, err := mp4.ReadSamples(file, part)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, s := range samples {
			track := header.Tracks[s.Track]
			if stamp, ok := fakecam.FindStamp(s.Units, track.Codec == mp4.H265); ok {
				numbers[stamp.Frame] = part.Sum.StartUs + s.DTS*1_000_000/int64(track.Timescale) - part.Sum.MediaUs
			}
		}
	}
	return nil
}
