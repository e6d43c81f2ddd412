package cloud

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/cloud/store"
	"holdfast/shared/atomicfile"
)

// A backup is a zip file: manifest.json, cloud.key (the cloud's identity), and tables/NNN-name.jsonl in an order
// in which they can be loaded. Clips are not in it: they are files of their own, or in S3.

// manifest is the first entry of a backup.
type manifest struct {
	Format    int    `json:"format"` // 1
	Schema    int64  `json:"schema"`
	Postgres  bool   `json:"postgres"`
	CreatedUs int64  `json:"created_us"`
	Product   string `json:"product"` // "holdfast-cloud"
}

// Backup writes the database's state of one moment and the identity key into the file at path, which must not
// exist, with permissions 0600, and returns its size in bytes. The cloud may run meanwhile.
func Backup(ctx context.Context, data, database, path string) (_ int64, err error) {
	key, err := os.ReadFile(KeyFile(data))
	if err != nil {
		return 0, fmt.Errorf("read the cloud's key: %w (is --data the folder that the cloud serves from?)", err)
	}
	db, err := store.Open(ctx, Database(data, database))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, fmt.Errorf("create backup: %w", err)
	}
	if err := writeBackup(ctx, f, db, key); err != nil {
		return 0, errors.Join(err, f.Close(), os.Remove(path))
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, fmt.Errorf("finish backup: %w", err)
	}
	return info.Size(), nil
}

func writeBackup(ctx context.Context, f io.Writer, db *store.DB, key []byte) error {
	z := zip.NewWriter(f)
	schema, err := db.Schema(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(manifest{Format: 1, Schema: schema, Postgres: db.Postgres(), CreatedUs: time.Now().UnixMicro(), Product: "holdfast-cloud"})
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	for name, content := range map[string][]byte{"manifest.json": text, "cloud.key": key} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			return fmt.Errorf("write backup: %w", err)
		}
	}
	n := 0
	err = db.Dump(ctx, func(table string) (io.Writer, error) {
		n++
		return z.Create(fmt.Sprintf("tables/%03d-%s.jsonl", n, table))
	})
	return errors.Join(err, z.Close())
}

// Restore fills an empty database and an empty data folder from a backup. Nothing is changed when it fails.
func Restore(ctx context.Context, path, data, database string) (err error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("open backup %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	var m manifest
	text, err := entry(z, "manifest.json")
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil || m.Product != "holdfast-cloud" || m.Format != 1 {
		return errors.Join(fmt.Errorf("%s is not a backup of holdfast-cloud that this program can read", path), err)
	}
	key, err := entry(z, "cloud.key")
	if err != nil {
		return err
	}
	if _, err := os.Stat(KeyFile(data)); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s holds a cloud's identity already: restore into an empty folder", data), err)
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	db, err := store.Open(ctx, Database(data, database))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := load(ctx, db, z, m); err != nil {
		return err
	}
	return atomicfile.Write(KeyFile(data), key, 0o600)
}

func load(ctx context.Context, db *store.DB, z *zip.ReadCloser, m manifest) error {
	schema, err := db.Schema(ctx)
	if err != nil {
		return err
	}
	if m.Schema != schema {
		return fmt.Errorf("the backup has schema version %d, this program makes %d: restore it with the program that wrote it, then upgrade", m.Schema, schema)
	}
	if m.Postgres != db.Postgres() {
		return errors.New("the backup was made of the other kind of database (SQLite or PostgreSQL): restore it into the kind that it came from")
	}
	var tables []*zip.File
	for _, f := range z.File {
		if strings.HasPrefix(f.Name, "tables/") {
			tables = append(tables, f)
		}
	}
	var open io.ReadCloser
	defer func() {
		if open != nil {
			_ = open.Close() // read only
		}
	}()
	return db.Load(ctx, func() (string, io.Reader, error) {
		if open != nil {
			_ = open.Close() // read only
			open = nil
		}
		if len(tables) == 0 {
			return "", nil, io.EOF
		}
		f := tables[0]
		tables = tables[1:]
		_, name, ok := strings.Cut(strings.TrimSuffix(filepath.Base(f.Name), ".jsonl"), "-")
		if !ok {
			return f.Name, nil, errors.New("the entry's name holds no table")
		}
		var err error
		open, err = f.Open()
		return name, open, err
	})
}

// entry reads one small entry of a backup.
func entry(z *zip.ReadCloser, name string) ([]byte, error) {
	f, err := z.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read %s of the backup: %w", name, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s of the backup: %w", name, err)
	}
	return text, nil
}
