package ledger

import (
	"context"
	"database/sql"
	"errors"

	"holdfast/shared/wire"
)

// Run is the time between a start of the agent (or a step of its clock) and its end.
type Run struct {
	ID         int64
	BootID     string      // of the host's start
	WallUs     int64       // wall time of the run's zero
	LastMonoUs int64       // newest flush round, or the end
	EndedBy    wire.Reason // empty while it lasts
	Version    string      // of the agent
}

// RunStart is what is known when a run begins.
type RunStart struct {
	BootID  string
	WallUs  int64
	Version string
}

// BeginRun begins a run. prev is the run before it, nil for the first one; every run that had no end gets
// one now: host_off when the host was started anew since, else agent_crashed.
func (l *Ledger) BeginRun(ctx context.Context, s RunStart) (run Run, prev *Run, err error) {
	err = l.write(ctx, "begin run", func(t *tx) error {
		if err := t.endLost(s.BootID); err != nil {
			return err
		}
		if prev, err = t.lastRun(); err != nil {
			return err
		}
		run = Run{BootID: s.BootID, WallUs: s.WallUs, Version: s.Version}
		if err := t.get([]any{&run.ID}, `INSERT INTO run (boot_id, wall_us, version) VALUES (?, ?, ?) RETURNING id`,
			s.BootID, s.WallUs, s.Version); err != nil {
			return err
		}
		queue, seq, err := t.fact(liveQueue, wire.KindRun, runFact(run))
		if err != nil {
			return err
		}
		t.after = append(t.after, func() { l.run.Store(run.ID) })
		return t.exec(`UPDATE run SET queue = ?, seq = ? WHERE id = ?`, queue, seq, run.ID)
	})
	return run, prev, err
}

// EndRun ends a run at a moment of its own timeline. Ending it again changes nothing.
func (l *Ledger) EndRun(ctx context.Context, run, monoUs int64, by wire.Reason) error {
	return l.write(ctx, "end run", func(t *tx) error {
		n, err := t.count(`UPDATE run SET last_mono_us = max(last_mono_us, ?), ended_by = ? WHERE id = ? AND ended_by = ''`,
			monoUs, by, run)
		if err != nil {
			return err
		}
		if n == 0 {
			return t.exists(`SELECT 1 FROM run WHERE id = ?`, run)
		}
		return t.tellEnd(run)
	})
}

// endLost ends the runs that nobody ended.
func (t *tx) endLost(bootID string) error {
	rows, err := t.query(`SELECT id FROM run WHERE ended_by = ''`)
	lost, err := list(rows, err, scanInt)
	if err != nil {
		return err
	}
	for _, run := range lost {
		if err := t.exec(`UPDATE run SET ended_by = iif(boot_id = ?, ?, ?) WHERE id = ?`,
			bootID, wire.AgentCrashed, wire.HostOff, run); err != nil {
			return err
		}
		if err := t.tellEnd(run); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) tellEnd(run int64) error {
	var r Run
	var queue, seq int64
	if err := t.get([]any{&r.ID, &r.BootID, &r.WallUs, &r.LastMonoUs, &r.EndedBy, &r.Version, &queue, &seq},
		`SELECT `+runColumns+`, queue, seq FROM run WHERE id = ?`, run); err != nil {
		return err
	}
	where, err := t.behind(queue, seq)
	if err != nil {
		return err
	}
	_, _, err = t.fact(where, wire.KindRun, runFact(r))
	return err
}

const runColumns = `id, boot_id, wall_us, last_mono_us, ended_by, version`

func (t *tx) lastRun() (*Run, error) {
	var r Run
	err := t.get([]any{&r.ID, &r.BootID, &r.WallUs, &r.LastMonoUs, &r.EndedBy, &r.Version},
		`SELECT `+runColumns+` FROM run ORDER BY id DESC LIMIT 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

func runFact(r Run) wire.RunFact {
	f := wire.RunFact{Run: r.ID, BootID: r.BootID, WallUs: r.WallUs, EndedBy: r.EndedBy, AgentVer: r.Version}
	if r.EndedBy != "" {
		f.EndMono = max(r.LastMonoUs, 1) // 0 would say that the run lasts
	}
	return f
}

func scanInt(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }

// exists returns ErrNotFound when the query yields no row.
func (t *tx) exists(query string, args ...any) error {
	var one int
	err := t.get([]any{&one}, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
