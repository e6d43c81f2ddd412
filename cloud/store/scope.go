package store

import "holdfast/shared/id"

// Scope says whose rows a query may see. Its zero value sees nothing.
type Scope struct {
	org    id.Org
	system Use
}

// Use names one of the few reasons to look across organisations; they are listed in this file and nowhere
// else, so that the list can be read at a glance.
type Use string

// The uses of the System scope.
const (
	UseSignIn    Use = "sign_in"    // find a person by e-mail address before the organisation is known
	UseToken     Use = "token"      // find a portal session, invitation, reset or player by the hash of its token
	UseSetup     Use = "setup"      // is there any organisation yet
	UseEnrol     Use = "enrol"      // find an enrolment code by its lookup
	UseAgent     Use = "agent"      // find an agent by the ID that its signature then proves
	UseWatch     Use = "watch"      // judge which sites are dark, over all organisations
	UseSweep     Use = "sweep"      // remove what is expired, over all organisations
	UseBackup    Use = "backup"     // copy the whole database
	UseOperation Use = "operations" // gauges of the whole installation, without names
)

// Org returns the scope of one organisation.
func Org(org id.Org) Scope { return Scope{org: org} }

// System returns the scope that sees every organisation, for one of the listed uses.
func System(use Use) Scope { return Scope{system: use} }

// Filter returns the organisation for a query of the form "($1 = '*' OR org = $1)": "*" for System, the ID
// for one organisation, and an impossible ID for the zero Scope.
func (s Scope) Filter() string {
	switch {
	case s.system != "":
		return "*"
	case s.org != "":
		return string(s.org)
	default:
		return "-"
	}
}

// OrgID returns the organisation, empty for System.
func (s Scope) OrgID() id.Org { return s.org }
