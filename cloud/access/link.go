package access

import (
	"context"
	"errors"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
)

// Errors of a one-time link; its holder proved the token, so they may be told apart.
var (
	ErrLinkUsed    = errors.New("this link was used already: sign in, or ask for a new one")
	ErrLinkExpired = errors.New("this link is too old: ask the person who sent it for a new one")
	ErrLinkUnknown = errors.New("this link is unknown or was replaced by a newer one: copy the whole link again, or ask for a new one")
)

func (a *Access) addLink(ctx context.Context, q store.Querier, actor Actor, p people.Person) (Invited, error) {
	purpose, lasts := people.Reset, a.cfg.ResetFor
	if p.Password == "" {
		purpose, lasts = people.Invite, a.cfg.InviteFor
	}
	token, sum := newToken()
	now := a.cfg.Now()
	l := people.Link{
		TokenHash: sum, Org: p.Org, Person: p.ID, Purpose: purpose, MadeBy: actor.Person,
		CreatedUs: now.UnixMicro(), ExpiresUs: now.Add(lasts).UnixMicro(),
	}
	return Invited{Person: p, Token: token, ExpiresUs: l.ExpiresUs}, people.AddLink(ctx, q, l)
}

// LinkInfo says what a link is for.
type LinkInfo struct {
	Email, Name, Organisation string
	Purpose                   people.Purpose
	ExpiresUs                 int64
}

// Link says what the link with a token is for; ErrLinkUnknown, ErrLinkUsed or ErrLinkExpired.
func (a *Access) Link(ctx context.Context, token string) (LinkInfo, error) {
	l, p, org, err := a.openLink(ctx, token)
	return LinkInfo{Email: p.Email, Name: p.Name, Organisation: org.Name, Purpose: l.Purpose, ExpiresUs: l.ExpiresUs}, err
}

func (a *Access) openLink(ctx context.Context, token string) (l people.Link, p people.Person, o orgs.Org, err error) {
	l, err = people.GetLink(ctx, a.db.Read(), store.System(store.UseToken), tokenSum(token))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return l, p, o, ErrLinkUnknown
	case err != nil:
		return l, p, o, err
	case l.UsedUs != 0:
		return l, p, o, ErrLinkUsed
	case l.ExpiresUs <= a.nowUs():
		return l, p, o, ErrLinkExpired
	}
	scope := store.Org(l.Org)
	if p, err = people.Get(ctx, a.db.Read(), scope, l.Person); err != nil {
		return l, p, o, err
	}
	o, err = orgs.Get(ctx, a.db.Read(), scope, l.Org)
	return l, p, o, err
}

// SetPassword sets a password with a link, which then is used up, and ends every session of the person.
func (a *Access) SetPassword(ctx context.Context, token, password, ip string) error {
	l, p, org, err := a.openLink(ctx, token)
	if err != nil {
		return err
	}
	if err := acceptable(password, p.Email, p.Name, org.Name); err != nil {
		return err
	}
	phc, err := a.hash.hash(ctx, password)
	if err != nil {
		return err
	}
	err = a.db.Tx(ctx, func(q store.Querier) error {
		if err := people.UseLink(ctx, q, store.Org(l.Org), l.TokenHash, a.nowUs()); err != nil {
			return err
		}
		if err := a.replacePassword(ctx, q, p, phc); err != nil {
			return err
		}
		return a.append(ctx, q, row(p.Org, p.ID, p.Name, ip,
			Entry{Deed: DeedLinkUsed, Target: string(p.ID), Detail: "password set by " + string(l.Purpose) + " link"}))
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrLinkUsed
	}
	if err != nil {
		return err
	}
	// Who was locked out by wrong tries may sign in with the new password at once.
	return a.forgive(ctx, loginKeys(p.Email, ip), true)
}
