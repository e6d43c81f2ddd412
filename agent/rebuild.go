package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/agent/record"
	"holdfast/agent/uplink"
	"holdfast/shared/atomicfile"
	"holdfast/shared/id"
)

// Names in the data folder. A new ledger is built under the first name and whole under the second; from then on the
// exchange is finished by whoever comes next, whatever happens.
const (
	ledgerFile   = "ledger.db"
	buildingFile = "ledger.db.rebuilding"
	rebuiltFile  = "ledger.db.rebuilt"
)

// RebuildReport is what Rebuild did.
type RebuildReport struct {
	Sound    bool           `json:"sound"`              // the ledger was whole: nothing was done
	Broken   []string       `json:"broken"`             // what was wrong with it
	Kept     string         `json:"kept"`               // where the old ledger lies now; empty when there was none
	Files    record.Rebuilt `json:"files"`              // what the files told
	Events   int            `json:"events"`             // taken over from the old ledger, since the cloud had not been told
	Outages  int            `json:"outages"`            //
	Salvaged bool           `json:"salvaged,omitempty"` // all that waited for the cloud could be read
}

// String returns the report as lines for a person.
func (r RebuildReport) String() string {
	if r.Sound {
		return "The ledger is whole: nothing was done. (To build it anew all the same, which loses what only it tells:  --rebuild --force)\n"
	}
	var b strings.Builder
	for _, text := range r.Broken {
		fmt.Fprintf(&b, "broken ledger: %s\n", text)
	}
	for _, f := range r.Files.Findings {
		fmt.Fprintln(&b, f)
	}
	f := r.Files
	fmt.Fprintf(&b, "The ledger was built anew from %d segments, %.2f GB: %d were whole, %d were open and are cut to their last whole part.\n",
		f.Segments, float64(f.Bytes)/1e9, f.Whole, f.Recovered)
	if f.Foreign > 0 {
		fmt.Fprintf(&b, "%d whole segments are not signed by this machine's present key.\n", f.Foreign)
	}
	fmt.Fprintf(&b, "Recorded %v; gaps %v, of which the reason of %v is lost (unknown); deleted %v. It took %v.\n", f.Recorded.Round(time.Second),
		f.Gaps.Round(time.Second), f.Unknown.Round(time.Second), f.Deleted.Round(time.Second), f.Took.Round(time.Millisecond))
	switch {
	case r.Kept == "":
		b.WriteString("There was no old ledger: events that had not reached the cloud are lost.\n")
	case r.Salvaged:
		fmt.Fprintf(&b, "The old ledger is kept as %s. %d events and %d outages that waited for the cloud were taken over from it.\n", r.Kept, r.Events, r.Outages)
	default:
		fmt.Fprintf(&b, "The old ledger is kept as %s. It could be read in part only: %d events and %d outages that waited for the cloud were taken "+
			"over, more may be lost.\n", r.Kept, r.Events, r.Outages)
	}
	b.WriteString("What media files do not tell is gone here: the history of events and health (the cloud keeps what it was told), the words beside\n" +
		"gaps, and why video was deleted where the old ledger could not be read. Clips that were on their way are cut again when the cloud asks.\n" +
		"At the next start the cloud is told everything anew.\n")
	return b.String()
}

// Rebuild builds the ledger of a stopped agent anew from the media files, when it is gone or broken, or when force is
// set. The old one is moved aside once the new one is whole: a crash before leaves everything as it was.
func Rebuild(ctx context.Context, cfg Config, force bool) (r RebuildReport, err error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return r, fmt.Errorf("make data folder: %w", err)
	}
	unlock, err := lock(filepath.Join(cfg.Data, "agent.lock"))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := finishRebuild(cfg.Data); err != nil {
		return r, err
	}
	path := filepath.Join(cfg.Data, ledgerFile)
	if r.Sound, r.Broken, err = sound(ctx, path); err != nil || r.Sound && !force {
		return r, err
	}
	r.Sound = false
	if err := build(ctx, cfg, &r); err != nil {
		return r, errors.Join(err, removeLedger(filepath.Join(cfg.Data, buildingFile)))
	}
	if r.Kept, err = exchange(cfg.Data); err != nil {
		return r, err
	}
	return r, nil
}

// sound says whether there is a ledger that is whole, and else what is wrong with it.
func sound(ctx context.Context, path string) (bool, []string, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, []string{"there is none"}, nil
	}
	broken, err := ledger.Examine(ctx, path)
	if err != nil || len(broken) > 0 {
		return false, broken, err
	}
	l, err := ledger.Open(ctx, path, slog.New(slog.DiscardHandler))
	if err != nil {
		return false, []string{err.Error()}, nil
	}
	return true, nil, l.Close()
}

