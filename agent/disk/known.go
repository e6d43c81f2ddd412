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
// been written yet. Opened is how often it had been opened when the agent wrote this: a volume that says less is an
// older copy of itself, which Older keeps until its files have been compared with the ledger.
type record struct {
	ID      string `json:"id"`
	Pending bool   `json:"pending,omitempty"`
	Opened  int64  `json:"opened,omitempty"`
	Older   bool   `json:"older,omitempty"`
}

// known reads what the agent remembers of the volume at a path; nothing is no error.
func (d *Disk) known(path string) (record, error) {
	all, err := d.readKnown()
	return all[filepath.Clean(path)], err
}

func (d *Disk) readKnown() (map[string]record, error) {
	known := map[string]record{}
	text, err := readSmallAt(d.cfg.FS, d.cfg.State)
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
		return nil, fmt.Errorf("the agent's memory of its volumes, %s, is damaged: put back a copy of it (%w)", d.cfg.State, err)
	}
	return known, nil
}

// remember changes what the agent remembers of the volume at a path.
func (d *Disk) remember(path string, change func(*record)) error {
	d.memory.Lock()
	defer d.memory.Unlock()
	known, err := d.readKnown()
	if err != nil {
		return err
	}
	r := known[filepath.Clean(path)]
	change(&r)
	known[filepath.Clean(path)] = r
	text, err := json.MarshalIndent(known, "", "  ")
	if err == nil {
		err = d.cfg.FS.Replace(d.cfg.State, append(text, '\n'), 0o600)
	}
	if err != nil {
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
