package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
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

	mu        sync.Mutex
	id        string
	root      Root  // nil while the volume can't be used
	err       error // why not
	folders   map[uint64]bool
	files     map[*File]struct{} // open for writing
	restTill  time.Time          // after a failure no new file goes here until then
	restErr   error
	total     int64
	free      int64
	round     time.Duration
	slowest   time.Duration
	reported  string
	room      room
	closed    bool
	discarded []uint64        // files that are to be removed when the disk lets them
	older     bool            // see record
	made      map[uint64]bool // files of this run; nil once Settled
	settled   bool

	looking    chan struct{} // closed at the end of the look under way; nil when there is none
	lookBegan  time.Time
	roundBegan time.Time // of the flush round under way; zero when there is none
}

var (
	errStopping = errors.New("the agent is stopping")
	errDeaf     = fmt.Errorf("%w: the disk does not answer: check it, its cable, and the network if it is mounted over one", ErrAbsent)
)

// prepare makes the folder for video, durably.
func (v *volume) prepare(root Root) error {
	if err := root.Mkdir(videoFolder); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder for video: %w", err)
	}
	return v.syncFolder(root, ".", 0)
}

func (v *volume) unmount() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	if v.root == nil {
		return nil
	}
	err := v.root.Close()
	v.root, v.err = nil, errStopping
	return err
}

// deaf says that the disk does not answer: a look at it has been under way for too long. The caller holds mu.
func (v *volume) deaf() bool { return v.looking != nil && time.Since(v.lookBegan) >= patience }

// trouble says why a volume can't be used or is not well, or nil.
func (v *volume) trouble() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	round := v.round
	if !v.roundBegan.IsZero() {
		round = max(round, time.Since(v.roundBegan))
	}
	switch {
	case v.deaf():
		return errDeaf
	case v.err != nil:
		return v.err
	case v.older:
		return errors.New("this disk holds an older state of itself, as if it had been restored from an image: restart the agent, " +
			"which then compares it with its ledger")
	case v.restErr != nil:
		return v.restErr
	case v.total > 0 && v.free < v.floor():
		return fmt.Errorf("only %d MB are free, and the last %d MB are kept for the agent's own work: delete something that is not video, "+
			"or let less be kept free", v.free/1e6, v.floor()/1e6)
	case round >= patience:
		return fmt.Errorf("the disk is slow: flushing one second of video takes %d s or more", round/patience*patience/time.Second)
	}
	return nil
}

// slow says that files had better go to another volume: the disk does not answer, or not to the flush under way.
func (v *volume) slow() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.deaf() || !v.roundBegan.IsZero() && time.Since(v.roundBegan) >= patience
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
func (v *volume) rest(err error, long time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.restErr, v.restTill = err, time.Now().Add(long)
}

func (v *volume) is(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.id == name && v.root != nil
}

func (v *volume) status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Status{
		ID: v.id, Path: v.cfg.Path, Err: v.err, Total: v.total, Free: v.free, Reserve: v.reserve(), Max: v.cfg.Max,
		Older: v.older, Refused: v.room.refused, Round: v.round, Slowest: v.slowest,
	}
	if s.Err == nil && v.deaf() {
		s.Err = errDeaf
	}
	if v.room.allNames > 0 {
		s.Names = max(v.spareNames()-v.room.names, 0)
	}
	return s
}

// usable returns the open folder, or why no new file can go there.
func (v *volume) usable() (Root, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.err != nil:
		return nil, v.err
	case v.root == nil:
		return nil, ErrAbsent
	case v.restErr != nil && time.Now().Before(v.restTill):
		return nil, v.restErr
	case v.room.held:
		return nil, ErrHeld // what is open may be finished
	}
	return v.root, v.lacking()
}

// writable says why an open file must not grow now, or nil.
func (v *volume) writable() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		return v.lacking()
	}
	return v.err
}

// opened returns the open folder for reading and deleting, which go on where new files are refused.
func (v *volume) opened() (Root, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.root == nil:
		return nil, ErrAbsent
	case v.deaf():
		return nil, errDeaf
	}
	return v.root, nil
}

// folderOf names the folder of a segment inside a volume: 65,536 segments share one.
func folderOf(segment uint64) string { return fmt.Sprintf("%s/%012x", videoFolder, segment>>16) }

// pathOf names the file of a segment inside a volume.
func pathOf(segment uint64) string { return fmt.Sprintf("%s/%016x.mp4", folderOf(segment), segment) }

// makeFolder makes the folder of a segment, durably, once.
func (v *volume) makeFolder(root Root, segment uint64) error {
	v.mu.Lock()
	done := v.folders[segment>>16]
	v.mu.Unlock()
	if done {
		return nil
	}
	err := root.Mkdir(folderOf(segment))
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

// syncFolder makes the names in a folder durable.
func (v *volume) syncFolder(root Root, name string, segment uint64) error {
	if err := v.disk.fault(OpFolder, segment); err != nil {
		return err
	}
	if err := root.Sync(name); err != nil {
		return fmt.Errorf("flush folder: %w", err)
	}
	return nil
}
