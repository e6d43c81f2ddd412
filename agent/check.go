package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/agent/disk"
	"holdfast/agent/health"
	"holdfast/agent/ledger"
	"holdfast/agent/media"
	"holdfast/agent/record"
)

// Report is what a check found.
type Report struct {
	OK     bool          `json:"ok"`
	Ledger []string      `json:"ledger"` // what is wrong with the ledger itself
	Mended []string      `json:"mended"` // what was wrong with it and is mended
	Files  record.Report `json:"files"`  // ledger and footage against each other
}

// String returns the report as lines for a person.
func (r Report) String() string {
	var b strings.Builder
	for _, text := range r.Ledger {
		fmt.Fprintf(&b, "broken ledger: %s\n", text)
	}
	for _, text := range r.Mended {
		fmt.Fprintf(&b, "repaired ledger: %s\n", text)
	}
	for _, f := range r.Files.Findings {
		fmt.Fprintln(&b, f)
	}
	verdict := "Everything is accounted for"
	if !r.OK {
		verdict = "Something is wrong (see above)"
	}
	fmt.Fprintf(&b, "%s: %d segments, %.2f GB; recorded %v, declared gaps %v, deleted %v; checked in %v.\n", verdict, r.Files.Segments, float64(r.Files.Bytes)/1e9,
		r.Files.Recorded.Round(time.Second), r.Files.Gaps.Round(time.Second), r.Files.Deleted.Round(time.Second), r.Files.Took.Round(time.Millisecond))
	return b.String()
}

// Check verifies the invariants I1, I2, I3 and I7 of a stopped agent; level is quick, stat or full. With repair it
// mends what can be mended without loss.
func Check(ctx context.Context, cfg Config, level string, repair bool) (_ Report, err error) {
	depth, known := map[string]record.Depth{"quick": record.Quick, "stat": record.Stat, "full": record.Full}[level]
	if !known {
		return Report{}, fmt.Errorf("level %q: want quick, stat or full", level)
	}
	if _, err := os.Stat(cfg.Data); err != nil {
		return Report{}, fmt.Errorf("there is no ledger to check: %w", err)
	}
	unlock, err := lock(filepath.Join(cfg.Data, "agent.lock"))
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := finishRebuild(cfg.Data); err != nil {
		return Report{}, err
	}
	path := filepath.Join(cfg.Data, ledgerFile)
	if _, err := os.Stat(path); err != nil {
		return Report{}, fmt.Errorf("there is no ledger to check; to build one from the media files:  holdfast-agent check --rebuild: %w", err)
	}
	var r Report
	if r.Ledger, err = ledger.Examine(ctx, path); err != nil {
		return Report{}, err
	}
	h := &house{cfg: cfg, opt: Options{Log: slog.New(slog.DiscardHandler)}, clock: media.NewClock()}
	h.board = health.NewBoard(h.clock.Now, nil)
	if h.disk, err = disk.Open(h.diskConfig(), h.board, h.opt.Log); err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, h.disk.Close()) }()
	if h.ledger, err = ledger.Open(ctx, path, h.opt.Log); err != nil && len(r.Ledger) > 0 {
		r.Ledger = append(r.Ledger, err.Error())
		return r, nil // it can't be looked into any further, and what is wrong is known
	} else if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, h.ledger.Close()) }()
	if repair && len(r.Ledger) > 0 {
		if r.Mended, err = h.ledger.Mend(ctx); err != nil {
			return r, err
		}
		if r.Ledger, err = ledger.Examine(ctx, path); err != nil {
			return r, err
		}
	}
	r.Files, err = record.Check(ctx, record.CheckConfig{Depth: depth, Repair: repair, Keys: evidenceKeys(cfg.Data)}, h.ledger, h.disk, h.opt.Log)
	r.OK = err == nil && len(r.Ledger) == 0 && r.Files.OK()
	return r, err
}
