package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// identity is what volume.json says.
type identity struct {
	ID        string `json:"id"`
	CreatedUs int64  `json:"created_us"`
}

// look checks the volume's identity, mounts it if that is due, and measures its space. taken maps the IDs of
// the volumes before it to their paths. One goroutine looks; nobody waits for it, for a sick disk may keep it
// long.
func (v *volume) look(taken map[string]string) error {
	name, err := v.check(taken)
	if err == nil {
		taken[name] = v.cfg.Path
		v.measure()
		v.pace(time.Now())
	}
	err = v.hint(err)
	v.mu.Lock()
	v.err = err
	low := err == nil && v.total > 0 && (v.free < v.reserve() || v.room.allNames > 0 && v.room.names < v.spareNames())
	v.mu.Unlock()
	if low {
		v.call()
	}
	return err
}

// check returns the volume's ID once the folder is the volume that it should be and is open.
func (v *volume) check(taken map[string]string) (name string, err error) {
	if err := v.disk.fault(OpMount, 0); err != nil {
		return "", err
	}
	known, err := readKnown(v.disk.cfg.FS, v.disk.cfg.State)
	if err != nil {
		return "", err
	}
	mine := known[filepath.Clean(v.cfg.Path)]
	root, found, err := v.open()
	switch {
	case errors.Is(err, fs.ErrNotExist) && mine.ID != "" && !mine.Pending:
		err = errors.New("this folder was a volume and its volume.json is gone: is the disk mounted? If the video on it is really gone, " +
			"give the agent another folder")
	case errors.Is(err, fs.ErrNotExist):
		var begun Root
		if begun, found, err = v.begin(root, known, mine); begun != nil {
			root = begun
		}
	case err != nil:
	case mine.ID == "":
		err = errors.New("this folder is the volume of another agent, or of this agent before it was set up anew: " +
			"give the agent an empty folder, or delete volume.json and the folder video if nobody needs that video")
	case found.ID != mine.ID:
		err = fmt.Errorf("another disk is mounted here: it is volume %s, this agent's is %s", found.ID, mine.ID)
	case mine.Pending && !v.disk.cfg.ReadOnly:
		err = writeKnown(v.disk.cfg.FS, v.disk.cfg.State, known, v.cfg.Path, record{ID: found.ID})
	}
	if other, twice := taken[found.ID]; twice && err == nil {
		err = fmt.Errorf("it is the same volume as %s: list it once", other)
	}
	if err == nil {
		return found.ID, v.mount(root, found.ID)
	}
	if root != nil {
		err = errors.Join(err, root.Close())
	}
	return "", err
}

// open opens the folder and reads who it is. Without an identity the error wraps fs.ErrNotExist, and the root is
// nil only when there is no folder either.
func (v *volume) open() (Root, identity, error) {
	root, err := v.disk.cfg.FS.OpenRoot(v.cfg.Path)
	if err != nil {
		return nil, identity{}, fmt.Errorf("open volume: %w", err)
	}
	who, err := readIdentity(root)
	return root, who, err
}

// begin makes a new volume: first the agent's own memory of it, marked pending, then the identity, then the
// mark is taken away. A crash at any point leaves what the next look can finish. root is the folder, if there
// is one; the folder is returned open otherwise.
func (v *volume) begin(root Root, known map[string]record, mine record) (made Root, who identity, err error) {
	if !v.cfg.Create {
		return nil, who, errors.New("this folder has no volume.json, so it is no volume of this agent: is the disk mounted?")
	}
	if root == nil {
		if err := v.disk.cfg.FS.MkdirAll(v.cfg.Path); err != nil {
			return nil, who, fmt.Errorf("make folder: %w", err)
		}
		if made, err = v.disk.cfg.FS.OpenRoot(v.cfg.Path); err != nil {
			return nil, who, fmt.Errorf("open volume: %w", err)
		}
		root = made
	}
	if _, err := root.Size(videoFolder); err == nil {
		return made, who, errors.New("this folder has no volume.json but a folder video: a new volume begins in an empty folder only")
	}
	if mine.ID == "" {
		mine = record{ID: newVolumeID(), Pending: true}
		if err := writeKnown(v.disk.cfg.FS, v.disk.cfg.State, known, v.cfg.Path, mine); err != nil {
			return made, who, err
		}
	}
	who = identity{ID: mine.ID, CreatedUs: time.Now().UnixMicro()}
	if err := v.writeIdentity(who); err != nil {
		return made, who, err
	}
	return made, who, writeKnown(v.disk.cfg.FS, v.disk.cfg.State, known, v.cfg.Path, record{ID: mine.ID})
}

// mount takes the open folder, or keeps the one that it has when both are the same.
func (v *volume) mount(root Root, name string) error {
	old, err := v.opened()
	if err == nil && old.Same(root) {
		return root.Close()
	}
	if !v.disk.cfg.ReadOnly {
		if err := v.prepare(root); err != nil {
			return errors.Join(err, root.Close())
		}
	}
	v.mu.Lock()
	v.id, v.root, v.folders = name, root, map[uint64]bool{}
	v.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

func readIdentity(root Root) (identity, error) {
	text, err := readSmall(root, identityFile)
	if err != nil {
		return identity{}, fmt.Errorf("read volume.json: %w", err)
	}
	var who identity
	if err := json.Unmarshal(text, &who); err != nil || !validVolumeID(who.ID) {
		return identity{}, errors.New("volume.json is damaged: put back a copy of it, or give the agent an empty folder")
	}
	return who, nil
}

func (v *volume) writeIdentity(who identity) error {
	text, err := json.MarshalIndent(who, "", "  ")
	if err != nil {
		return fmt.Errorf("write volume.json: %w", err)
	}
	if err := v.disk.cfg.FS.Replace(filepath.Join(v.cfg.Path, identityFile), append(text, '\n'), 0o640); err != nil {
		return fmt.Errorf("write volume.json: %w", err)
	}
	return nil
}
