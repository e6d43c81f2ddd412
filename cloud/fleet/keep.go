package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/health"
	"holdfast/cloud/store/orgs"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

const (
	perFlush = 500 // sites whose state one turn stores
	perPage  = 500 // sites that one query reads
)

// stateBody is what is stored of a site once a minute.
type stateBody struct {
	OpenedUs int64           `json:"opened_us"`
	Ending   string          `json:"ending"`
	RTTUs    int64           `json:"rtt_us"`
	OffsetUs int64           `json:"offset_us"`
	Disk     wire.DiskState  `json:"disk"`
	Queue    wire.QueueState `json:"queue"`
	Durable  []int64         `json:"durable"` // of the recorded streams, in the report's order
	Status   string          `json:"status"`
	SinceUs  int64           `json:"since_us"`
}

// reportBody is what is stored of a site when it changes.
type reportBody struct {
	About      about                `json:"about"`
	Cameras    []wire.CameraState   `json:"cameras"`
	SinceUs    []int64              `json:"since_us"` // of each camera
	Conditions []wire.ConditionFact `json:"conditions"`
	InForce    int64                `json:"in_force"`
	Faults     []string             `json:"faults"`
	Holds      []wire.HoldState     `json:"holds"`
}

// Load reads what is known of every site. Call it before sessions are opened; a second call does nothing.
func (f *Fleet) Load(ctx context.Context) error {
	f.mu.RLock()
	loaded := f.loaded
	f.mu.RUnlock()
	if loaded {
		return nil
	}
	scope := store.System(store.UseWatch)
	enrolled, err := agents.List(ctx, f.db, scope)
	if err != nil {
		return err
	}
	agentOf := make(map[id.Site]agents.Agent, len(enrolled))
	for _, a := range enrolled {
		agentOf[a.Site] = a
	}
	err = health.States(ctx, f.db.Read(), scope, func(st health.State, r health.Report) error {
		if agentOf[st.Site].Agent == st.Agent {
			f.restore(st, r, agentOf[st.Site].EnrolledUs)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := f.loadIncidents(ctx, scope); err != nil {
		return err
	}
	f.refresh(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loaded, f.judge = true, time.Now().Add(f.cfg.Grace)
	return nil
}

// restore makes an entry from what was stored; what can't be read is left out, for the next hello brings it.
func (f *Fleet) restore(st health.State, r health.Report, enrolledUs int64) {
	s := f.entry(st.Ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.agent != "" {
		return // it was heard of already
	}
	var body stateBody
	var report reportBody
	if err := json.Unmarshal(st.Body, &body); err != nil {
		f.deps.Log.Warn("the stored state of a site can't be read", "site", st.Site, "err", err)
	}
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &report); err != nil {
			f.deps.Log.Warn("the stored report of a site can't be read", "site", st.Site, "err", err)
		}
	}
	s.agent, s.enrolledUs, s.seenUs, s.stateAt, s.reportAt = st.Agent, enrolledUs, st.SeenUs, time.Now(), time.Now()
	s.openedUs, s.ending, s.rttUs, s.offsetUs = body.OpenedUs, body.Ending, body.RTTUs, body.OffsetUs
	s.disk, s.queue, s.status, s.sinceUs = body.Disk, body.Queue, body.Status, body.SinceUs
	s.about, s.inForce, s.faults, s.holds = report.About, report.InForce, report.Faults, report.Holds
	s.setConditions(report.Conditions)
	for i, state := range report.Cameras {
		c := &camera{CameraState: state}
		if i < len(report.SinceUs) {
			c.sinceUs = report.SinceUs[i]
		}
		s.cameras = append(s.cameras, c)
	}
	s.durable(func(n int, st *wire.StreamState) {
		if n < len(body.Durable) {
			st.DurableUs = body.Durable[n]
		}
	})
}

// durable calls fn for each recorded stream, numbered in order.
func (s *site) durable(fn func(n int, st *wire.StreamState)) {
	n := 0
	for _, c := range s.cameras {
		for i := range c.Streams {
			if c.Streams[i].Record {
				fn(n, &c.Streams[i])
				n++
			}
		}
	}
}

// loadIncidents gives each entry its open incidents and the end of its last ones. Open incidents of a site that has no
// agent any more are closed without a word.
func (f *Fleet) loadIncidents(ctx context.Context, scope store.Scope) error {
	past, err := health.LastIncidents(ctx, f.db.Read(), scope)
	if err != nil {
		return err
	}
	for _, i := range past {
		if s := f.find(scope, i.Site); s != nil {
			s.mu.Lock()
			if i.Kind == health.Losing {
				s.losing.ended(i.EndUs)
			} else {
				s.last = &Outage{StartUs: i.StartUs, EndUs: i.EndUs, Text: i.Text, Agent: i.Outcome}
				s.outage.ended(i.EndUs)
			}
			s.mu.Unlock()
		}
	}
	open, err := health.OpenIncidents(ctx, f.db.Read(), scope)
	if err != nil {
		return err
	}
	for _, i := range open {
		s := f.find(scope, i.Site)
		if s == nil {
			s = newSite(i.Org, i.Site)
			f.mu.Lock()
			f.sites[i.Site] = s
			f.mu.Unlock()
		}
		s.mu.Lock()
		if i.Kind == health.Losing {
			s.losing.incident = &i
		} else {
			s.outage.incident = &i
		}
		switch {
		case s.agent == "":
			s.retire(time.Now())
		case i.Kind == health.Losing: // what the site says next goes on with it
		case !s.heard.IsZero():
			s.returned(time.Now(), "")
		default:
			s.dark = i.EndUs == 0
		}
		s.mu.Unlock()
	}
	return nil
}

// refresh reads the names of all sites again and forgets those that were removed.
func (f *Fleet) refresh(ctx context.Context) {
	scope := store.System(store.UseWatch)
	present := map[id.Site]bool{}
	page := orgs.Page{Limit: perPage}
	for {
		rows, next, err := orgs.Sites(ctx, f.db.Read(), scope, nil, "", page)
		if err != nil {
			if ctx.Err() == nil {
				f.deps.Log.Error("the names of sites could not be read; the next try is in "+f.cfg.Refresh.String(), "err", err)
			}
			return
		}
		for _, row := range rows {
			present[row.ID] = true
			if s := f.find(scope, row.ID); s != nil {
				s.mu.Lock()
				s.setName(row)
				s.mu.Unlock()
			}
		}
		if next == "" {
			break
		}
		page.After = next
	}
	for _, s := range f.all() {
		if present[s.id] {
			continue
		}
		s.mu.Lock()
		done := s.agent == "" && !s.unsaved() && !s.dropped
		if s.agent != "" {
			s.retire(time.Now())
		}
		s.mu.Unlock()
		if done {
			f.mu.Lock()
			delete(f.sites, s.id)
			f.mu.Unlock()
		}
	}
}

// batch is what one flush writes.
type batch struct {
	states  []health.State
	reports []health.Report
	dropped []*site
	sites   []*site // of states and reports, to be marked again after a failure
}

// flush stores the state of sites whose turn it is; all: of every site that changed.
func (f *Fleet) flush(ctx context.Context, now time.Time, all bool) {
	var b batch
	for _, s := range f.all() {
		if len(b.sites) >= perFlush && !all {
			break
		}
		if err := b.take(s, now, f.cfg.Keep, all); err != nil {
			f.deps.Log.Error("the state of a site can't be stored", "site", s.id, "err", err)
		}
	}
	if len(b.sites)+len(b.dropped) == 0 {
		return
	}
	err := f.db.Tx(ctx, func(q store.Querier) error {
		for _, s := range b.dropped {
			if err := health.DropState(ctx, q, store.Org(s.org), s.id); err != nil {
				return err
			}
		}
		if err := health.PutStates(ctx, q, b.states); err != nil {
			return err
		}
		return health.PutReports(ctx, q, b.reports)
	})
	if err == nil {
		return
	}
	if ctx.Err() == nil {
		f.deps.Log.Error("the state of sites could not be stored; the next try follows: is the database reachable?", "err", err)
	}
	for _, s := range b.sites {
		s.mu.Lock()
		s.stateDirty, s.reportDirty = true, true
		s.mu.Unlock()
	}
	for _, s := range b.dropped {
		s.mu.Lock()
		s.dropped = s.agent == ""
		s.mu.Unlock()
	}
}

// take adds what is to be stored of a site, and counts it as stored.
func (b *batch) take(s *site, now time.Time, keep time.Duration, all bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		s.dropped = false
		b.dropped = append(b.dropped, s)
	}
	if s.agent == "" {
		return nil
	}
	ref := agents.Ref{Org: s.org, Site: s.id, Agent: s.agent}
	took := false
	if s.stateDirty && (all || now.Sub(s.stateAt) >= keep) {
		body, err := json.Marshal(s.stateBody())
		if err != nil {
			return fmt.Errorf("encode state: %w", err)
		}
		b.states = append(b.states, health.State{Ref: ref, SeenUs: s.seenUs, Body: body})
		s.stateDirty, s.stateAt, took = false, now, true
	}
	if s.reportDirty && (all || now.Sub(s.reportAt) >= keep) {
		body, err := json.Marshal(s.reportBody())
		if err != nil {
			return fmt.Errorf("encode report: %w", err)
		}
		b.reports = append(b.reports, health.Report{Ref: ref, AtUs: s.seenUs, Body: body})
		s.reportDirty, s.reportAt, took = false, now, true
	}
	if took {
		b.sites = append(b.sites, s)
	}
	return nil
}

func (s *site) stateBody() stateBody {
	b := stateBody{
		OpenedUs: s.openedUs, Ending: s.ending, RTTUs: s.rttUs, OffsetUs: s.offsetUs, Disk: s.disk, Queue: s.queue,
		Status: s.status, SinceUs: s.sinceUs,
	}
	s.durable(func(_ int, st *wire.StreamState) { b.Durable = append(b.Durable, st.DurableUs) })
	return b
}

func (s *site) reportBody() reportBody {
	r := reportBody{About: s.about, InForce: s.inForce, Faults: s.faults, Holds: s.holds}
	for _, c := range s.cameras {
		r.Cameras = append(r.Cameras, c.CameraState)
		r.SinceUs = append(r.SinceUs, c.sinceUs)
	}
	for _, c := range s.conditions {
		r.Conditions = append(r.Conditions, c)
	}
	return r
}
