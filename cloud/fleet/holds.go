package fleet

import (
	"slices"

	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// holdsSince is the version of the protocol in which agents learned to keep holds.
const holdsSince = 2

// Holds is what a site says of holds.
type Holds struct {
	States []wire.HoldState // all of the site, those that were made there included
	Known  bool             // an agent was ever heard of
	Able   bool             // it can keep holds, and waits a day with a stricter limit
}

// Holds returns what a site said of holds last.
func (f *Fleet) Holds(scope store.Scope, which id.Site) Holds {
	s := f.find(scope, which)
	if s == nil {
		return Holds{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Holds{States: slices.Clone(s.holds), Known: s.agent != "", Able: s.about.Protocol >= holdsSince}
}
