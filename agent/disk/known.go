package disk

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// record is what the agent remembers of the volume at a path. Pending means that its identity may not have
// been written yet.
type record struct {
	ID      string `json:"id"`
	Pending bool   `json:"pending,omitempty"`
}

func readKnown(sys FS, file string) (map[string]record, error) {
	known := map[string]record{}
	text, err := readSmallAt(sys, file)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the agent's memory of its volumes: %w", err)
	}
	err = json.Unmarshal(text, &known)
	if err == nil && known == nil { // "null" is JSON too
		err = errors.New("it holds nothing")
	}
	if err != nil {
		return nil, fmt.Errorf("the agent's memory of its volumes, %s, is damaged: put back a copy of it (%w)", file, err)
	}
	return known, nil
}

func writeKnown(sys FS, file string, known map[string]record, path string, r record) error {
	known[filepath.Clean(path)] = r
	text, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return fmt.Errorf("remember volume: %w", err)
	}
	if err := sys.Replace(file, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("remember volume: %w", err)
	}
	return nil
}

func newVolumeID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never returns an error since Go 1.24
	return hex.EncodeToString(b[:])
}

func validVolumeID(s string) bool {
	return len(s) == 16 && strings.Trim(s, "0123456789abcdef") == ""
}
