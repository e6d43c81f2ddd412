// Package arch holds the rules of the house as data and as tests: which package may import which, what every
// package must say of itself, and what no package may do. The table is also the drawing: read it to see the
// rooms, floors, gates and walls.
package arch

// Rule says what the packages of one place may import from inside the module, by prefix.
type Rule struct {
	Place string   // import path prefix inside the module, without "holdfast/"
	May   []string // prefixes that it may import; its own sub-packages are always allowed
}

// Rules returns the import table. The first rule whose Place is a prefix applies; a package that no rule
// covers is an error.
func Rules() []Rule {
	floors := []string{"shared", "agent/media", "agent/disk", "agent/ledger", "agent/pace", "agent/health"}
	gates := []string{"shared", "agent/health", "agent/pace"}
	rooms := []string{"shared", "cloud/store", "cloud/blob"}
	return []Rule{
		// shared: std, a codec, and each other
		{"shared", []string{"shared"}},

		// the agent's floors
		{"agent/media", []string{"shared"}},
		{"agent/disk", []string{"shared", "agent/health"}},
		{"agent/ledger", []string{"shared", "agent/health"}},
		{"agent/pace", []string{"shared", "agent/health"}},
		{"agent/health", []string{"shared"}},
		// the gate and the window
		{"agent/uplink", gates},
		{"agent/local", gates},
		// the agent's rooms
		{"agent/camera", floors},
		{"agent/nvr", floors},
		{"agent/record", floors},
		{"agent/fill", floors},
		{"agent/retain", floors},
		{"agent/scrub", floors},
		{"agent/clip", floors},
		{"agent/outbox", floors},
		{"agent/live", floors},
		{"agent/probe", floors},
		{"agent/update", floors},
		// the agent's hall and its door to the operating system
		{"agent/cmd", []string{"agent", "shared"}},
		{"agent", []string{"agent", "shared"}},

		// the cloud's floors
		{"cloud/store", []string{"shared"}},
		{"cloud/blob", []string{"shared"}},
		// the cloud's rooms
		{"cloud/gateway", rooms},
		{"cloud/clip", rooms},
		{"cloud/ingest", rooms},
		{"cloud/fleet", rooms},
		{"cloud/live", rooms},
		{"cloud/access", rooms},
		{"cloud/alert", rooms},
		// the cloud's door
		{"cloud/portal", nil},
		{"cloud/api", []string{
			"shared", "cloud/store", "cloud/access", "cloud/fleet", "cloud/gateway", "cloud/clip", "cloud/live", "cloud/alert",
		}},
		// the cloud's hall and its door to the operating system
		{"cloud/cmd", []string{"cloud", "shared"}},
		{"cloud", []string{"cloud", "shared"}},

		// installers hold no business code
		{"installer", nil},
		// the test environment may use anything
		{"testenv", []string{"agent", "cloud", "shared", "testenv"}},
	}
}

// Library says which places alone may import a library.
type Library struct {
	Path   string   // import path prefix
	Places []string // prefixes inside the module, besides testenv and tests
}

// Libraries returns the libraries that are kept in few packages.
func Libraries() []Library {
	return []Library{
		{"modernc.org/sqlite", []string{"agent/ledger", "cloud/store"}},
		{"github.com/jackc/pgx", []string{"cloud/store"}},
		{"github.com/pressly/goose", []string{"cloud/store"}},
		{"github.com/pion/webrtc", []string{"agent/live", "cloud/live", "shared/rtc"}},
		{"github.com/pion/ice", []string{"shared/rtc"}},
		{"github.com/pion/turn", []string{"cloud/live"}},
		{"github.com/pion/stun", []string{"cloud/live"}},
		{"github.com/pion/interceptor", []string{"agent/live", "shared/rtc"}},
		{"github.com/bluenviron/gortsplib", []string{"agent/camera", "agent/nvr", "agent/live"}},
		{"github.com/aws/", []string{"cloud/blob"}},
		{"github.com/kardianos/service", []string{"agent/cmd"}},
		{"github.com/danielgtaylor/huma", []string{"cloud/api"}},
		{"github.com/icholy/digest", []string{"agent/nvr"}},
		{"github.com/thesyncim/gopus", []string{"shared/g711"}},
	}
}
