package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Rename gives the file of a segment the name of another one, durably; it fails when that name is taken. It is for
// mending what somebody else has named wrongly.
func (d *Disk) Rename(on string, segment, to uint64) error {
	err := d.rename(on, segment, func(v *volume, root Root) (string, error) {
		return pathOf(to), v.makeFolder(root, to)
	})
	if err != nil {
		return fmt.Errorf("rename segment %d to %d: %w", segment, to, err)
	}
	return nil
}

// Aside takes the name of a segment from a file, so that it is no segment's any more, and returns the file's new name
// inside the volume. What is in it stays.
func (d *Disk) Aside(on string, segment uint64) (name string, err error) {
	err = d.rename(on, segment, func(_ *volume, root Root) (string, error) {
		name = pathOf(segment) + ".aside"
		for n := 2; ; n++ {
			if _, err := root.Size(name); errors.Is(err, fs.ErrNotExist) {
				return name, nil
			} else if err != nil {
				return "", err
			}
			name = fmt.Sprintf("%s.aside-%d", pathOf(segment), n)
		}
	})
	if err != nil {
		return "", fmt.Errorf("set segment %d aside: %w", segment, err)
	}
	return name, nil
}

func (d *Disk) rename(on string, segment uint64, to func(*volume, Root) (string, error)) error {
	v, err := d.volume(on)
	if err != nil {
		return err
	}
	root, err := v.opened()
	if err != nil {
		return err
	}
	name, err := to(v, root)
	if err != nil {
		return err
	}
	if _, err := root.Size(name); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	if err := root.Rename(pathOf(segment), name); err != nil {
		return err
	}
	err = v.syncFolder(root, folderOf(segment), segment)
	if folder := path.Dir(name); folder != folderOf(segment) {
		err = errors.Join(err, v.syncFolder(root, folder, segment))
	}
	return err
}
