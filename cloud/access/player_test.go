package access_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/players"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// camera puts one at a site.
func (h *house) camera(site id.Site) id.Camera {
	h.t.Helper()
	c := id.New[id.Camera]()
	h.do(func(q store.Querier) error {
		_, err := orgs.SeenCameras(h.t.Context(), q, h.org, site, []wire.CameraState{{Camera: c, Name: "Till"}}, 1)
		return err
	})
	return c
}

// playerTokens makes players, and has their tokens end in every way.
func playerTokens(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	camera := h.camera(h.a)
	boss := h.boss
	made := func(by access.Actor, wish access.PlayerWish) (access.ListedPlayer, string) {
		t.Helper()
		p, token, err := h.AddPlayer(ctx, by, wish)
		if err != nil {
			t.Fatal(err)
		}
		return p, token
	}
	viewer := access.Viewer
	for name, tc := range map[string]struct {
		end  func(maker access.Actor, p access.ListedPlayer) error
		word string
	}{
		"revoked":                  {func(maker access.Actor, p access.ListedPlayer) error { return h.RevokePlayer(ctx, maker, p.ID) }, "revoked"},
		"revoked by somebody else": {func(_ access.Actor, p access.ListedPlayer) error { return h.RevokePlayer(ctx, boss, p.ID) }, "revoked"},
		"its maker is a viewer now": {func(maker access.Actor, _ access.ListedPlayer) error {
			_, err := h.ChangePerson(ctx, boss, maker.Person, access.Patch{Role: &viewer})
			return err
		}, "may no longer"},
		"its maker has other sites now": {func(maker access.Actor, _ access.ListedPlayer) error {
			_, err := h.ChangePerson(ctx, boss, maker.Person, access.Patch{Sites: &[]id.Site{h.b}})
			return err
		}, "may no longer"},
		"its maker has left": {func(maker access.Actor, _ access.ListedPlayer) error { return h.RemovePerson(ctx, boss, maker.Person) }, "may no longer"},
		"its camera has moved": {func(_ access.Actor, p access.ListedPlayer) error {
			return h.db.Tx(ctx, func(q store.Querier) error {
				_, err := q.ExecContext(ctx, `UPDATE camera SET site = $1 WHERE id = $2`, h.b, p.Camera)
				return err
			})
		}, "camera has gone"},
		"its time is over": {func(access.Actor, access.ListedPlayer) error { h.pass(31 * 24 * time.Hour); return nil }, "time is over"},
	} {
		maker := h.join(access.Manager, []id.Site{h.a})
		p, token := made(maker, access.PlayerWish{Name: " Control room ", Site: h.a, Camera: h.camera(h.a)})
		if p.Name != "Control room" || p.MadeByName != "Ana" || p.State != access.PlayerServes || !strings.HasPrefix(token, "hfp_") || len(token) != 47 ||
			p.ExpiresUs-p.CreatedUs < (29*24*time.Hour).Microseconds() {
			t.Errorf("%s: made %+v with the token %q", name, p, token)
		}
		who, err := h.AuthenticatePlayer(ctx, token, "192.0.2.9")
		if err != nil || who.Person != maker.Person || who.Player == nil || who.Player.ID != p.ID || who.IP != "192.0.2.9" {
			t.Fatalf("%s: the token is of %+v, %v", name, who, err)
		}
		want(t, name+": the player's camera", access.Can(who, access.Live, access.Target{Org: h.org, Site: h.a, Camera: p.Camera}), nil)
		if err := tc.end(maker, p); err != nil {
			t.Fatal(err)
		}
		_, err = h.Refresh(ctx, who)
		want(t, name+": an open session", err, access.ErrPlayer)
		_, err = h.AuthenticatePlayer(ctx, token, "192.0.2.9")
		want(t, name+": the token", err, access.ErrPlayer)
		if err == nil || !strings.Contains(err.Error(), tc.word) {
			t.Errorf("%s: the reason is %v, want %q in it", name, err, tc.word)
		}
	}
	_, token := made(h.signIn(boss.Email), access.PlayerWish{Name: "All", Site: h.a, Days: 365})
	who, err := h.AuthenticatePlayer(ctx, token, "::1")
	want(t, "a token for the site", err, nil)
	want(t, "a camera of it", access.Can(who, access.Live, access.Target{Org: h.org, Site: h.a, Camera: camera}), nil)
	for _, bad := range []string{"", "hfp_", token[4:], token + "x", "hfp_" + strings.Repeat("A", 43), "Bearer " + token} {
		_, err := h.AuthenticatePlayer(ctx, bad, "::1")
		want(t, "the token "+bad, err, access.ErrPlayer)
	}
}

