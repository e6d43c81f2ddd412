package access

import (
	"context"
	"encoding/hex"
	"errors"

	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
	"holdfast/shared/id"
)

// setupSetting names the installation's fact that holds the sum of the setup token.
const setupSetting = "setup_token"

// ErrNoSetup says that the setup was done already.
var ErrNoSetup = errors.New("this installation is set up already: sign in")

// SetupToken returns a new one-time token for the setup page while there is no organisation yet; the program
// prints it at its start. Only the newest token works. needed is false, and the token empty, after the setup.
func (a *Access) SetupToken(ctx context.Context) (token string, needed bool, err error) {
	token, sum := newToken()
	err = a.db.Tx(ctx, func(q store.Querier) error {
		done, err := orgs.Any(ctx, q, store.System(store.UseSetup))
		if err != nil || done {
			return err
		}
		needed = true
		return orgs.PutSetting(ctx, q, setupSetting, hex.EncodeToString(sum))
	})
	if err != nil || !needed {
		return "", false, err
	}
	return token, true, nil
}

// SetupNeeded reports whether there is no organisation yet.
func (a *Access) SetupNeeded(ctx context.Context) (bool, error) {
	done, err := orgs.Any(ctx, a.db.Read(), store.System(store.UseSetup))
	return !done, err
}

// Founding is what the setup page asks.
type Founding struct {
	Token, Organisation, Name, Email, Password string
}

// Setup makes the organisation and its owner and signs the owner in. It fails with ErrNoSetup once there is an
// organisation, with ErrSetupToken or with *Invalid; of two at once, one succeeds.
func (a *Access) Setup(ctx context.Context, f Founding, ip string) (token string, actor Actor, err error) {
	needed, err := a.SetupNeeded(ctx)
	if err != nil {
		return "", Actor{}, err
	}
	if !needed {
		return "", Actor{}, ErrNoSetup
	}
	sum := hex.EncodeToString(tokenSum(f.Token))
	if want, err := orgs.Setting(ctx, a.db.Read(), setupSetting); errors.Is(err, store.ErrNotFound) || err == nil && want != sum {
		return "", Actor{}, ErrSetupToken
	} else if err != nil {
		return "", Actor{}, err
	}
	org, owner, err := a.founders(ctx, f)
	if err != nil {
		return "", Actor{}, err
	}
	err = a.db.Tx(ctx, func(q store.Querier) error {
		if err := orgs.TakeSetting(ctx, q, setupSetting, sum); err != nil {
			return err
		}
		if err := orgs.Add(ctx, q, org); err != nil {
			return err
		}
		if err := people.Add(ctx, q, owner); err != nil {
			return err
		}
		return a.append(ctx, q, row(org.ID, owner.ID, owner.Name, ip,
			Entry{Deed: DeedSetup, Target: string(org.ID), Detail: "organisation and owner made"}))
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", Actor{}, ErrNoSetup // somebody else was faster with the same token
	}
	if err != nil {
		return "", Actor{}, err
	}
	return a.startSession(ctx, owner, "", ip, Entry{Deed: DeedSignIn, Target: string(owner.ID)})
}

// ErrSetupToken says that the setup token is wrong.
var ErrSetupToken = errors.New("the setup token is wrong: copy the newest one from the output of holdfast-cloud's start")

func (a *Access) founders(ctx context.Context, f Founding) (orgs.Org, people.Person, error) {
	var none people.Person
	org := orgs.Org{ID: id.New[id.Org](), CreatedUs: a.nowUs()}
	var err error
	if org.Name, err = orgs.Name(f.Organisation); err != nil {
		return orgs.Org{}, none, &Invalid{Field: "organisation", Text: "The organisation's name " + err.Error() + "."}
	}
	owner := people.Person{ID: id.New[id.Person](), Org: org.ID, Role: string(Owner), CreatedUs: org.CreatedUs}
	if owner.Name, err = orgs.Name(f.Name); err != nil {
		return orgs.Org{}, none, &Invalid{Field: "name", Text: "The name " + err.Error() + "."}
	}
	if owner.Email, err = Email(f.Email); err != nil {
		return orgs.Org{}, none, err
	}
	if err := acceptable(f.Password, owner.Email, owner.Name, org.Name); err != nil {
		return orgs.Org{}, none, err
	}
	owner.Password, err = a.hash.hash(ctx, f.Password)
	return org, owner, err
}
