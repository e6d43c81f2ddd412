package fleet

import (
	"context"
	"time"

	"holdfast/cloud/store"
	"holdfast/cloud/store/health"
)

const (
	settleTime = time.Hour // incidents within it make the next one settle later
	maxSettle  = 4         // doublings
	perCommit  = 100       // incidents in one transaction
)

// problem is one kind of trouble of a site, as an incident after the other. The site's lock guards it.
type problem struct {
	incident *health.Incident // the one that is not settled
	phases   []string         // of the incident, still to be stored and told
	unsaved  bool             // the incident's row is older than incident
	ends     []int64          // of incidents that were settled lately
}

// problems returns every kind of trouble.
func (s *site) problems() []*problem { return []*problem{&s.outage, &s.losing} }

// unsaved reports whether an incident of the site is not in the database as it is.
func (s *site) unsaved() bool { return s.outage.unsaved || s.losing.unsaved }

// settleFor is how long the trouble must be gone before its incident is closed: longer each time that it came again
// shortly after, so that a flapping line is one incident.
func (p *problem) settleFor(base time.Duration, now time.Time) time.Duration {
	lately := 0
	for _, end := range p.ends {
		if now.UnixMicro()-end < settleTime.Microseconds() {
			lately++
		}
	}
	return base << min(lately, maxSettle)
}

// ended remembers the end of an incident.
func (p *problem) ended(us int64) {
	p.ends = append(p.ends[max(len(p.ends)-maxSettle, 0):], us)
}

// withdraw closes the incident without telling anybody.
func (p *problem) withdraw(now time.Time, text string) {
	p.phases = nil
	if p.incident == nil {
		return
	}
	if p.incident.EndUs == 0 {
		p.incident.EndUs = now.UnixMicro()
	}
	p.incident.SettledUs, p.incident.Text, p.unsaved = now.UnixMicro(), text, true
}

// post is an incident on its way to the database.
type post struct {
	s        *site
	p        *problem
	incident health.Incident
	phases   []string
}

// announce stores incidents that changed, together with what makes them told.
func (f *Fleet) announce(ctx context.Context) {
	var posts []post
	for _, s := range f.all() {
		s.mu.Lock()
		for _, p := range s.problems() {
			if p.unsaved && p.incident != nil {
				posts = append(posts, post{s, p, *p.incident, p.phases})
				p.unsaved, p.phases = false, nil
			}
		}
		s.mu.Unlock()
	}
	for len(posts) > 0 {
		part := posts[:min(perCommit, len(posts))]
		posts = posts[len(part):]
		err := f.db.Tx(ctx, func(q store.Querier) error { return f.store(ctx, q, part) })
		if err != nil {
			f.deps.Log.Error("incidents could not be stored; the next try follows: is the database reachable?", "count", len(part), "err", err)
		}
		for _, p := range part {
			f.posted(p, err)
		}
		if err == nil {
			f.deps.Told()
		}
	}
}

func (f *Fleet) store(ctx context.Context, q store.Querier, part []post) error {
	for _, p := range part {
		if err := health.PutIncident(ctx, q, p.incident); err != nil {
			return err
		}
		for _, phase := range p.phases {
			if err := f.deps.Incident(ctx, q, p.incident, phase); err != nil {
				return err
			}
		}
	}
	return nil
}

// posted notes what became of storing an incident.
func (f *Fleet) posted(done post, err error) {
	s, p := done.s, done.p
	s.mu.Lock()
	same := p.incident != nil && p.incident.ID == done.incident.ID
	switch {
	case err != nil && same:
		p.unsaved, p.phases = true, append(done.phases, p.phases...)
	case err == nil && same && p.incident.SettledUs != 0 && !p.unsaved:
		p.incident = nil
	}
	s.mu.Unlock()
	if err != nil {
		return
	}
	f.deps.Changed(Change{Org: s.org, Site: s.id, Kind: "incident", ID: string(done.incident.ID)})
	f.update(s, func(*site, time.Time) {})
}
