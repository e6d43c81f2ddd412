package access_test

import (
	"errors"
	"slices"
	"testing"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// TestCan is the table of rights: role by action.
func TestCan(t *testing.T) {
	org, other := id.New[id.Org](), id.New[id.Org]()
	in, out := id.New[id.Site](), id.New[id.Site]()
	table := map[access.Action]string{ // o owner, m manager, v viewer, s support
		access.Self: "omvs", access.View: "omvs", access.Health: "omvs", access.Events: "omvs",
		access.Live: "omv", access.Playback: "omv", access.Export: "omv",
		access.EditClips: "om", access.EditHolds: "om", access.EditCameras: "om", access.EditSites: "om", access.Enrol: "om", access.EditRules: "om", access.EditPeople: "om",
		access.MakeSites: "o", access.EditRegions: "o", access.EditAlerts: "o", access.EditWalls: "o", access.SeeAudit: "o",
	}
	roles := map[byte]access.Role{'o': access.Owner, 'm': access.Manager, 'v': access.Viewer, 's': access.Support}
	if len(table) != len(access.Actions()) {
		t.Fatalf("the table has %d actions, the list %d", len(table), len(access.Actions()))
	}
	for _, action := range access.Actions() {
		for letter, role := range roles {
			allowed := slices.Contains([]byte(table[action]), letter)
			limited := access.Actor{Person: "per-1", Org: org, Role: role, Sites: []id.Site{in}}
			free := access.Actor{Person: "per-1", Org: org, Role: role}
			for _, tc := range []struct {
				name  string
				actor access.Actor
				to    access.Target
				want  error
			}{
				{"own site", limited, access.Target{Org: org, Site: in}, nil},
				{"another site", limited, access.Target{Org: org, Site: out}, store.ErrNotFound},
				{"another tenant", free, access.Target{Org: other, Site: in}, store.ErrNotFound},
				{"whole organisation, limited", limited, access.Target{Org: org}, access.ErrForbidden},
				{"whole organisation", free, access.Target{Org: org}, nil},
				{"any site", free, access.Target{Org: org, Site: out}, nil},
			} {
				want := tc.want
				if !allowed {
					want = access.ErrForbidden
				}
				if err := access.Can(tc.actor, action, tc.to); !errors.Is(err, want) {
					t.Errorf("%s, %s, %s: %v, want %v", role, action, tc.name, err, want)
				}
			}
		}
		if err := access.Can(access.Actor{}, action, access.Target{}); !errors.Is(err, access.ErrForbidden) {
			t.Errorf("nobody, %s: %v, want ErrForbidden", action, err)
		}
		if err := access.Can(access.Actor{Person: "per-1", Org: org, Role: "root"}, action, access.Target{Org: org}); !errors.Is(err, access.ErrForbidden) {
			t.Errorf("an unknown role, %s: %v, want ErrForbidden", action, err)
		}
	}
	none := access.Actor{Person: "per-1", Org: org, Role: access.Viewer, Sites: []id.Site{}}
	if err := access.Can(none, access.View, access.Target{Org: org, Site: in}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a viewer of no site: %v, want ErrNotFound", err)
	}
}
