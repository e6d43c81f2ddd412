package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"holdfast/agent/ledger"
	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/house"
	"holdfast/testenv/pg"
)

// mirrorCameras is how many cameras a site has that is mirrored.
const mirrorCameras = 40

// drain measures how fast the events of a long outage reach the cloud, and how late new ones are meanwhile: the real
// agent on one side, the real cloud over SQLite on the other, on the same machine.
func (b *bench) drain(ctx context.Context) error { return b.drainTo(ctx, "mirror", "") }

// drainPostgres is drain with a cloud over PostgreSQL, which runs on the same machine too.
func (b *bench) drainPostgres(ctx context.Context) error {
	server, err := pg.Start(ctx)
	if err != nil {
		return err
	}
	return errors.Join(b.drainTo(ctx, "mirror_postgres", server.URL), server.Stop())
}

// drainTo is drain with one database; SQLite when it is empty.
func (b *bench) drainTo(ctx context.Context, name, database string) (err error) {
	m, err := b.mirror(ctx, name, database, b.events)
	if m != nil {
		defer func() { err = errors.Join(err, m.house.Close(), os.RemoveAll(m.house.Dir)) }()
	}
	if err != nil {
		return err
	}
	before := m.site.Line.Stats()
	if err := m.site.StartAgent(ctx); err != nil {
		return err
	}
	d, err := m.drain(ctx)
	if err != nil {
		return err
	}
	carried := m.site.Line.Stats().Up - before.Up
	seconds := d.took.Seconds()
	say(name+"_drain_rate", float64(d.facts)/seconds, fmt.Sprintf("events/s, %d in %.1f s", d.facts, seconds))
	say(name+"_drain_cpu", d.agent.Seconds()/seconds, fmt.Sprintf("of a core at the site, %.2f in the cloud", d.cloud.Seconds()/seconds))
	d.late.say(name + "_live")
	each := float64(carried) / float64(len(m.made))
	say(name+"_bytes_per_event", each, "bytes over the line, all that was sent counted")
	say(name+"_bytes_per_site_day", each*mirrorCameras*60*24/1e6, fmt.Sprintf("MB for %d cameras with an event a minute each", mirrorCameras))
	return m.same(ctx)
}

// mirrored is a site after an outage, whose agent does not run, and its cloud.
type mirrored struct {
	house    *house.House
	site     *house.Site
	database string
	made     []id.Event // that the cloud must have in the end
}

// mirror makes a house whose stopped site has so many events to tell.
func (b *bench) mirror(ctx context.Context, name, database string, events int) (*mirrored, error) {
	h, err := house.Start(ctx, house.Setup{Dir: filepath.Join(b.dir, name), Database: database})
	if h == nil {
		return nil, err
	}
	m := &mirrored{house: h, database: database}
	if err != nil {
		return m, err
	}
	if database == "" {
		m.database = filepath.Join(h.Dir, "cloud", "cloud.db")
	}
	m.site = h.Sites[0]
	if err := m.site.Recording(ctx, 1, time.Minute); err != nil {
		return m, err
	}
	if err := m.site.Agent.Stop(30 * time.Second); err != nil {
		return m, err
	}
	begun := time.Now()
	if m.made, err = outage(ctx, m.site, events); err != nil {
		return m, err
	}
	say(name+"_ledger_rate", float64(events)/time.Since(begun).Seconds(), "events/s into the ledger, each durable before the next of its sender")
	return m, nil
}

