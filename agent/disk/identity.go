package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// identity is what volume.json says.
type identity struct {
	ID        string `json:"id"`
	CreatedUs int64  `json:"created_us"`
	Opened    int64  `json:"opened"` // how often
}

// beginLook begins a look unless one is under way, and returns its end and its beginning. Nobody else looks meanwhile,
// for a sick disk may keep it long.
func (v *volume) beginLook() (done <-chan struct{}, began time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.looking == nil {
		end := make(chan struct{})
		v.looking, v.lookBegan = end, time.Now()
		go func() {
			v.look()
			v.mu.Lock()
			v.looking = nil
			v.mu.Unlock()
			close(end)
		}()
	}
	return v.looking, v.lookBegan
}

// look checks the volume's identity, mounts it if that is due, and measures its space.
func (v *volume) look() {
	err := v.check()
	if err == nil {
		v.clear()
		v.measure()
		v.pace(time.Now())
	} else {
		v.disk.disclaim(v)
	}
	err = v.hint(err)
	v.mu.Lock()
	v.err = err
	low := err == nil && v.total > 0 && (v.free < v.reserve() || v.room.allNames > 0 && v.room.names < v.spareNames())
	v.mu.Unlock()
	if low {
		v.call()
	}
}

// check returns nil once the folder is the volume that it should be and is open.
func (v *volume) check() error {
	if err := v.disk.fault(OpMount, 0); err != nil {
		return err
	}
	mine, err := v.disk.known(v.cfg.Path)
	if err != nil {
		return err
	}
	root, found, err := v.open()
	switch {
	case errors.Is(err, fs.ErrNotExist) && mine.ID != "" && !mine.Pending:
		err = errors.New("this folder was a volume and its volume.json is gone: is the disk mounted? If the video on it is really gone, " +
			"give the agent another folder")
	case errors.Is(err, fs.ErrNotExist):
		var begun Root
		if begun, found, err = v.begin(root, mine); begun != nil {
			root = begun
		}
	case err != nil:
	case mine.ID == "":
		err = errors.New("this folder is the volume of another agent, or of this agent before it was set up anew: " +
			"give the agent an empty folder, or delete volume.json and the folder video if nobody needs that video")
	case found.ID != mine.ID:
		err = fmt.Errorf("another disk is mounted here: it is volume %s, this agent's is %s", found.ID, mine.ID)
	}
	if err == nil {
		if other, ok := v.disk.claim(found.ID, v); !ok {
			err = fmt.Errorf("it is the same volume as %s: list it once", other)
		}
	}
	if err == nil {
		return v.mount(root, found)
	}
	if root != nil {
		err = errors.Join(err, root.Close())
	}
	return err
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
func (v *volume) begin(root Root, mine record) (made Root, who identity, err error) {
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
	}
	// Also what is there to be read: whoever wrote it may have been killed before it was durable.
	if err := v.disk.remember(v.cfg.Path, func(r *record) { *r = mine }); err != nil {
		return made, who, err
	}
	who = identity{ID: mine.ID, CreatedUs: time.Now().UnixMicro()}
	if err := v.writeIdentity(who); err != nil {
		return made, who, err
	}
	return made, who, nil // mount takes the mark away
}

// mount takes the open folder, or keeps the one that it has when both are the same.
func (v *volume) mount(root Root, who identity) error {
	v.mu.Lock()
	old := v.root
	v.mu.Unlock()
	if old != nil && old.Same(root) {
		return root.Close()
	}
	older := false
	if !v.disk.cfg.ReadOnly {
		err := v.prepare(root)
		if err == nil {
			older, err = v.count(root, who)
		}
		if err != nil {
			return errors.Join(err, root.Close())
		}
	}
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return errors.Join(errStopping, root.Close())
	}
	v.id, v.root, v.folders, v.older = who.ID, root, map[uint64]bool{}, older
	v.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// count notes once more on the volume and in the agent's memory that it was opened, the volume first. A volume that
// says less than the agent remembers is an older copy of itself: a disk was restored from an image. One that can't be
// written is no fault here: a full one must be opened to be cleared.
func (v *volume) count(root Root, who identity) (older bool, err error) {
	mine, err := v.disk.known(v.cfg.Path)
	if err != nil {
		return false, err
	}
	mine.ID, mine.Pending, mine.Older = who.ID, false, mine.Older || who.Opened < mine.Opened
	who.Opened = max(who.Opened, mine.Opened) + 1
	if err := v.writeIdentity(who); err != nil {
		v.disk.log.Warn("the volume can't be marked as opened", "path", v.cfg.Path, "error", err)
	} else {
		mine.Opened = who.Opened
	}
	v.dropLeftovers(root)
	if err := v.disk.remember(v.cfg.Path, func(r *record) { *r = mine }); err != nil {
		v.disk.log.Warn("the agent's memory of its volumes can't be written", "error", err)
	}
	return mine.Older, nil
}

// dropLeftovers removes what a write of volume.json that was cut short has left.
func (v *volume) dropLeftovers(root Root) {
	names, err := root.Names(".")
	for _, name := range names {
		if err == nil && strings.HasPrefix(name, "."+identityFile+".") {
			err = root.Remove(name)
		}
	}
	if err != nil {
		v.disk.log.Warn("a left-over of volume.json can't be removed", "path", v.cfg.Path, "error", err)
	}
}

// Compared says that the files of a volume that was an older copy of itself have been compared with the ledger.
func (d *Disk) Compared(volume string) error {
	v, err := d.volume(volume)
	if err != nil {
		return fmt.Errorf("note that a volume was compared: %w", err)
	}
	if err := d.remember(v.cfg.Path, func(r *record) { r.Older = false }); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.older = false
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
