package clip

import (
	"context"
	"errors"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/cloud/store/events"
	"holdfast/cloud/store/marks"
	"holdfast/shared/wire"
)

// Run orders clips from agents that are connected, removes the bytes of deleted ones, and tidies up, until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Resend)
	defer tick.Stop()
	for {
		err := errors.Join(r.order(ctx), r.sweep(ctx))
		if time.Since(r.tidied) >= r.cfg.Tidy {
			r.tidied = time.Now()
			err = errors.Join(err, r.Tidy(ctx))
		}
		if err != nil && ctx.Err() == nil {
			r.log.Error("look after clips", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// Tidy removes clips whose time is over, aborts uploads that nothing belongs to, and packs the events of past days. Run
// does it now and then.
func (r *Room) Tidy(ctx context.Context) error {
	return errors.Join(r.expire(ctx), r.orphans(ctx), r.pack(ctx))
}

func (r *Room) order(ctx context.Context) error {
	sites, err := clips.WaitingSites(ctx, r.db.Read(), store.System(store.UseWatch))
	if err != nil {
		return err
	}
	for _, site := range sites {
		agent, err := agents.OfSite(ctx, r.db, store.System(store.UseWatch), site)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := r.orderFrom(ctx, agent.Ref); err != nil {
			r.log.Debug("order clips later: the agent is not connected", "site", site, "error", err)
		}
	}
	return nil
}

// orderFrom sends an agent the orders that it does not have as they are now.
func (r *Room) orderFrom(ctx context.Context, ref agents.Ref) error {
	open, err := clips.Open(ctx, r.db.Read(), ref.Scope(), ref.Site)
	if err != nil {
		return err
	}
	for _, c := range open {
		if c.OrderedUs != 0 {
			continue
		}
		command, cancel := context.WithTimeout(ctx, 10*time.Second)
		reply, _, err := r.agents.Command(command, ref.Agent, wire.CmdClip, c.Order())
		cancel()
		if err != nil {
			return err
		}
		err = r.db.Tx(ctx, func(q store.Querier) error {
			if reply.Error != "" {
				return clips.Explain(ctx, q, ref.Scope(), c.ID, reply.Error)
			}
			return clips.Ordered(ctx, q, c, time.Now().UnixMicro())
		})
		if err != nil {
			return err
		}
		if reply.Error != "" {
			r.log.Warn("the agent refuses a clip", "clip", c.ID, "error", reply.Error)
			r.changed(c.Org, c.Site, c.Camera, c.ID)
		}
	}
	return nil
}

// sweep removes the bytes of deleted clips.
func (r *Room) sweep(ctx context.Context) error {
	scope := store.System(store.UseSweep)
	gone, err := clips.Deleted(ctx, r.db.Read(), scope)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range gone {
		if c.Upload.Handle != "" {
			errs = append(errs, r.blobs.Abort(ctx, key(c), c.Upload.Handle))
		}
		if err := r.blobs.Delete(ctx, key(c)); err != nil {
			errs = append(errs, err)
			continue
		}
		r.tellDropped(ctx, c)
		errs = append(errs, r.db.Tx(ctx, func(q store.Querier) error { return clips.Remove(ctx, q, scope, c.ID) }))
	}
	return errors.Join(errs...)
}

// expire deletes the clips whose time is over.
func (r *Room) expire(ctx context.Context) error {
	scope := store.System(store.UseSweep)
	for {
		now := time.Now().UnixMicro()
		over, err := clips.Expired(ctx, r.db.Read(), scope, now)
		if err != nil || len(over) == 0 {
			return err
		}
		err = r.db.Tx(ctx, func(q store.Querier) error {
			for _, c := range over {
				if err := clips.Delete(ctx, q, scope, c.ID, now); ignoreMissing(err) != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, c := range over {
			r.log.Info("clip removed: its time was over", "clip", c.ID, "site", c.Site, "bytes", c.Bytes)
			r.changed(c.Org, c.Site, c.Camera, c.ID)
		}
		if err := r.sweep(ctx); err != nil {
			return err
		}
	}
}

// orphans aborts uploads that no clip knows: what a crash of the cloud left behind between the store and its row.
func (r *Room) orphans(ctx context.Context) error {
	known, err := clips.Handles(ctx, r.db.Read(), store.System(store.UseSweep))
	if err != nil {
		return err
	}
	n, err := r.blobs.AbortOrphans(ctx, time.Now().Add(-r.cfg.Orphan), func(handle string) bool { return known[handle] })
	if n > 0 {
		r.log.Info("aborted uploads that nothing belongs to", "count", n)
	}
	return err
}

// pack packs the events of past days, so that the preview of a rule is quick.
func (r *Room) pack(ctx context.Context) error {
	scope, now := store.System(store.UseSweep), time.Now()
	sites, err := marks.Sites(ctx, r.db.Read(), scope)
	if err != nil {
		return err
	}
	for _, site := range sites {
		days, err := events.Unpacked(ctx, r.db.Read(), scope, site, now.Add(-Looked).UnixMicro(), now.UnixMicro())
		if err != nil {
			return err
		}
		for _, day := range days {
			err := r.db.Tx(ctx, func(q store.Querier) error {
				if err := marks.Lock(ctx, q, r.db.Postgres(), site); err != nil {
					return err
				}
				return events.Pack(ctx, q, scope, site, day)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
