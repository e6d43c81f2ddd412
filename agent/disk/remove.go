package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Remove deletes the files of segments of one volume and makes that durable. It returns the segments whose
// files are surely gone, also when it returns an error; a file that was not there counts as gone.
func (d *Disk) Remove(volume string, segments ...uint64) (gone []uint64, err error) {
	v, err := d.volume(volume)
	if err != nil {
		return nil, fmt.Errorf("remove segments: %w", err)
	}
	root, err := v.opened()
	if err != nil {
		return nil, fmt.Errorf("remove segments: %w", err)
	}
	var errs []error
	unlinked := map[uint64][]uint64{} // by folder
	for _, s := range segments {
		if err := v.unlink(root, s); err != nil {
			errs = append(errs, fmt.Errorf("remove segment %d: %w", s, err))
			continue
		}
		unlinked[s>>16] = append(unlinked[s>>16], s)
	}
	for _, folder := range slices.Sorted(maps.Keys(unlinked)) {
		first := unlinked[folder][0]
		err := v.syncFolder(root, folderOf(first), first)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove segments: %w", err))
			continue
		}
		gone = append(gone, unlinked[folder]...)
		v.dropFolder(root, first)
	}
	if len(gone) > 0 {
		v.removed()
	}
	return gone, errors.Join(errs...)
}

// unlink removes a file and looks that it is gone.
func (v *volume) unlink(root Root, segment uint64) error {
	if err := v.disk.fault(OpRemove, segment); err != nil {
		return err
	}
	name := pathOf(segment)
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := root.Size(name); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(errors.New("the file is still there"), err)
	}
	return nil
}

// Discard removes the file of a segment that the ledger has never heard of: now, or as soon as the disk lets it be
// removed. Its error is for the log.
func (d *Disk) Discard(volume string, segment uint64) error {
	v, err := d.volume(volume)
	if err != nil {
		return fmt.Errorf("discard segment %d: %w", segment, err)
	}
	root, err := v.opened()
	if err == nil {
		return v.discard(root, segment)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.discarded = append(v.discarded, segment)
	return err
}

func (v *volume) discard(root Root, segment uint64) error {
	err := v.unlink(root, segment)
	if err != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.discarded = append(v.discarded, segment)
	}
	return err
}

// clear tries again what could not be discarded.
func (v *volume) clear() {
	v.mu.Lock()
	again, root := v.discarded, v.root
	v.discarded = nil
	v.mu.Unlock()
	for _, segment := range again {
		if err := v.discard(root, segment); err != nil {
			v.disk.log.Warn("an empty file can't be removed yet", "path", v.cfg.Path, "segment", segment, "error", err)
		}
	}
}

// dropFolder removes the folder of a segment if that was its last one. A new segment's folder stays: numbers
// only rise, so the newest folder is never empty for long.
func (v *volume) dropFolder(root Root, segment uint64) {
	v.mu.Lock()
	used := v.folders[segment>>16]
	v.mu.Unlock()
	if used {
		return
	}
	// It fails while the folder holds files, which is the usual case and no fault.
	_ = root.Remove(folderOf(segment))
}

// Found is one segment file on a volume.
type Found struct {
	Volume  string
	Segment uint64
	New     bool // made in this run, as long as the volume is not Settled
}

// Scan calls fn for the segment files of all volumes that can be used, highest numbers first inside each
// volume; folders is the most folders (of up to 65,536 segments each) to look into per volume, 0 means all.
// Names that are not a segment's are passed over. An error of fn ends the scan and is returned.
func (d *Disk) Scan(folders int, fn func(Found) error) error {
	for _, v := range d.volumes {
		root, err := v.opened()
		if err != nil {
			continue
		}
		if err := v.scan(root, v.status().ID, folders, fn); err != nil {
			return fmt.Errorf("scan volume %s: %w", v.cfg.Path, err)
		}
	}
	return nil
}

func (v *volume) scan(root Root, name string, folders int, fn func(Found) error) error {
	names, err := numbers(root, videoFolder, "", 12)
	if err != nil {
		return err
	}
	slices.Reverse(names)
	if folders > 0 && len(names) > folders {
		names = names[:folders]
	}
	for _, folder := range names {
		files, err := numbers(root, folderOf(folder<<16), ".mp4", 16)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		for _, segment := range slices.Backward(files) {
			if segment>>16 != folder {
				continue
			}
			if err := fn(Found{Volume: name, Segment: segment, New: v.new(segment)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *volume) new(segment uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.made[segment]
}

// Folder returns the segments whose files lie in one folder of a volume, in order: those from folder x 65,536 on. A folder
// that does not exist has none.
func (d *Disk) Folder(name string, folder uint64) ([]uint64, error) {
	v, err := d.volume(name)
	if err != nil {
		return nil, fmt.Errorf("look through folder %d: %w", folder, err)
	}
	root, err := v.opened()
	if err != nil {
		return nil, fmt.Errorf("look through folder %d: %w", folder, err)
	}
	files, err := numbers(root, folderOf(folder<<16), ".mp4", 16)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look through folder %d: %w", folder, err)
	}
	return slices.DeleteFunc(files, func(n uint64) bool { return n>>16 != folder }), nil
}

// numbers returns the names in a folder that are hexadecimal numbers of so many digits, in order.
func numbers(root Root, folder, suffix string, digits int) ([]uint64, error) {
	names, err := root.Names(folder)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, name := range names {
		body, ok := strings.CutSuffix(name, suffix)
		if !ok || len(body) != digits || strings.Trim(body, "0123456789abcdef") != "" {
			continue
		}
		if n, err := strconv.ParseUint(body, 16, 64); err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}