// build builds the new ledger beside the old one.
func build(ctx context.Context, cfg Config, r *RebuildReport) (err error) {
	h := &house{cfg: cfg, opt: Options{Log: slog.New(slog.DiscardHandler)}}
	h.board = health.NewBoard(func() int64 { return time.Now().UnixMicro() }, nil)
	if h.disk, err = disk.Open(h.diskConfig(), h.board, h.opt.Log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.disk.Close()) }()
	for _, v := range h.disk.Volumes() {
		if v.Err != nil {
			return fmt.Errorf("the volume at %s can't be used, and without it its video would be in no account: %w. Connect it, "+
				"or take it out of the configuration", v.Path, v.Err)
		}
	}
	path := filepath.Join(cfg.Data, buildingFile)
	if err := removeLedger(path); err != nil {
		return err
	}
	if h.ledger, err = ledger.Open(ctx, path, h.opt.Log); err != nil {
		return err
	}
	rc := record.RebuildConfig{Keys: evidenceKeys(cfg.Data)}
	if rc.Streams, err = recorded(cfg); err == nil {
		if me, idErr := uplink.LoadIdentity(cfg.Data); idErr == nil {
			rc.Key = me.EvidenceKey()
		}
		err = h.restore(ctx, filepath.Join(cfg.Data, ledgerFile), rc, r)
	}
	if err = errors.Join(err, h.ledger.Close()); err != nil {
		return err
	}
	if wrong, err := ledger.Examine(ctx, path); err != nil || len(wrong) > 0 {
		return errors.Join(fmt.Errorf("the new ledger is not sound: %q", wrong), err)
	}
	return nil
}

// restore fills a new ledger from the media files, and from the old one with what they do not tell.
func (h *house) restore(ctx context.Context, old string, rc record.RebuildConfig, r *RebuildReport) error {
	told, err := h.ledger.SalvageGone(ctx, old)
	if err != nil {
		return err
	}
	if r.Files, err = record.Rebuild(ctx, rc, h.ledger, h.disk, h.opt.Log); err != nil {
		return err
	}
	r.Events, r.Outages, r.Salvaged, err = h.ledger.Salvage(ctx, old)
	r.Salvaged = r.Salvaged && told
	return err
}

// recorded returns the streams whose video the cloud may know of.
func recorded(cfg Config) (out []id.Stream, _ error) {
	keys, err := readKeys(cfg.Data)
	for _, cam := range keys {
		out = append(out, id.Stream{Camera: cam, Kind: id.Main})
	}
	for _, c := range cfg.Cameras {
		if cam := keys[c.Key]; cam != "" && *c.RecordSub {
			out = append(out, id.Stream{Camera: cam, Kind: id.Sub})
		}
	}
	return out, err
}

// removeLedger removes a ledger that was never in use.
func removeLedger(path string) error {
	var errs []error
	for _, name := range withCompanions(path) {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove a ledger that was not finished: %w", err))
		}
	}
	return errors.Join(errs...)
}

// withCompanions names a ledger and what SQLite keeps beside it.
func withCompanions(path string) []string { return []string{path, path + "-wal", path + "-shm"} }

// exchange puts the ledger that was built in the place of the old one; kept is where that lies now.
func exchange(data string) (kept string, err error) {
	from, to := filepath.Join(data, buildingFile), filepath.Join(data, rebuiltFile)
	if err := os.Rename(from, to); err != nil {
		return "", fmt.Errorf("exchange the ledger: %w", err)
	}
	if err := atomicfile.SyncDir(data); err != nil {
		return "", fmt.Errorf("exchange the ledger: %w", err)
	}
	if err := removeLedger(from); err != nil { // companions without their file
		return "", err
	}
	kept = keptName(data)
	_, statErr := os.Lstat(filepath.Join(data, ledgerFile))
	if errors.Is(statErr, fs.ErrNotExist) {
		kept = ""
	}
	return kept, finishRebuild(data)
}

// keptName is where the old ledger goes: named by when the new one was finished, so that every try gives the same name.
func keptName(data string) string {
	info, err := os.Stat(filepath.Join(data, rebuiltFile))
	if err != nil {
		return ""
	}
	return filepath.Join(data, ledgerFile+".broken-"+info.ModTime().UTC().Format("20060102-150405"))
}

// finishRebuild finishes an exchange that was begun: the old ledger, with all that belongs to it, is moved aside before
// the new one takes its name, for SQLite would read the old one's log into the new one.
func finishRebuild(data string) error {
	kept := keptName(data)
	if kept == "" {
		return nil
	}
	path := filepath.Join(data, ledgerFile)
	to := withCompanions(kept)
	for i, name := range withCompanions(path) {
		if err := os.Rename(name, to[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("move the old ledger aside: %w", err)
		}
	}
	if err := atomicfile.SyncDir(data); err != nil {
		return fmt.Errorf("move the old ledger aside: %w", err)
	}
	if err := os.Rename(filepath.Join(data, rebuiltFile), path); err != nil {
		return fmt.Errorf("put the new ledger in its place: %w", err)
	}
	if err := atomicfile.SyncDir(data); err != nil {
		return fmt.Errorf("put the new ledger in its place: %w", err)
	}
	return nil
}
