package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"holdfast/shared/atomicfile"
)

// Folder is a Store in a folder of the local disk: objects below "objects", parts of unfinished uploads below
// "uploads". Every access goes through an os.Root, so no key can lead outside.
type Folder struct {
	root *os.Root
	path string
}

// OpenFolder returns the store in the folder at path, which is made if it is missing.
func OpenFolder(path string) (*Folder, error) {
	for _, dir := range []string{path, filepath.Join(path, "objects"), filepath.Join(path, "uploads")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make folder for clips: %w", err)
		}
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open folder for clips: %w", err)
	}
	return &Folder{root: root, path: path}, nil
}

func (f *Folder) object(key string) string { return "objects/" + key }

func (f *Folder) upload(key, upload string) (string, error) {
	if len(upload) != 32 || strings.Trim(upload, "0123456789abcdef") != "" {
		return "", ErrUpload
	}
	if err := checkKey(key); err != nil {
		return "", err
	}
	dir := "uploads/" + upload
	have, err := f.root.ReadFile(dir + "/key")
	if errors.Is(err, fs.ErrNotExist) || (err == nil && string(have) != key) {
		return "", ErrUpload
	}
	return dir, err
}

// Begin implements Store.
func (f *Folder) Begin(_ context.Context, key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	if _, err := f.root.Stat(f.object(key)); err == nil {
		return "", ErrExists
	}
	var b [16]byte
	_, _ = rand.Read(b[:])
	upload := hex.EncodeToString(b[:])
	if err := f.root.Mkdir("uploads/"+upload, 0o700); err != nil {
		return "", fmt.Errorf("begin upload: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(f.path, "uploads", upload, "key"), []byte(key), 0o600); err != nil {
		return "", fmt.Errorf("begin upload: %w", err)
	}
	return upload, nil
}

// Link implements Store: a folder has no way around the cloud.
func (f *Folder) Link(context.Context, string, string, Part, time.Duration) (Link, bool, error) {
	return Link{}, false, nil
}

func partName(dir string, p Part) string { return fmt.Sprintf("%s/%06d", dir, p.Number) }

// PutPart implements Store.
func (f *Folder) PutPart(_ context.Context, key, upload string, p Part, r io.Reader) error {
	dir, err := f.upload(key, upload)
	if err != nil {
		return err
	}
	if err := checkParts([]Part{{Number: 1, Size: p.Size}}); err != nil || p.Number < 1 || p.Number > 10000 {
		return fmt.Errorf("part %d of %d bytes is outside the limits", p.Number, p.Size)
	}
	var tmp [8]byte
	_, _ = rand.Read(tmp[:])
	name := dir + "/" + hex.EncodeToString(tmp[:]) + ".tmp"
	if err := f.receive(name, p, r); err != nil {
		return errors.Join(err, f.remove(name))
	}
	if err := f.root.Rename(name, partName(dir, p)); err != nil {
		return errors.Join(fmt.Errorf("store part: %w", err), f.remove(name))
	}
	return atomicfile.SyncDir(filepath.Join(f.path, filepath.FromSlash(dir)))
}

// receive writes exactly p from r into a new file and makes it durable.
func (f *Folder) receive(name string, p Part, r io.Reader) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("store part: %w", err)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(file, sum), io.LimitReader(r, p.Size+1))
	switch {
	case err != nil:
		err = fmt.Errorf("receive part %d: %w", p.Number, err)
	case n != p.Size || !bytes.Equal(sum.Sum(nil), p.SHA256[:]):
		err = fmt.Errorf("part %d: %w", p.Number, ErrMismatch)
	default:
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (f *Folder) remove(name string) error {
	if err := f.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Parts implements Store.
func (f *Folder) Parts(_ context.Context, key, upload string) ([]Part, error) {
	dir, err := f.upload(key, upload)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(f.root.FS(), dir)
	if err != nil {
		return nil, fmt.Errorf("list parts: %w", err)
	}
	var out []Part
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("list parts: %w", err)
		}
		out = append(out, Part{Number: n, Size: info.Size()})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Number < out[j].Number })
	return out, nil
}

