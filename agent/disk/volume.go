package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	usage "github.com/shirou/gopsutil/v4/disk"
)

const (
	identityFile = "volume.json"
	videoFolder  = "video"
	minReserve   = 2_000_000_000
)

// volume is one folder for video while it is, or is hoped to become, usable.
type volume struct {
	cfg  Volume
	disk *Disk

	mu       sync.Mutex
	id       string
	root     *os.Root // nil while the volume can't be used
	err      error    // why not
	folders  map[uint64]bool
	files    map[*File]struct{} // open for writing
	restTill time.Time          // after a failure no new file goes here until then
	restErr  error
	total    int64
	free     int64
	round    time.Duration
	slowest  time.Duration
	reported string
}

// look checks the volume's identity, mounts it if that is due, and measures its space. taken maps the IDs of
// the volumes before it to their paths. One goroutine looks; nobody waits for it, for a sick disk may keep it
// long.
func (v *volume) look(taken map[string]string) error {
	name, err := v.check(taken)
	var space *usage.UsageStat
	if err == nil {
		taken[name] = v.cfg.Path
		if space, err = usage.Usage(v.cfg.Path); err != nil {
			// What was known stays: a file system that can't be measured may still take video.
			v.disk.log.Warn("free space can't be measured", "path", v.cfg.Path, "error", err)
			err = nil
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = err
	if space != nil {
		v.total, v.free = int64(space.Total), int64(space.Free)
	}
	return err
}

// check returns the volume's ID once the folder is the volume that it should be and is open.
func (v *volume) check(taken map[string]string) (string, error) {
	if err := v.disk.fault(OpMount, 0); err != nil {
		return "", err
	}
	known, err := readKnown(v.disk.cfg.State)
	if err != nil {
		return "", err
	}
	mine := known[filepath.Clean(v.cfg.Path)]
	found, err := readIdentity(v.cfg.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && mine.ID != "" && !mine.Pending:
		return "", errors.New("this folder was a volume and its volume.json is gone: is the disk mounted? If the video on it is really gone, " +
			"give the agent another folder")
	case errors.Is(err, fs.ErrNotExist):
		if found, err = v.begin(known, mine); err != nil {
			return "", err
		}
	case err != nil:
		return "", err
	case mine.ID == "":
		return "", errors.New("this folder is the volume of another agent, or of this agent before it was set up anew: " +
			"give the agent an empty folder, or delete volume.json and the folder video if nobody needs that video")
	case found.ID != mine.ID:
		return "", fmt.Errorf("another disk is mounted here: it is volume %s, this agent's is %s", found.ID, mine.ID)
	case mine.Pending:
		if err := writeKnown(v.disk.cfg.State, known, v.cfg.Path, record{ID: found.ID}); err != nil {
			return "", err
		}
	}
	if other, twice := taken[found.ID]; twice {
		return "", fmt.Errorf("it is the same volume as %s: list it once", other)
	}
	return found.ID, v.mount(found.ID)
}

// begin makes a new volume: first the agent's own memory of it, marked pending, then the identity, then the
// mark is taken away. A crash at any point leaves what the next look can finish.
func (v *volume) begin(known map[string]record, mine record) (identity, error) {
	if !v.cfg.Create {
		return identity{}, errors.New("this folder has no volume.json, so it is no volume of this agent: is the disk mounted?")
	}
	if err := os.MkdirAll(v.cfg.Path, 0o750); err != nil {
		return identity{}, fmt.Errorf("make folder: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(v.cfg.Path, videoFolder)); err == nil {
		return identity{}, errors.New("this folder has no volume.json but a folder video: a new volume begins in an empty folder only")
	}
	if mine.ID == "" {
		mine = record{ID: newVolumeID(), Pending: true}
		if err := writeKnown(v.disk.cfg.State, known, v.cfg.Path, mine); err != nil {
			return identity{}, err
		}
	}
	who := identity{ID: mine.ID, CreatedUs: time.Now().UnixMicro()}
	if err := writeIdentity(v.cfg.Path, who); err != nil {
		return identity{}, err
	}
	return who, writeKnown(v.disk.cfg.State, known, v.cfg.Path, record{ID: mine.ID})
}

// mount opens the folder, or keeps it open when it is still the same one.
func (v *volume) mount(name string) error {
	old, err := v.opened()
	if err == nil {
		here, err := os.Stat(v.cfg.Path)
		if err != nil {
			return fmt.Errorf("look at volume: %w", err)
		}
		if mounted, err := old.Stat("."); err == nil && os.SameFile(here, mounted) {
			return nil
		}
	}
	root, err := os.OpenRoot(v.cfg.Path)
	if err != nil {
		return fmt.Errorf("open volume: %w", err)
	}
	if err := root.Mkdir(videoFolder, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return errors.Join(fmt.Errorf("make folder for video: %w", err), root.Close())
	}
	if err := v.syncFolder(root, ".", 0); err != nil {
		return errors.Join(err, root.Close())
	}
	v.mu.Lock()
	v.id, v.root, v.folders = name, root, map[uint64]bool{}
	v.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

func (v *volume) unmount() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.root == nil {
		return nil
	}
	err := v.root.Close()
	v.root, v.err = nil, errors.New("the agent is stopping")
	return err
}

// trouble says what is wrong with a volume that is mounted, or nil.
func (v *volume) trouble() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.restErr != nil:
		return v.restErr
	case v.total > 0 && v.free < v.floor():
		return fmt.Errorf("only %d MB are free, and the last %d MB are kept for the agent's own work: delete something that is not video, "+
			"or let less be kept free", v.free/1e6, v.floor()/1e6)
	case v.round > 5*time.Second:
		return fmt.Errorf("the disk is slow: one flush of the newest video took %.1f s", v.round.Seconds())
	}
	return nil
}

// report logs a change of the volume's state once.
func (v *volume) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	v.mu.Lock()
	same := text == v.reported
	v.reported = text
	v.mu.Unlock()
	switch {
	case same:
	case err != nil:
		v.disk.log.Error("a volume has a fault", "path", v.cfg.Path, "error", err)
	default:
		v.disk.log.Info("the volume works again", "path", v.cfg.Path)
	}
}

