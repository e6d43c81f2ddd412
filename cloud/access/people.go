package access

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
	"holdfast/cloud/store/walls"
	"holdfast/shared/id"
)

// ErrLastOwner says that an organisation would be left without an owner who can sign in.
var ErrLastOwner = errors.New("this is the last owner who can sign in: make somebody else an owner first")

// ErrTaken says that an e-mail address has an account already.
var ErrTaken = errors.New("this e-mail address has an account already: use another one")

// People returns a page of the people whom the actor may manage, and the cursor of the next page: everybody
// for an owner; for a manager the viewers whose sites all lie in the manager's. It fails with orgs.ErrCursor.
func (a *Access) People(ctx context.Context, actor Actor, page orgs.Page) ([]people.Person, string, error) {
	if !actor.May(EditPeople) {
		return nil, "", ErrForbidden
	}
	f := people.Filter{}
	if actor.Role != Owner {
		f = people.Filter{Role: string(Viewer), Within: actor.Sites}
	}
	return people.List(ctx, a.db.Read(), actor.Scope(), f, page)
}

// manages reports whether the actor may manage p, and so may turn somebody into p.
func manages(actor Actor, p people.Person) bool {
	switch {
	case !actor.May(EditPeople) || p.Org != actor.Org:
		return false
	case actor.Role == Owner:
		return true
	case Role(p.Role) != Viewer:
		return false
	case actor.Sites == nil:
		return true
	case len(p.Sites) == 0: // every site, or none at all
		return false
	}
	return !slices.ContainsFunc(p.Sites, func(s id.Site) bool { return !actor.Sees(s) })
}

// Invitation is what is asked for a new person.
type Invitation struct {
	Name, Email string
	Role        Role
	Sites       []id.Site // nil: every site
}

// Invited is a person and the one-time token of the link that sets the password.
type Invited struct {
	Person    people.Person
	Token     string
	ExpiresUs int64
}

