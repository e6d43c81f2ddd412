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
		access.Live: "omv", access.Talk: "om", access.Playback: "omv", access.MoveCameras: "omv", access.Export: "omv",
		access.EditClips: "om", access.EditHolds: "om", access.EditCameras: "om", access.EditSites: "om", access.Enrol: "om", access.EditRules: "om", access.EditPeople: "om", access.EditPlayers: "om",
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
				{"a camera of the own site", limited, access.Target{Org: org, Site: in, Camera: "cam-1"}, nil},
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
	program(t, org, in, out)
	none := access.Actor{Person: "per-1", Org: org, Role: access.Viewer, Sites: []id.Site{}}
	if err := access.Can(none, access.View, access.Target{Org: org, Site: in}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a viewer of no site: %v, want ErrNotFound", err)
	}
}

// program is the table for who comes with a player's token: live, inside the maker's rights and what the token names.
func program(t *testing.T, org id.Org, in, out id.Site) {
	t.Helper()
	one, all := &access.Player{ID: "play-1", Site: in, Camera: "cam-1"}, &access.Player{ID: "play-2", Site: in}
	for _, tc := range []struct {
		name   string
		role   access.Role
		player *access.Player
		to     access.Target
		want   error
	}{
		{"its camera", access.Manager, one, access.Target{Org: org, Site: in, Camera: "cam-1"}, nil},
		{"another camera of the site", access.Manager, one, access.Target{Org: org, Site: in, Camera: "cam-2"}, store.ErrNotFound},
		{"its camera, said to be elsewhere", access.Owner, one, access.Target{Org: org, Site: out, Camera: "cam-1"}, store.ErrNotFound},
		{"any camera of its site", access.Manager, all, access.Target{Org: org, Site: in, Camera: "cam-2"}, nil},
		{"a camera of another site", access.Owner, all, access.Target{Org: org, Site: out, Camera: "cam-2"}, store.ErrNotFound},
		{"its site, no camera", access.Owner, all, access.Target{Org: org, Site: in}, store.ErrNotFound},
		{"the organisation", access.Owner, all, access.Target{Org: org}, store.ErrNotFound},
		{"another tenant", access.Owner, all, access.Target{Org: "org-x", Site: in, Camera: "cam-1"}, store.ErrNotFound},
		{"its camera, by who may not watch", access.Support, one, access.Target{Org: org, Site: in, Camera: "cam-1"}, access.ErrForbidden},
	} {
		a := access.Actor{Person: "per-1", Org: org, Role: tc.role, Player: tc.player}
		if err := access.Can(a, access.Live, tc.to); !errors.Is(err, tc.want) {
			t.Errorf("a program, %s: %v, want %v", tc.name, err, tc.want)
		}
		for _, action := range access.Actions() {
			if err := access.Can(a, action, tc.to); action != access.Live && !errors.Is(err, access.ErrForbidden) {
				t.Errorf("a program, %s, %s: %v, want ErrForbidden", tc.name, action, err)
			}
		}
	}
	person := access.Actor{Person: "per-1"}
	a, b := access.Actor{Person: "per-1", Player: one}, access.Actor{Person: "per-1", Player: all}
	if !person.Same(person) || !a.Same(access.Actor{Person: "per-1", Player: &access.Player{ID: "play-1"}}) || person.Same(a) || a.Same(person) || a.Same(b) {
		t.Error("a person and the programs with that person's tokens are taken for each other")
	}
}
