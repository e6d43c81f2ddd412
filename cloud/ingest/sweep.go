package ingest

import (
	"context"
	"errors"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/coverage"
	"holdfast/cloud/store/events"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/marks"
	"holdfast/shared/id"
)

// sweepEvents is how many events one transaction of a sweep removes.
const sweepEvents = 2000

// Run removes what is older than the configuration keeps, once a period, until ctx ends.
func (in *Ingest) Run(ctx context.Context) error {
	tick := time.NewTicker(in.cfg.SweepPeriod)
	defer tick.Stop()
	for {
		if err := in.Sweep(ctx); err != nil && ctx.Err() == nil {
			in.deps.Log.Error("old facts could not be removed; the next try is in "+in.cfg.SweepPeriod.String(), "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep removes what is older than the configuration keeps, site by site in short transactions.
func (in *Ingest) Sweep(ctx context.Context) error {
	scope := store.System(store.UseSweep)
	sites, err := marks.Sites(ctx, in.db.Read(), scope)
	if err != nil {
		return err
	}
	for _, site := range sites {
		if err := in.sweepSite(ctx, scope, site); err != nil {
			return err
		}
	}
	return nil
}

func (in *Ingest) sweepSite(ctx context.Context, scope store.Scope, site id.Site) error {
	now := time.Now()
	old := now.Add(-in.cfg.Keep).UnixMicro()
	cameras, err := marks.Cameras(ctx, in.db.Read(), scope, site)
	if err != nil {
		return err
	}
	err = in.db.Tx(ctx, func(q store.Querier) error {
		return errors.Join(
			marks.SweepParked(ctx, q, scope, site, now.Add(-in.cfg.ParkedKeep).UnixMicro(), in.cfg.ParkedMax),
			health.Sweep(ctx, q, scope, site, old), events.SweepPacks(ctx, q, scope, site, old))
	})
	for _, camera := range cameras {
		if err != nil {
			return err
		}
		err = in.db.Tx(ctx, func(q store.Querier) error { return coverage.Sweep(ctx, q, scope, camera, old) })
	}
	if err != nil {
		return err
	}
	for n := int64(sweepEvents); n == sweepEvents && err == nil; {
		err = in.db.Tx(ctx, func(q store.Querier) error {
			n, err = events.Sweep(ctx, q, scope, site, old, sweepEvents)
			return err
		})
	}
	return err
}