// playerMakers is who may make, list and revoke.
func playerMakers(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	p, _, err := h.AddPlayer(ctx, h.boss, access.PlayerWish{Name: "Wall", Site: h.a})
	want(t, "an owner makes a player", err, nil)
	for name, tc := range map[string]struct {
		actor access.Actor
		want  error
	}{
		"a manager of the site":       {h.join(access.Manager, []id.Site{h.a}), nil},
		"a manager of another site":   {h.join(access.Manager, []id.Site{h.b}), store.ErrNotFound},
		"a viewer":                    {h.join(access.Viewer, nil), access.ErrForbidden},
		"support":                     {h.join(access.Support, nil), access.ErrForbidden},
		"an owner of another company": {newRig(t, d).house().boss, store.ErrNotFound},
	} {
		_, _, err := h.AddPlayer(ctx, tc.actor, access.PlayerWish{Name: "Mine", Site: h.a})
		if name != "an owner of another company" { // who reads the site in the own scope first, and finds none
			want(t, name+" makes", err, tc.want)
			_, err = h.Players(ctx, tc.actor, h.a)
			want(t, name+" lists", err, tc.want)
		} else if err == nil {
			t.Error(name + " makes a player")
		}
		revoke := h.RevokePlayer(ctx, tc.actor, p.ID)
		want(t, name+" revokes", revoke, tc.want)
		if revoke == nil {
			p, _, err = h.AddPlayer(ctx, h.boss, access.PlayerWish{Name: "Wall", Site: h.a})
			want(t, "an owner makes another", err, nil)
		}
	}
	for _, wish := range []access.PlayerWish{
		{Name: "  "},
		{Name: strings.Repeat("x", players.MaxName+1)},
		{Name: "x\x00"},
		{Name: "x", Days: -1},
		{Name: "x", Days: 366},
	} {
		wish.Site = h.a
		var invalid *access.Invalid
		if _, _, err := h.AddPlayer(ctx, h.boss, wish); !errors.As(err, &invalid) {
			t.Errorf("the wish %+v: %v, want *Invalid", wish, err)
		}
	}
	rows, err := h.Audit(ctx, h.boss, h.boss.Person, 0, 100)
	want(t, "the audit", err, nil)
	if r := rows[0]; r.Action != string(access.DeedPlayerMade) || r.Target != string(p.ID) || r.Site != h.a || !strings.Contains(r.Detail, "Wall: every camera of the site, for 30 days") {
		t.Errorf("the newest row is %+v", r)
	}
}

// playerUse looks at when the last use is written, at tries in vain, and at what is forgotten.
func playerUse(t *testing.T, d *store.DB) {
	h := newRig(t, d).house()
	ctx := t.Context()
	p, token, err := h.AddPlayer(ctx, h.boss, access.PlayerWish{Name: "Wall", Site: h.a})
	want(t, "make", err, nil)
	begin := h.clock()
	used := func(after time.Duration, want time.Time) {
		t.Helper()
		h.pass(after)
		if _, err := h.AuthenticatePlayer(ctx, token, "::1"); err != nil {
			t.Fatal(err)
		}
		got, err := players.Get(ctx, d.Read(), store.Org(h.org), p.ID)
		if err != nil || got.UsedUs != want.UnixMicro() {
			t.Errorf("after another %s the last use is %d, %v; want %d", after, got.UsedUs, err, want.UnixMicro())
		}
	}
	used(0, begin)
	used(59*time.Second, begin)
	used(time.Second, begin.Add(time.Minute))

	limit := access.Defaults().Limits.Address
	for range limit {
		want(t, "a try in vain", h.CountVain(ctx, "192.0.2.10"), nil)
	}
	var limited *access.LimitedError
	if err := h.CountVain(ctx, "192.0.2.10"); !errors.As(err, &limited) || !strings.Contains(err.Error(), "ask an owner of your organisation for a new token") {
		t.Errorf("one more: %v, want *LimitedError", err)
	}
	want(t, "from another address", h.CountVain(ctx, "192.0.2.11"), nil)
	_, err = h.AuthenticatePlayer(ctx, token, "192.0.2.10")
	want(t, "a token that serves, from there", err, nil)
	_, _, err = h.SignIn(ctx, h.boss.Email, good, "", "192.0.2.10")
	want(t, "a sign-in from there", err, nil)
}
