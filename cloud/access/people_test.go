package access_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
	"holdfast/shared/id"
)

// rightsEnd takes rights away in every way and asks with the old session.
func rightsEnd(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	viewer := access.Viewer
	for name, take := range map[string]func(who access.Actor) error{
		"role drop": func(who access.Actor) error {
			_, err := h.ChangePerson(ctx, h.boss, who.Person, access.Patch{Role: &viewer})
			return err
		},
		"fewer sites": func(who access.Actor) error {
			_, err := h.ChangePerson(ctx, h.boss, who.Person, access.Patch{Sites: &[]id.Site{h.a}})
			return err
		},
		"removal": func(who access.Actor) error { return h.RemovePerson(ctx, h.boss, who.Person) },
		"reset link used": func(who access.Actor) error {
			inv, err := h.ResetPerson(ctx, h.boss, who.Person)
			return errors.Join(err, h.SetPassword(ctx, inv.Token, "another good one", "::1"))
		},
		"password change elsewhere": func(who access.Actor) error {
			_, other, err := h.SignIn(ctx, who.Email, good, "", "::1")
			if err != nil {
				return err
			}
			token, now, err := h.ChangePassword(ctx, other, good, "another good one")
			if err != nil || now.Session == other.Session {
				return fmt.Errorf("the session that changed the password: %w, or not a new one", err)
			}
			_, err = h.Authenticate(ctx, token, "::1")
			return err
		},
	} {
		who := h.join(access.Manager, []id.Site{h.a, h.b})
		if err := take(who); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, err := h.Refresh(ctx, who)
		want(t, "the old session after "+name, err, access.ErrSignedOut)
	}
	// A name does not end a session, and a removed site leaves it at once.
	who := h.join(access.Viewer, []id.Site{h.a, h.b})
	name := "Ana María"
	if _, err := h.ChangePerson(ctx, h.boss, who.Person, access.Patch{Name: &name}); err != nil {
		t.Fatal(err)
	}
	h.do(func(q store.Querier) error { return orgs.RemoveSite(ctx, q, h.boss.Scope(), h.b, 1) })
	if now, err := h.Refresh(ctx, who); err != nil || now.Name != name || now.Sees(h.b) || !now.Sees(h.a) {
		t.Fatalf("after a new name and a removed site: %+v, %v", now, err)
	}
	var invalid *access.Invalid
	if _, _, err := h.ChangePassword(ctx, who, "wrong old one", "another good one"); !errors.As(err, &invalid) || invalid.Field != "old" {
		t.Errorf("a wrong old password: %v", err)
	}
}