// outage gives a stopped site the events of an outage of three days, and returns them in order.
func outage(ctx context.Context, s *house.Site, events int) (made []id.Event, err error) {
	l, err := ledger.Open(ctx, filepath.Join(s.Data, "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	cameras := make([]id.Camera, mirrorCameras)
	for i := range cameras {
		cameras[i] = id.New[id.Camera]()
	}
	length := 72 * time.Hour
	first := time.Now().Add(-length - time.Hour).UnixMicro()
	step := length.Microseconds() / int64(events)
	made = make([]id.Event, events)
	for i := range made {
		made[i] = id.New[id.Event]()
	}
	next := make(chan int)
	var workers sync.WaitGroup
	var mu sync.Mutex
	for range 256 { // what is put at once shares a transaction
		workers.Go(func() {
			for i := range next {
				e := eventOf(made[i], cameras[i%mirrorCameras], i, first+int64(i)*step)
				if putErr := l.PutEvent(ctx, e); putErr != nil {
					mu.Lock()
					err = putErr
					mu.Unlock()
				}
			}
		})
	}
	for i := range made {
		next <- i
	}
	close(next)
	workers.Wait()
	return made, err
}

// eventOf makes up what a recorder says of motion.
func eventOf(event id.Event, camera id.Camera, n int, atUs int64) wire.EventFact {
	return wire.EventFact{
		ID: event, Camera: camera, Kind: "motion", Source: "nvr", AtUs: atUs, EndUs: atUs + int64(n%60+1)*1_000_000,
		Data: fmt.Appendf(nil, `{"zone":%d,"score":0.%d}`, n%4+1, n%97+1),
	}
}

// drained is what a drain took.
type drained struct {
	facts        int64
	took         time.Duration
	carried      int64         // bytes over the line meanwhile
	agent, cloud time.Duration // of a processor
	late         *lateness
}

// drain follows the backlog to its end while new events come.
func (m *mirrored) drain(ctx context.Context) (d drained, err error) {
	l, err := ledger.View(ctx, filepath.Join(m.site.Data, "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	agent, _, errAgent := spent(m.site.Agent.PID())
	cloud, _, errCloud := spent(m.house.Cloud.PID())
	if err := errors.Join(errAgent, errCloud); err != nil {
		return d, err
	}
	d.late = newLateness(m.house)
	within, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { d.late.run(within, 200*time.Millisecond) })
	var before int64
	d.facts, d.took, err = follow(ctx, l, func() { before = m.site.Line.Stats().Up })
	d.carried = m.site.Line.Stats().Up - before
	stop()
	d.agent, _, errAgent = spent(m.site.Agent.PID())
	d.cloud, _, errCloud = spent(m.house.Cloud.PID())
	d.agent, d.cloud = d.agent-agent, d.cloud-cloud
	running.Wait()
	m.made = append(m.made, d.late.sent()...)
	return d, errors.Join(err, errAgent, errCloud, d.late.fault())
}

// same stops both ends and holds the cloud's events against those that the site made.
func (m *mirrored) same(ctx context.Context) error {
	if err := errors.Join(m.site.Agent.Stop(30*time.Second), m.house.Cloud.Stop(30*time.Second)); err != nil {
		return err
	}
	return sameEvents(ctx, m.database, m.site.ID, m.made)
}

// follow waits until no fact waits but what has come since, and returns how many were acked in which time. It calls begins
// when the first ack has come.
func follow(ctx context.Context, l *ledger.Ledger, begins func()) (facts int64, took time.Duration, err error) {
	acked := func() (acked, waits int64, err error) {
		queues, err := l.Queues(ctx)
		for _, q := range queues {
			if q.Lane == wire.Backlog || q.Rows > 1000 {
				acked, waits = acked+q.Acked, waits+q.Rows
			}
		}
		return acked, waits, err
	}
	first, all, err := acked()
	if err != nil {
		return 0, 0, err
	}
	var begun time.Time
	err = house.Until(ctx, 30*time.Minute, "the backlog has drained", func(context.Context) (bool, error) {
		now, waits, err := acked()
		switch {
		case err != nil:
			return false, err
		case begun.IsZero() && now == first:
			return false, nil
		case begun.IsZero():
			begins()
			begun, first, all = time.Now(), now, waits
		}
		return waits == 0, nil
	})
	return all, time.Since(begun), err
}

// sameEvents holds the events of a stopped cloud against those that the site made: each is there, once.
func sameEvents(ctx context.Context, database string, site id.Site, made []id.Event) (err error) {
	db, err := store.Open(ctx, database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	want := make(map[id.Event]bool, len(made))
	for _, e := range made {
		want[e] = true
	}
	rows, err := db.Read().QueryContext(ctx, `SELECT id FROM event WHERE site = $1`, site)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e id.Event
		if err := rows.Scan(&e); err != nil {
			return err
		}
		if !want[e] {
			return fmt.Errorf("the cloud has the event %s twice, or the site never made it", e)
		}
		delete(want, e)
	}
	if len(want) > 0 {
		return fmt.Errorf("%d of %d events never reached the cloud", len(want), len(made))
	}
	return rows.Err()
}
