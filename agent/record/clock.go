package record

import (
	"context"
	"fmt"
	"time"

	"github.com/shirou/gopsutil/v4/host"

	"holdfast/agent/ledger"
	"holdfast/shared/wire"
)

// stepLimit is how far the system's clock may be off the run's timeline before that is a step and not drift.
const stepLimit = 2 * time.Second

// mindClock lets the run's wall time follow the system's clock: slowly, or, after a step, by a new run, so that
// no time is counted twice and none is left out.
func (r *Recorder) mindClock(ctx context.Context) error {
	drift := time.Duration(r.Clock.Drift()) * time.Microsecond
	if drift.Abs() < stepLimit {
		r.Clock.Slew(10 * time.Second)
		return nil
	}
	r.Log.Warn("the system's clock was set: a new run begins", "step", drift)
	now := time.Now()
	return r.stepTo(ctx, now, now.UnixMicro())
}

// stepTo ends the run and begins the next one at a moment, whose wall time it now is.
func (r *Recorder) stepTo(ctx context.Context, at time.Time, wallUs int64) error {
	if err := r.Ledger.EndRun(ctx, r.Clock.Run(), r.Clock.Mono(), wire.ClockStep); err != nil {
		return err
	}
	run, _, err := r.Ledger.BeginRun(ctx, ledger.RunStart{BootID: r.cfg.BootID, WallUs: wallUs, Version: r.cfg.Version})
	if err != nil {
		return err
	}
	r.Clock.BeginAt(run.ID, at, wallUs)
	return nil
}

// bootByUptime names the host's start by its time, to ten seconds, where the system gives it no name.
func bootByUptime() string {
	at, err := host.BootTime()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("boot-%d", (at+5)/10*10)
}