func invitations(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	in := access.Invitation{Name: "Ana", Email: "Ana." + string(h.org) + "@example.com", Role: access.Viewer, Sites: []id.Site{h.a, h.a}}
	inv, err := h.Invite(ctx, h.boss, in)
	if err != nil || len(inv.Person.Sites) != 1 || inv.Person.Email != strings.ToLower(in.Email) {
		t.Fatalf("Invite = %+v, %v", inv, err)
	}
	_, err = h.Invite(ctx, h.boss, in)
	want(t, "inviting twice", err, access.ErrTaken)
	_, _, err = h.SignIn(ctx, in.Email, "", "", "::1")
	want(t, "signing in without a password yet", err, access.ErrCredentials)
	info, err := h.Link(ctx, inv.Token)
	if err != nil || info.Purpose != people.Invite || info.Organisation != "Bluebird Bakery" || info.Email != inv.Person.Email {
		t.Fatalf("Link = %+v, %v", info, err)
	}
	again, err := h.ResetPerson(ctx, h.boss, inv.Person.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Link(ctx, inv.Token)
	want(t, "the link that was replaced", err, access.ErrLinkUnknown)
	var invalid *access.Invalid
	if err := h.SetPassword(ctx, again.Token, "bluebird bakery", "::1"); !errors.As(err, &invalid) {
		t.Errorf("the organisation's name as the password: %v", err)
	}
	if err := h.SetPassword(ctx, again.Token, good, "::1"); err != nil {
		t.Fatal(err)
	}
	want(t, "using a link twice", h.SetPassword(ctx, again.Token, good+"x", "::1"), access.ErrLinkUsed)
	_, err = h.Link(ctx, again.Token)
	want(t, "looking at a used link", err, access.ErrLinkUsed)
	reset, err := h.ResetPerson(ctx, h.boss, inv.Person.ID)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := h.Link(ctx, reset.Token); err != nil || info.Purpose != people.Reset {
		t.Fatalf("the link of a reset: %+v, %v", info, err)
	}
	h.signIn(in.Email) // the old password works until the link is used
	h.pass(25 * time.Hour)
	want(t, "using an old link", h.SetPassword(ctx, reset.Token, good, "::1"), access.ErrLinkExpired)
	for _, bad := range []access.Invitation{
		{Name: "", Email: "x@example.com", Role: access.Viewer},
		{Name: "X", Email: "x", Role: access.Viewer},
		{Name: "X", Email: "a@b, c@d", Role: access.Viewer},
		{Name: "X", Email: "X <x@example.com>", Role: access.Viewer},
		{Name: "X", Email: "x@example.com", Role: "root"},
		{Name: "X", Email: "x@example.com", Role: access.Viewer, Sites: []id.Site{id.New[id.Site]()}},
	} {
		if _, err := h.Invite(ctx, h.boss, bad); !errors.As(err, &invalid) {
			t.Errorf("Invite(%+v): %v, want a refusal", bad, err)
		}
	}
}

// managers checks that a manager reaches viewers of own sites and nobody else.
func managers(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	boss := h.join(access.Manager, []id.Site{h.a})
	in, out := h.join(access.Viewer, []id.Site{h.a}), h.join(access.Viewer, []id.Site{h.a, h.b})
	everywhere, nowhere := h.join(access.Viewer, nil), h.join(access.Viewer, []id.Site{})
	peer := h.join(access.Manager, []id.Site{h.a})
	list, _, err := h.People(ctx, boss, orgs.Page{Limit: 50})
	if err != nil || len(list) != 1 || list[0].ID != in.Person {
		t.Fatalf("a manager's people = %v, %v; want the one viewer of the own site", list, err)
	}
	for name, who := range map[string]access.Actor{
		"a viewer of more sites": out, "a viewer of every site": everywhere, "a viewer of none": nowhere, "a manager": peer, "an owner": h.boss, "oneself": boss,
	} {
		want(t, "removing "+name, h.RemovePerson(ctx, boss, who.Person), store.ErrNotFound)
		_, err := h.ResetPerson(ctx, boss, who.Person)
		want(t, "resetting "+name, err, store.ErrNotFound)
		_, err = h.ChangePerson(ctx, boss, who.Person, access.Patch{AllSites: true})
		want(t, "changing "+name, err, store.ErrNotFound)
	}
	manager := access.Manager
	_, err = h.ChangePerson(ctx, boss, in.Person, access.Patch{Role: &manager})
	want(t, "promoting a viewer", err, access.ErrForbidden)
	_, err = h.ChangePerson(ctx, boss, in.Person, access.Patch{AllSites: true})
	want(t, "widening a viewer", err, access.ErrForbidden)
	var invalid *access.Invalid
	if _, err = h.ChangePerson(ctx, boss, in.Person, access.Patch{Sites: &[]id.Site{h.b}}); !errors.As(err, &invalid) {
		t.Errorf("moving a viewer to another's site: %v", err)
	}
	for _, inv := range []access.Invitation{
		{Name: "X", Email: "x@example.com", Role: access.Owner},
		{Name: "X", Email: "x@example.com", Role: access.Support, Sites: []id.Site{h.a}},
		{Name: "X", Email: "x@example.com", Role: access.Viewer},
	} {
		_, err := h.Invite(ctx, boss, inv)
		want(t, fmt.Sprintf("a manager invites %+v", inv), err, access.ErrForbidden)
	}
	if _, err := h.Invite(ctx, boss, access.Invitation{Name: "X", Email: "m-" + string(h.org) + "@example.com", Role: access.Viewer, Sites: []id.Site{h.a}}); err != nil {
		t.Errorf("a manager invites a viewer of the own site: %v", err)
	}
	if err := h.RemovePerson(ctx, boss, in.Person); err != nil {
		t.Errorf("a manager removes a viewer of the own site: %v", err)
	}
	stranger := newRig(t, d).house()
	want(t, "an owner removes another tenant's person", h.RemovePerson(ctx, stranger.boss, out.Person), store.ErrNotFound)
}

func lastOwner(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	viewer := access.Viewer
	want(t, "removing the last owner", h.RemovePerson(ctx, h.boss, h.boss.Person), access.ErrLastOwner)
	_, err := h.ChangePerson(ctx, h.boss, h.boss.Person, access.Patch{Role: &viewer})
	want(t, "demoting the last owner", err, access.ErrLastOwner)
	if _, err := h.Invite(ctx, h.boss, access.Invitation{Name: "X", Email: "o-" + string(h.org) + "@example.com", Role: access.Owner}); err != nil {
		t.Fatal(err)
	}
	want(t, "removing the only owner who can sign in", h.RemovePerson(ctx, h.boss, h.boss.Person), access.ErrLastOwner)
	for range 5 {
		second := h.join(access.Owner, []id.Site{h.a}) // an owner has every site, whatever was asked
		if second.Sites != nil {
			t.Fatalf("an owner limited to %v", second.Sites)
		}
		var wg sync.WaitGroup
		errs := make([]error, 2)
		wg.Go(func() { errs[0] = h.RemovePerson(ctx, h.boss, second.Person) })
		wg.Go(func() { errs[1] = h.RemovePerson(ctx, second, h.boss.Person) })
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("two owners removed each other: %v, %v; want exactly one to succeed", errs[0], errs[1])
		}
		if errs[1] == nil {
			h.boss = second
		}
	}
}

func patches(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	who := h.join(access.Viewer, []id.Site{h.a})
	manager, name := access.Manager, "New Name"
	p, err := h.ChangePerson(ctx, h.boss, who.Person, access.Patch{Name: &name, Role: &manager, AllSites: true})
	if err != nil || p.Name != name || p.Role != "manager" || p.Sites != nil {
		t.Fatalf("ChangePerson = %+v, %v", p, err)
	}
	bad := "a\x00b"
	var invalid *access.Invalid
	if _, err := h.ChangePerson(ctx, h.boss, who.Person, access.Patch{Name: &bad}); !errors.As(err, &invalid) {
		t.Errorf("a bad name: %v", err)
	}
	_, err = h.ChangePerson(ctx, h.boss, id.New[id.Person](), access.Patch{Name: &name})
	want(t, "changing nobody", err, store.ErrNotFound)
}