// rest keeps new files away from the volume for a while after a failure. The volume has a fault until a flush
// round has gone well again.
func (v *volume) rest(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.restErr, v.restTill = err, time.Now().Add(v.disk.cfg.Rest)
}

func (v *volume) is(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.id == name && v.root != nil
}

func (v *volume) status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	return Status{
		ID: v.id, Path: v.cfg.Path, Err: v.err, Total: v.total, Free: v.free, Reserve: v.reserve(), Max: v.cfg.Max,
		Round: v.round, Slowest: v.slowest,
	}
}

func (v *volume) reserve() int64 {
	if v.cfg.Free > 0 {
		return v.cfg.Free
	}
	return max(minReserve, v.total/20)
}

// floor is the free space below which no video is written, so that ledger and logs never run out of it.
func (v *volume) floor() int64 { return v.reserve() / 4 }

// usable returns the open folder, or why no new file can go there.
func (v *volume) usable() (*os.Root, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.err != nil:
		return nil, v.err
	case v.root == nil:
		return nil, ErrAbsent
	case v.restErr != nil && time.Now().Before(v.restTill):
		return nil, v.restErr
	case v.total > 0 && v.free < v.floor():
		return nil, ErrFull
	}
	return v.root, nil
}

// writable says why an open file must not grow now, or nil.
func (v *volume) writable() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil && v.total > 0 && v.free < v.floor() {
		return ErrFull
	}
	return v.err
}

// opened returns the open folder for reading and deleting, which go on where new files are refused.
func (v *volume) opened() (*os.Root, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.root == nil {
		return nil, ErrAbsent
	}
	return v.root, nil
}

// folderOf names the folder of a segment inside a volume: 65,536 segments share one.
func folderOf(segment uint64) string { return fmt.Sprintf("%s/%012x", videoFolder, segment>>16) }

// pathOf names the file of a segment inside a volume.
func pathOf(segment uint64) string { return fmt.Sprintf("%s/%016x.mp4", folderOf(segment), segment) }

// makeFolder makes the folder of a segment, durably, once.
func (v *volume) makeFolder(root *os.Root, segment uint64) error {
	v.mu.Lock()
	done := v.folders[segment>>16]
	v.mu.Unlock()
	if done {
		return nil
	}
	err := root.Mkdir(folderOf(segment), 0o750)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := v.syncFolder(root, videoFolder, segment); err != nil {
		return err
	}
	v.mu.Lock()
	v.folders[segment>>16] = true
	v.mu.Unlock()
	return nil
}

// syncFolder makes the names in a folder durable; Windows has no such call.
func (v *volume) syncFolder(root *os.Root, name string, segment uint64) error {
	if err := v.disk.fault(OpFolder, segment); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := root.Open(path.Clean(name))
	if err != nil {
		return fmt.Errorf("open folder to flush it: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("flush folder: %w", err)
	}
	return nil
}

// identity is what volume.json says.
type identity struct {
	ID        string `json:"id"`
	CreatedUs int64  `json:"created_us"`
}

func readIdentity(folder string) (identity, error) {
	text, err := os.ReadFile(filepath.Join(folder, identityFile))
	if err != nil {
		return identity{}, fmt.Errorf("read volume.json: %w", err)
	}
	var who identity
	if err := json.Unmarshal(text, &who); err != nil || !validVolumeID(who.ID) {
		return identity{}, errors.New("volume.json is damaged: put back a copy of it, or give the agent an empty folder")
	}
	return who, nil
}
