package api

import (
	"context"
	"net/http"

	"holdfast/cloud/access"
	"holdfast/shared/id"
)

// entry registers what leads in: the first start, sign-in, links, oneself.
func (d *door) entry() {
	add(d, get("/version", "getVersion", access.Self, "What is running"),
		func(context.Context, access.Actor, *empty) (*bodyOf[Version], error) {
			return body(Version{Name: "holdfast", Version: d.cfg.Version}), nil
		})
	d.setup()
	d.session()
	d.passwords()
}

// bodyOf is an output with a JSON body.
type bodyOf[T any] struct{ Body T }

func body[T any](v T) *bodyOf[T] { return &bodyOf[T]{Body: v} }

// signedIn is Me with the session's cookie.
type signedIn struct {
	SetCookie http.Cookie `header:"Set-Cookie" hidden:"true"`
	Body      Me
}

func (d *door) setup() {
	add(d, get("/setup", "getSetup", open, "Is the first start's setup still wanted? 404 once it is done").also(http.StatusNotFound),
		func(ctx context.Context, _ access.Actor, _ *empty) (*bodyOf[SetupState], error) {
			needed, err := d.access.SetupNeeded(ctx)
			if err == nil && !needed {
				err = access.ErrNoSetup
			}
			return body(SetupState{Needed: needed}), err
		})
	add(d, post("/setup", "setUp", open, "Make the organisation and its owner; 404 once it is done").costs(4).also(http.StatusNotFound, http.StatusForbidden),
		func(ctx context.Context, _ access.Actor, in *struct{ Body SetupRequest }) (*signedIn, error) {
			b := in.Body
			token, actor, err := d.access.Setup(ctx, access.Founding{
				Token: b.Token, Organisation: b.Organisation, Name: b.Name, Email: b.Email, Password: b.Password,
			}, callOf(ctx).ip)
			if err != nil {
				return nil, err
			}
			return &signedIn{SetCookie: d.cookie(token), Body: me(actor)}, nil
		})
}

func (d *door) session() {
	add(d, post("/session", "signIn", open, "Sign in").costs(2).also(http.StatusUnauthorized),
		func(ctx context.Context, _ access.Actor, in *struct{ Body SignInRequest }) (*signedIn, error) {
			c := callOf(ctx)
			token, actor, err := d.access.SignIn(ctx, in.Body.Email, in.Body.Password, c.token, c.ip)
			if err != nil {
				return nil, err
			}
			c.actor = actor
			return &signedIn{SetCookie: d.cookie(token), Body: me(actor)}, nil
		})
	type out struct {
		SetCookie http.Cookie `header:"Set-Cookie" hidden:"true"`
	}
	add(d, del("/session", "signOut", access.Self, "Sign out"),
		func(ctx context.Context, who access.Actor, _ *empty) (*out, error) {
			defer d.review()
			return &out{SetCookie: d.cookie("")}, d.access.SignOut(ctx, who)
		})
	add(d, get("/me", "getMe", access.Self, "Who is signed in, and what that person may do"),
		func(_ context.Context, who access.Actor, _ *empty) (*bodyOf[Me], error) { return body(me(who)), nil })
	add(d, post("/me/password", "changePassword", access.Self, "Change one's own password; other sessions end").costs(4),
		func(ctx context.Context, who access.Actor, in *struct{ Body PasswordChange }) (*signedIn, error) {
			token, actor, err := d.access.ChangePassword(ctx, who, in.Body.Old, in.Body.New)
			if err != nil {
				return nil, err
			}
			d.review()
			return &signedIn{SetCookie: d.cookie(token), Body: me(actor)}, nil
		})
}

func (d *door) passwords() {
	type in struct {
		Token string `path:"token" maxLength:"128"`
	}
	add(d, get("/passwords/{token}", "getLink", open, "What an invitation or reset link is for").also(http.StatusGone),
		func(ctx context.Context, _ access.Actor, in *in) (*bodyOf[LinkInfo], error) {
			l, err := d.access.Link(ctx, in.Token)
			return body(LinkInfo{Email: l.Email, Name: l.Name, Organisation: l.Organisation, Purpose: string(l.Purpose), ExpiresUs: l.ExpiresUs}), err
		})
	add(d, post("/passwords", "setPassword", open, "Set a password with an invitation or reset link").costs(4).also(http.StatusNotFound, http.StatusGone),
		func(ctx context.Context, _ access.Actor, in *struct{ Body PasswordByLink }) (*empty, error) {
			err := d.access.SetPassword(ctx, in.Body.Token, in.Body.Password, callOf(ctx).ip)
			if err == nil {
				d.review()
			}
			return nil, err
		})
}

func me(a access.Actor) Me {
	m := Me{
		Person:       Self{ID: string(a.Person), Name: a.Name, Email: a.Email, Role: string(a.Role)},
		Organisation: OrganisationRef{ID: string(a.Org), Name: a.OrgName},
		Sites:        siteStrings(a.Sites),
		Can:          []string{},
	}
	for _, action := range a.Role.Can() {
		m.Can = append(m.Can, string(action))
	}
	return m
}

// siteStrings keeps nil, which means every site.
func siteStrings(sites []id.Site) []string {
	if sites == nil {
		return nil
	}
	out := make([]string, len(sites))
	for i, s := range sites {
		out[i] = string(s)
	}
	return out
}