// Complete implements Store.
func (f *Folder) Complete(ctx context.Context, key, upload string, parts []Part) error {
	if err := errors.Join(checkKey(key), checkParts(parts)); err != nil {
		return err
	}
	if _, err := f.root.Stat(f.object(key)); err == nil {
		return f.Abort(ctx, key, upload)
	}
	dir, err := f.upload(key, upload)
	if err != nil {
		return err
	}
	whole := dir + "/whole.tmp"
	if err := f.join(whole, dir, parts); err != nil {
		return errors.Join(err, f.remove(whole))
	}
	if err := f.root.MkdirAll(path.Dir(f.object(key)), 0o700); err != nil {
		return fmt.Errorf("complete %s: %w", key, err)
	}
	// A link fails where a rename would replace: an object is never overwritten.
	if err := f.root.Link(whole, f.object(key)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("complete %s: %w", key, err)
	}
	if err := atomicfile.SyncDir(filepath.Join(f.path, filepath.FromSlash(path.Dir(f.object(key))))); err != nil {
		return err
	}
	return f.Abort(ctx, key, upload)
}

func (f *Folder) join(whole, dir string, parts []Part) error {
	out, err := f.root.OpenFile(whole, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("join parts: %w", err)
	}
	for _, p := range parts {
		if err := f.appendPart(out, partName(dir, p), p.Size); err != nil {
			return errors.Join(err, out.Close())
		}
	}
	return errors.Join(out.Sync(), out.Close())
}

func (f *Folder) appendPart(out io.Writer, name string, size int64) error {
	in, err := f.root.Open(name)
	if err != nil {
		return fmt.Errorf("join parts: %w", err)
	}
	n, err := io.Copy(out, in)
	if err == nil && n != size {
		err = fmt.Errorf("%s has %d bytes, want %d: %w", path.Base(name), n, size, ErrMismatch)
	}
	return errors.Join(err, in.Close())
}

// Verify implements Store. The disk is near, so it reads.
func (f *Folder) Verify(ctx context.Context, key string, parts []Part) error {
	r, size, err := f.Open(ctx, key)
	if err != nil {
		return err
	}
	if size != sizeOf(parts) {
		return errors.Join(fmt.Errorf("%s has %d bytes of %d: %w", key, size, sizeOf(parts), ErrMismatch), r.Close())
	}
	return errors.Join(readBack(r, parts), r.Close())
}

// AbortOrphans implements Store.
func (f *Folder) AbortOrphans(_ context.Context, before time.Time, known func(upload string) bool) (int, error) {
	entries, err := fs.ReadDir(f.root.FS(), "uploads")
	if err != nil {
		return 0, fmt.Errorf("list uploads: %w", err)
	}
	n := 0
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || known(e.Name()) || !info.ModTime().Before(before) {
			continue // one that goes meanwhile needs no more
		}
		if err := f.root.RemoveAll("uploads/" + e.Name()); err != nil {
			return n, fmt.Errorf("remove upload: %w", err)
		}
		n++
	}
	return n, nil
}

// Abort implements Store.
func (f *Folder) Abort(_ context.Context, key, upload string) error {
	dir, err := f.upload(key, upload)
	if errors.Is(err, ErrUpload) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.root.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove upload: %w", err)
	}
	return nil
}

// Open implements Store.
func (f *Folder) Open(_ context.Context, key string) (Reader, int64, error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	file, err := f.root.Open(f.object(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, ErrNotFound
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", key, err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// Delete implements Store.
func (f *Folder) Delete(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return f.remove(f.object(key))
}

// Check implements Store.
func (f *Folder) Check(context.Context) error {
	name := "uploads/check.tmp"
	if err := f.root.WriteFile(name, []byte("ok"), 0o600); err != nil {
		return fmt.Errorf("the folder for clips %s can't be written: %w", f.path, err)
	}
	return f.remove(name)
}