// Invite adds a person who can sign in once the link was used. A manager may invite viewers of own sites.
func (a *Access) Invite(ctx context.Context, actor Actor, in Invitation) (Invited, error) {
	p := people.Person{ID: id.New[id.Person](), Org: actor.Org, Role: string(in.Role), Sites: in.Sites, CreatedUs: a.nowUs()}
	var err error
	if p.Name, err = orgs.Name(in.Name); err != nil {
		return Invited{}, &Invalid{Field: "name", Text: "The name " + err.Error() + "."}
	}
	if p.Email, err = Email(in.Email); err != nil {
		return Invited{}, err
	}
	if p, err = a.mayBecome(ctx, actor, p); err != nil {
		return Invited{}, err
	}
	var out Invited
	entry := Entry{Deed: DeedPersonInvited, Target: string(p.ID), Detail: fmt.Sprintf("%s <%s> as %s", p.Name, p.Email, describe(p))}
	err = a.Change(ctx, actor, entry, func(q store.Querier) error {
		if err := people.Add(ctx, q, p); err != nil {
			return err
		}
		out, err = a.addLink(ctx, q, actor, p)
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		return Invited{}, ErrTaken
	}
	return out, err
}

// mayBecome checks that the actor may give somebody p's role and sites, and puts them in order.
func (a *Access) mayBecome(ctx context.Context, actor Actor, p people.Person) (people.Person, error) {
	if !Role(p.Role).Valid() {
		return p, &Invalid{Field: "role", Text: "The role is unknown: choose owner, manager, viewer or support."}
	}
	if Role(p.Role) == Owner {
		p.Sites = nil
	}
	if p.Sites != nil {
		p.Sites = append([]id.Site{}, p.Sites...)
		slices.Sort(p.Sites)
		p.Sites = slices.Compact(p.Sites)
	}
	for _, s := range p.Sites {
		_, err := orgs.GetSite(ctx, a.db.Read(), actor.Scope(), s)
		if errors.Is(err, store.ErrNotFound) || err == nil && !actor.Sees(s) {
			return p, &Invalid{Field: "sites", Text: "One of the sites does not exist: load the list of sites again and choose from it."}
		}
		if err != nil {
			return p, err
		}
	}
	if !manages(actor, p) {
		return p, fmt.Errorf("%w (a manager may invite and change viewers of own sites only)", ErrForbidden)
	}
	return p, nil
}

// Patch is a change of a person; nil fields stay.
type Patch struct {
	Name     *string
	Role     *Role
	Sites    *[]id.Site // limit the person to these
	AllSites bool       // lift the limit
}

// managed returns a person whom the actor may manage; anybody else is store.ErrNotFound.
func (a *Access) managed(ctx context.Context, q store.Querier, actor Actor, person id.Person) (people.Person, error) {
	p, err := people.Get(ctx, q, actor.Scope(), person)
	if err != nil {
		return p, err
	}
	if !manages(actor, p) {
		return p, store.ErrNotFound
	}
	return p, nil
}

// ChangePerson applies a patch. When role or sites change, every session of the person ends.
func (a *Access) ChangePerson(ctx context.Context, actor Actor, person id.Person, patch Patch) (people.Person, error) {
	was, err := a.managed(ctx, a.db.Read(), actor, person)
	if err != nil {
		return was, err
	}
	p := was
	if patch.Name != nil {
		if p.Name, err = orgs.Name(*patch.Name); err != nil {
			return p, &Invalid{Field: "name", Text: "The name " + err.Error() + "."}
		}
	}
	if patch.Role != nil {
		p.Role = string(*patch.Role)
	}
	if patch.Sites != nil {
		p.Sites = *patch.Sites
		if p.Sites == nil {
			p.Sites = []id.Site{} // a limit to nothing, not none
		}
	}
	if patch.AllSites {
		p.Sites = nil
	}
	if p, err = a.mayBecome(ctx, actor, p); err != nil {
		return p, err
	}
	entry := Entry{
		Deed: DeedPersonChanged, Target: string(p.ID),
		Detail: fmt.Sprintf("%s <%s>: was %s, is %s", p.Name, p.Email, describe(was), describe(p)),
	}
	err = a.Change(ctx, actor, entry, func(q store.Querier) error {
		if err := a.keepOwner(ctx, q, actor, was, Role(p.Role) == Owner); err != nil {
			return err
		}
		if err := people.Update(ctx, q, actor.Scope(), p); err != nil {
			return err
		}
		if describe(p) == describe(was) {
			return nil
		}
		return people.EndSessions(ctx, q, actor.Scope(), p.ID)
	})
	return p, err
}

// keepOwner refuses to take the owner's role from the last owner who can sign in. Two who take it from each
// other at the same time wait for one another.
func (a *Access) keepOwner(ctx context.Context, q store.Querier, actor Actor, was people.Person, stays bool) error {
	if err := orgs.Lock(ctx, q, actor.Scope(), actor.Org); err != nil {
		return err
	}
	now, err := a.managed(ctx, q, actor, was.ID)
	if err != nil || stays || Role(now.Role) != Owner || now.Password == "" {
		return err
	}
	n, err := people.CountRole(ctx, q, actor.Scope(), string(Owner))
	if err == nil && n <= 1 {
		return ErrLastOwner
	}
	return err
}

// RemovePerson removes a person with every session and link, and the walls that nobody else sees.
func (a *Access) RemovePerson(ctx context.Context, actor Actor, person id.Person) error {
	p, err := a.managed(ctx, a.db.Read(), actor, person)
	if err != nil {
		return err
	}
	entry := Entry{Deed: DeedPersonRemoved, Target: string(p.ID), Detail: fmt.Sprintf("%s <%s>, %s", p.Name, p.Email, describe(p))}
	return a.Change(ctx, actor, entry, func(q store.Querier) error {
		if err := a.keepOwner(ctx, q, actor, p, false); err != nil {
			return err
		}
		if err := walls.RemovePrivate(ctx, q, actor.Scope(), p.ID); err != nil {
			return err
		}
		return people.Remove(ctx, q, actor.Scope(), p.ID, a.nowUs())
	})
}

// ResetPerson makes a new one-time link for a person; older ones stop working. The old password works until
// the link is used.
func (a *Access) ResetPerson(ctx context.Context, actor Actor, person id.Person) (Invited, error) {
	p, err := a.managed(ctx, a.db.Read(), actor, person)
	if err != nil {
		return Invited{}, err
	}
	var out Invited
	entry := Entry{Deed: DeedPersonReset, Target: string(p.ID), Detail: fmt.Sprintf("link for %s <%s>", p.Name, p.Email)}
	err = a.Change(ctx, actor, entry, func(q store.Querier) error {
		out, err = a.addLink(ctx, q, actor, p)
		return err
	})
	return out, err
}

// describe says a role and its sites in words that are equal only when both are.
func describe(p people.Person) string {
	if p.Sites == nil {
		return p.Role + " of every site"
	}
	sites := make([]string, len(p.Sites))
	for i, s := range p.Sites {
		sites[i] = string(s)
	}
	slices.Sort(sites)
	return fmt.Sprintf("%s of %d sites (%s)", p.Role, len(sites), strings.Join(sites, ", "))
}

func cleanEmail(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// Email returns an address in the form in which it is stored (RFC 5322 addr-spec in lower case, at most 254
// bytes), or *Invalid.
func Email(s string) (string, error) {
	s = cleanEmail(s)
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s || len(s) > 254 || strings.ContainsAny(s, " \"<>") {
		return "", &Invalid{Field: "email", Text: "The e-mail address is not valid: type it as name@example.com."}
	}
	if _, err := orgs.Text(s, 254); err != nil {
		return "", &Invalid{Field: "email", Text: "The e-mail address " + err.Error() + "."}
	}
	return s, nil
}
