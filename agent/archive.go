package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/agent/disk"
	"holdfast/agent/ledger"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// archive is the site's ledger and footage as a command looks at them, beside a running agent or without one. It
// changes nothing.
type archive struct {
	cfg    Config
	ledger *ledger.Ledger
	disk   *disk.Disk
}

func openArchive(ctx context.Context, cfg Config, log *slog.Logger) (*archive, error) {
	l, err := ledger.View(ctx, filepath.Join(cfg.Data, ledgerFile), log)
	if err != nil {
		return nil, err
	}
	c := (&house{cfg: cfg}).diskConfig()
	c.ReadOnly = true
	for i := range c.Volumes {
		c.Volumes[i].Create = false
	}
	d, err := disk.Open(c, nil, log)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &archive{cfg: cfg, ledger: l, disk: d}, nil
}

func (a *archive) close() error { return errors.Join(a.disk.Close(), a.ledger.Close()) }

// known is a camera that this machine knows, or has known.
type known struct {
	ID   id.Camera
	Key  string
	Name string
}

func (k known) String() string {
	if k.Name == "" || k.Name == k.Key {
		return k.Key
	}
	return fmt.Sprintf("%s (%s)", k.Key, k.Name)
}

// cameras returns the cameras that this machine has given an identity, by key.
func (a *archive) cameras(ctx context.Context) ([]known, error) {
	keys, err := readKeys(a.cfg.Data)
	if err != nil {
		return nil, err
	}
	names := map[id.Camera]string{}
	for _, c := range a.cfg.Cameras {
		names[keys[c.Key]] = c.Name
	}
	var desired wire.DesiredConfig
	text, err := a.ledger.Meta(ctx, desiredMeta)
	if err != nil {
		return nil, err
	}
	if text != "" && json.Unmarshal([]byte(text), &desired) == nil {
		for _, c := range desired.Cameras {
			if c.Name != "" {
				names[c.Camera] = c.Name
			}
		}
	}
	var out []known
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		out = append(out, known{ID: keys[key], Key: key, Name: names[keys[key]]})
	}
	return out, nil
}

// find returns the camera that a person means by its key, its ID, or its name.
func (a *archive) find(ctx context.Context, text string) (known, error) {
	all, err := a.cameras(ctx)
	if err != nil {
		return known{}, err
	}
	var named []known
	for _, c := range all {
		if c.Key == text || string(c.ID) == text {
			return c, nil
		}
		if strings.EqualFold(c.Name, strings.TrimSpace(text)) {
			named = append(named, c)
		}
	}
	if len(named) == 1 {
		return named[0], nil
	}
	if cam, err := id.Parse[id.Camera](text); err == nil {
		return known{ID: cam, Key: text}, nil // what is recorded says whether there is one
	}
	list := make([]string, 0, len(all))
	what := fmt.Sprintf("no camera is called %q; this machine knows", text)
	if len(named) > 1 {
		all, what = named, fmt.Sprintf("%d cameras are called %q, name one by its key:", len(named), text)
	}
	for _, c := range all {
		list = append(list, c.String())
	}
	if len(list) == 0 {
		return known{}, fmt.Errorf("no camera is called %q: this machine has recorded none yet", text)
	}
	return known{}, fmt.Errorf("%s %s", what, strings.Join(list, ", "))
}
