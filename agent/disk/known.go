package disk

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast/shared/atomicfile"
)

// record is what the agent remembers of the volume at a path. Pending means that its identity may not have
// been written yet.
type record struct {
	ID      string `json:"id"`
	Pending bool   `json:"pending,omitempty"`
}

func readKnown(file string) (map[string]record, error) {
	known := map[string]record{}
	text, err := os.ReadFile(file)
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

func writeKnown(file string, known map[string]record, path string, r record) error {
	known[filepath.Clean(path)] = r
	text, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return fmt.Errorf("remember volume: %w", err)
	}
	if err := atomicfile.Write(file, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("remember volume: %w", err)
	}
	return nil
}

func writeIdentity(folder string, who identity) error {
	text, err := json.MarshalIndent(who, "", "  ")
	if err != nil {
		return fmt.Errorf("write volume.json: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(folder, identityFile), append(text, '\n'), 0o640); err != nil {
		return fmt.Errorf("write volume.json: %w", err)
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
