package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// playerOffer is what the door reads of a player's offer.
const playerOffer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 H264/90000\r\n"

// made is a player as its maker sees it once.
func (w *world) made(by actor, p place, body string) PlayerMade {
	w.t.Helper()
	got := w.ask(by, http.MethodPost, prefix+p.fill("/sites/{site}/players"), p.fill(body))
	var out PlayerMade
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status != http.StatusCreated {
		w.t.Fatalf("make a player: %d %s, %v", got.status, got.body, err)
	}
	return out
}

// play asks as a program does: with nothing but an address and a token.
func (w *world) play(method, path, token, body string, head ...string) answer {
	w.t.Helper()
	kind := sdpType
	if method == http.MethodDelete {
		kind = ""
	}
	return w.ask(actor{}, method, path, body, append([]string{"Authorization", "Bearer " + token, "Content-Type", kind}, head...)...)
}

func whepPath(camera id.Camera) string { return whepPrefix + string(camera) }

func TestPlay(t *testing.T) {
	w := sqliteWorld(t)
	w.rooms.servers = []wire.ICEServer{
		{URLs: []string{"stun:203.0.113.1:3478"}},
		{URLs: []string{"turn:203.0.113.1:3478?transport=udp", "turns:203.0.113.1:443?transport=tcp"}, Username: "ABC", Credential: "DEF"},
	}
	p := w.place()
	maker := w.join(w.org, access.Manager, []id.Site{p.site})
	m := w.made(maker, p, `{"name":"Control room","camera":"{camera}"}`)
	if len(m.Addresses) != 1 || m.Addresses[0].URL != w.server.URL+whepPath(p.camera) || m.Addresses[0].Name != "Counter" || m.Player.State != "serves" {
		t.Fatalf("made %+v", m)
	}
	got := w.play(http.MethodPost, whepPath(p.camera)+"?stream=sub&through=relay", m.Token, playerOffer)
	if got.status != http.StatusCreated || got.body != "v=0\r\n" || got.header.Get("Content-Type") != sdpType {
		t.Fatalf("play: %d %v %s", got.status, got.header, got.body)
	}
	o := w.rooms.offers[0]
	location := whepPath(p.camera) + "/" + string(o.Offer.Session)
	if o.Org != w.org || o.Site != p.site || o.Person != maker.who.Person || o.Offer.Camera != p.camera || o.Offer.Stream != "sub" || o.Way != "relay" ||
		o.Relay != "ABC" || !slices.Equal(o.Offer.Codecs, []string{"h264"}) || o.Offer.Silent || o.Offer.Trickle || got.header.Get("Location") != location {
		t.Errorf("the room got %+v for %s", o, got.header.Get("Location"))
	}
	wantLinks := []string{
		`<stun:203.0.113.1:3478>; rel="ice-server"`,
		`<turn:203.0.113.1:3478?transport=udp>; rel="ice-server"; username="ABC"; credential="DEF"; credential-type="password"`,
		`<turns:203.0.113.1:443?transport=tcp>; rel="ice-server"; username="ABC"; credential="DEF"; credential-type="password"`,
	}
	if links := got.header.Values("Link"); !slices.Equal(links, wantLinks) {
		t.Errorf("the links are %q, want %q", links, wantLinks)
	}
	got = w.play(http.MethodPatch, location, m.Token, "a=ice-ufrag:x\r\n", "Content-Type", fragmentType)
	if got.status != http.StatusNoContent || got.body != "" || len(w.rooms.paths) != 1 || w.rooms.paths[0].Session != o.Offer.Session {
		t.Errorf("addresses: %d %s, the room got %+v", got.status, got.body, w.rooms.paths)
	}
	got = w.play(http.MethodPatch, location, m.Token, "a=ice-ufrag:another\r\n", "Content-Type", fragmentType)
	if got.status != http.StatusOK || !strings.HasPrefix(got.body, "theirs for a=ice-ufrag:another") || got.header.Get("Content-Type") != fragmentType {
		t.Errorf("a path sought anew by a fragment: %d %v %s", got.status, got.header, got.body)
	}
	got = w.play(http.MethodPatch, location, m.Token, "v=1\r\n")
	if got.status != http.StatusOK || got.body != "answer to v=1\r\n" || got.header.Get("Content-Type") != sdpType {
		t.Errorf("restart: %d %v %s", got.status, got.header, got.body)
	}
	if got := w.play(http.MethodDelete, location, m.Token, ""); got.status != http.StatusOK || w.rooms.openCount() != 0 {
		t.Errorf("end: %d %s, %d open", got.status, got.body, w.rooms.openCount())
	}
	w.play(http.MethodPost, whepPath(p.camera), m.Token, playerOffer) // comes back: the same view
	w.ask(maker, http.MethodDelete, prefix+"/players/"+m.Player.ID, "")
	want := []string{"player_made " + m.Player.ID, "live_played " + string(p.camera), "player_revoked " + m.Player.ID}
	if got := w.deeds(); !slices.Equal(got, want) {
		t.Errorf("the audit says %q, want %q", got, want)
	}
	var by, detail string
	err := w.db.Read().QueryRowContext(t.Context(), `SELECT person, detail FROM audit WHERE action = 'live_played' AND org = $1`, w.org).Scan(&by, &detail)
	if err != nil || by != string(maker.who.Person) || detail != "Counter, by the player Control room, whose token is Ana's" {
		t.Errorf("the view is noted as %q's: %q, %v", by, detail, err)
	}
}

// TestPlayersTable is the table of rights as programs meet it.
func TestPlayersTable(t *testing.T) {
	w := sqliteWorld(t)
	p, elsewhere := w.place(), w.place()
	boss := w.owner()
	foreign := w.join(w.other, access.Owner, nil)
	one, all := w.made(boss, p, `{"name":"One","camera":"{camera}"}`), w.made(boss, p, `{"name":"All"}`)
	second := id.New[id.Camera]()
	w.do(func(q store.Querier) error { return addCamera(t.Context(), q, w.org, p.site, second) })
	old := w.made(boss, p, `{"name":"Old","days":1}`)
	w.do(func(q store.Querier) error {
		_, err := q.ExecContext(t.Context(), `UPDATE player SET expires_us = $2 WHERE id = $1`, old.Player.ID, time.Now().UnixMicro())
		return err
	})
	gone := w.made(boss, p, `{"name":"Gone"}`)
	if got := w.ask(boss, http.MethodDelete, prefix+"/players/"+gone.Player.ID, ""); got.status != http.StatusNoContent {
		t.Fatalf("revoke: %d %s", got.status, got.body)
	}
	unknown := "hfp_" + strings.Repeat("A", 43)
	for _, tc := range []struct {
		name   string
		camera id.Camera
		auth   string
		status int
	}{
		{"its camera", p.camera, "Bearer " + one.Token, 201},
		{"its camera, the scheme in other letters", p.camera, "bearer " + one.Token, 201},
		{"another camera of the site", second, "Bearer " + one.Token, 404},
		{"a camera of its site", p.camera, "Bearer " + all.Token, 201},
		{"a camera of its site that came later", second, "Bearer " + all.Token, 201},
		{"a camera of another site", elsewhere.camera, "Bearer " + all.Token, 404},
		{"a camera that never was", id.New[id.Camera](), "Bearer " + all.Token, 404},
		{"no camera", "cam-1", "Bearer " + all.Token, 404},
		{"expired", p.camera, "Bearer " + old.Token, 401},
		{"revoked", p.camera, "Bearer " + gone.Token, 401},
		{"unknown", p.camera, "Bearer " + unknown, 401},
		{"no token", p.camera, "", 401},
		{"no scheme", p.camera, one.Token, 401},
		{"another scheme", p.camera, "Basic " + one.Token, 401},
		{"nothing behind the scheme", p.camera, "Bearer ", 401},
		{"two tokens", p.camera, "Bearer " + one.Token + " " + one.Token, 401},
		{"its ID", p.camera, "Bearer " + one.Player.ID, 401},
		{"a long one", p.camera, "Bearer hfp_" + strings.Repeat("A", 5000), 401},
		{"somebody's session", p.camera, "Bearer " + boss.cookie, 401},
	} {
		got := w.ask(actor{}, http.MethodPost, whepPath(tc.camera), playerOffer, "Authorization", tc.auth, "Content-Type", sdpType)
		if got.status != tc.status {
			t.Errorf("%s: %d %s, want %d", tc.name, got.status, got.body, tc.status)
		}
		if got.status >= 400 {
			checkProblem(t, tc.name, got)
		}
		if how := got.header.Get("WWW-Authenticate"); (got.status == 401) != strings.HasPrefix(how, `Bearer realm="holdfast"`) {
			t.Errorf("%s: WWW-Authenticate %q", tc.name, how)
		}
		if got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: a page of another origin can't read the answer: %v", tc.name, got.header)
		}
	}
	// A session is no key here, not even beside a token; and a token is none elsewhere.
	if got := w.ask(boss, http.MethodPost, whepPath(p.camera), playerOffer, "Content-Type", sdpType); got.status != http.StatusUnauthorized {
		t.Errorf("a session: %d", got.status)
	}
	for _, path := range []string{"/me", "/cameras/" + string(p.camera), "/sites/" + string(p.site) + "/players"} {
		if got := w.ask(actor{cookie: all.Token}, http.MethodGet, prefix+path, "", "Authorization", "Bearer "+all.Token); got.status != http.StatusUnauthorized {
			t.Errorf("GET %s with a token: %d %s", path, got.status, got.body)
		}
	}
	if got := w.ask(foreign, http.MethodDelete, prefix+"/players/"+one.Player.ID, ""); got.status != http.StatusNotFound {
		t.Errorf("another organisation revokes it: %d %s", got.status, got.body)
	}
	theirs := w.made(boss, elsewhere, `{"name":"Elsewhere"}`)
	location := w.play(http.MethodPost, whepPath(p.camera), one.Token, playerOffer).header.Get("Location")
	for name, token := range map[string]string{"another player of the site": all.Token, "a player of another site": theirs.Token} {
		for method, body := range map[string]string{http.MethodPatch: "v=1\r\n", http.MethodDelete: ""} {
			if got := w.play(method, location, token, body); got.status != http.StatusNotFound {
				t.Errorf("%s of %s's view: %d %s", method, name, got.status, got.body)
			}
		}
	}
	live := strings.Replace(location, whepPath(p.camera), prefix+"/live", 1)
	if got := w.ask(boss, http.MethodDelete, live, ""); got.status != http.StatusNotFound {
		t.Errorf("who made the token ends the view as an own one: %d", got.status)
	}
	if got := w.play(http.MethodDelete, strings.Replace(location, string(p.camera), string(second), 1), one.Token, ""); got.status != http.StatusNotFound {
		t.Errorf("the view under another camera: %d", got.status)
	}
}

func TestOffersOfPlayers(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	token := w.made(w.owner(), p, `{"name":"All"}`).Token
	video := "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 97\r\n"
	for _, tc := range []struct {
		name, query, kind, sdp string
		status                 int
		codecs                 []string
	}{
		{"H.264 and H.265", "", sdpType, video + "a=rtpmap:97 H264/90000\r\na=rtpmap:98 h265/90000\r\na=rtpmap:99 H264/90000\r\n", 201, []string{"h264", "h265"}},
		{"two places for video", "", sdpType, video + "a=rtpmap:97 H264/90000\r\nm=video 9 UDP/TLS/RTP/SAVPF 98\r\na=rtpmap:98 H265/90000\r\n", 201, []string{"h264"}},
		{"lines without a carriage return", "", sdpType, strings.ReplaceAll(video, "\r", "") + "a=rtpmap:97 H264/90000\n", 201, []string{"h264"}},
		{"none of our codecs", "", sdpType, video + "a=rtpmap:97 VP8/90000\r\n", 422, nil},
		{"sound alone", "", sdpType, "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n", 422, nil},
		{"no SDP", "", sdpType, "hello", 422, nil},
		{"nothing", "", sdpType, "", 400, nil},
		{"another type", "", "text/plain", playerOffer, 415, nil},
		{"too large", "", sdpType, strings.Repeat("v", maxSDP+1), 413, nil},
		{"a third stream", "?stream=third", sdpType, playerOffer, 422, nil},
		{"another way", "?through=either", sdpType, playerOffer, 422, nil},
	} {
		before := len(w.rooms.offers)
		got := w.play(http.MethodPost, whepPath(p.camera)+tc.query, token, tc.sdp, "Content-Type", tc.kind)
		if got.status != tc.status {
			t.Errorf("%s: %d %s, want %d", tc.name, got.status, got.body, tc.status)
		}
		if offers := w.rooms.offers[before:]; tc.codecs != nil && (len(offers) != 1 || !slices.Equal(offers[0].Offer.Codecs, tc.codecs)) || tc.codecs == nil && len(offers) > 0 {
			t.Errorf("%s: the room got %+v, want %q", tc.name, offers, tc.codecs)
		}
	}
	for code, status := range map[string]int{"offline": 503, "codec": 409, "failed": 502, "unknown_camera": 404} {
		w.rooms.err = &Refusal{Code: code, Text: "The site is away: try again when its line is back."}
		if got := w.play(http.MethodPost, whepPath(p.camera), token, playerOffer); got.status != status || !strings.Contains(got.body, "The site is away") {
			t.Errorf("%s: %d %s, want %d", code, got.status, got.body, status)
		}
	}
	w.rooms.err = nil
	for i := w.rooms.openCount(); i < playsAtOnce; i++ {
		if got := w.play(http.MethodPost, whepPath(p.camera), token, playerOffer); got.status != http.StatusCreated {
			t.Fatalf("view %d: %d %s", i+1, got.status, got.body)
		}
	}
	got := w.play(http.MethodPost, whepPath(p.camera), token, playerOffer)
	if got.status != http.StatusTooManyRequests || !strings.Contains(got.body, fmt.Sprint(playsAtOnce)) {
		t.Errorf("one view too many: %d %s", got.status, got.body)
	}
}

// TestPagesOfOtherOriginsPlay asks what a browser asks for such a page, and that nothing else is opened to it.
func TestPagesOfOtherOriginsPlay(t *testing.T) {
	w := sqliteWorld(t, func(c *Config) { c.PublicURL = "https://holdfast.example.com" })
	p := w.place()
	boss := w.owner()
	m := w.made(boss, p, `{"name":"Page"}`)
	from := []string{"Origin", "https://control.example", "Sec-Fetch-Site", "cross-site"}
	session := whepPath(p.camera) + "/" + string(id.New[id.Session]())
	for path, want := range map[string]string{whepPath(p.camera): "POST, OPTIONS", session: "PATCH, DELETE, OPTIONS"} {
		got := w.ask(actor{}, http.MethodOptions, path, "", append(from, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")...)
		h := got.header
		if got.status != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Methods") != want ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") || h.Get("Access-Control-Allow-Credentials") != "" || got.body != "" {
			t.Errorf("preflight of %s: %d %v %s", path, got.status, h, got.body)
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, "TRACE"} {
			if got := w.ask(boss, method, path, ""); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != want {
				t.Errorf("%s %s: %d %v", method, path, got.status, got.header)
			}
		}
	}
	if m.Addresses[0].URL != "https://holdfast.example.com"+whepPath(p.camera) {
		t.Errorf("the address is %s", m.Addresses[0].URL)
	}
	got := w.play(http.MethodPost, whepPath(p.camera), m.Token, playerOffer, from...)
	expose := got.header.Get("Access-Control-Expose-Headers")
	if got.status != http.StatusCreated || got.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(expose, "Location") || !strings.Contains(expose, "Link") {
		t.Errorf("play from another origin: %d %v %s", got.status, got.header, got.body)
	}
	if got := w.play(http.MethodDelete, got.header.Get("Location"), m.Token, "", from...); got.status != http.StatusOK {
		t.Errorf("end from another origin: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/me", "/cameras/" + string(p.camera) + "/live", "/whepx"} {
		for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPost} {
			got := w.ask(boss, method, prefix+path, "", from...)
			if got.header.Get("Access-Control-Allow-Origin") != "" || method == http.MethodPost && got.status != http.StatusForbidden {
				t.Errorf("%s %s from another origin: %d %v", method, path, got.status, got.header)
			}
		}
	}
}

// TestPlayersEndWithTheRight takes the right away in every way while views are open.
func TestPlayersEndWithTheRight(t *testing.T) {
	w := sqliteWorld(t)
	boss := w.owner()
	support := access.Support
	for name, take := range map[string]func(maker actor, p place, m PlayerMade) error{
		"revocation": func(maker actor, _ place, m PlayerMade) error {
			return w.access.RevokePlayer(t.Context(), maker.who, id.Player(m.Player.ID))
		},
		"expiry": func(_ actor, _ place, m PlayerMade) error {
			return exec(t.Context(), w, `UPDATE player SET expires_us = $1 WHERE id = $2`, time.Now().UnixMicro(), m.Player.ID)
		},
		"role drop": func(maker actor, _ place, _ PlayerMade) error {
			_, err := w.access.ChangePerson(t.Context(), boss.who, maker.who.Person, access.Patch{Role: &support})
			return err
		},
		"site taken": func(maker actor, _ place, _ PlayerMade) error {
			_, err := w.access.ChangePerson(t.Context(), boss.who, maker.who.Person, access.Patch{Sites: &[]id.Site{w.far}})
			return err
		},
		"removal of the maker": func(maker actor, _ place, _ PlayerMade) error {
			return w.access.RemovePerson(t.Context(), boss.who, maker.who.Person)
		},
		"the camera's move": func(_ actor, p place, _ PlayerMade) error {
			return exec(t.Context(), w, `UPDATE camera SET site = $1 WHERE id = $2`, w.far, p.camera)
		},
		"the camera's removal": func(_ actor, p place, _ PlayerMade) error {
			return exec(t.Context(), w, `UPDATE camera SET deleted_us = 1 WHERE id = $1`, p.camera)
		},
	} {
		p := w.place()
		maker := w.join(w.org, access.Manager, []id.Site{p.site})
		m := w.made(maker, p, `{"name":"One","camera":"{camera}"}`)
		second := id.New[id.Camera]()
		w.do(func(q store.Querier) error { return addCamera(t.Context(), q, w.org, p.site, second) })
		bystander := w.made(boss, p, `{"name":"All"}`)
		a, b := w.play(http.MethodPost, whepPath(p.camera), m.Token, playerOffer), w.play(http.MethodPost, whepPath(second), bystander.Token, playerOffer)
		if a.status != 201 || b.status != 201 {
			t.Fatalf("%s: %d %s, %d %s", name, a.status, a.body, b.status, b.body)
		}
		if err := take(maker, p, m); err != nil {
			t.Fatal(err)
		}
		await(t, "the end of the view after "+name, func() bool { return w.rooms.openCount() == 1 })
		if got := w.play(http.MethodPatch, a.header.Get("Location"), m.Token, "v=1\r\n"); got.status != http.StatusUnauthorized {
			t.Errorf("after %s the view is moved: %d %s", name, got.status, got.body)
		}
		if got := w.play(http.MethodDelete, b.header.Get("Location"), bystander.Token, ""); got.status != http.StatusOK {
			t.Errorf("after %s the bystander's view ends with %d %s", name, got.status, got.body)
		}
	}
}

// TestRevokingDoesNotWait has rights read again once an hour: a revoked token ends its views all the same.
func TestRevokingDoesNotWait(t *testing.T) {
	w := sqliteWorld(t, func(c *Config) { c.Recheck = 30 * time.Second })
	p := w.place()
	boss := w.owner()
	m := w.made(boss, p, `{"name":"One"}`)
	if got := w.play(http.MethodPost, whepPath(p.camera), m.Token, playerOffer); got.status != http.StatusCreated {
		t.Fatalf("play: %d %s", got.status, got.body)
	}
	if got := w.ask(boss, http.MethodDelete, prefix+"/players/"+m.Player.ID, ""); got.status != http.StatusNoContent {
		t.Fatalf("revoke: %d %s", got.status, got.body)
	}
	await(t, "the end of the view", func() bool { return w.rooms.openCount() == 0 })
	var list Players
	got := w.ask(boss, http.MethodGet, prefix+p.fill("/sites/{site}/players"), "")
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || len(list.Players) != 2 || strings.Contains(got.body, m.Token) {
		t.Fatalf("the list is %s, %v", got.body, err)
	}
	if l := list.Players[0]; l.ID != m.Player.ID || l.State != "revoked" || l.UsedUs == 0 || l.MadeBy != "Ana" {
		t.Errorf("the revoked player is listed as %+v", l)
	}
}

func TestTokensInVainAreLimited(t *testing.T) {
	w := sqliteWorld(t)
	p := w.place()
	token := w.made(w.owner(), p, `{"name":"One"}`).Token
	limit := access.Defaults().Limits.Address
	for range limit {
		if got := w.play(http.MethodPost, whepPath(p.camera), "hfp_wrong", playerOffer); got.status != http.StatusUnauthorized {
			t.Fatalf("a wrong token: %d %s", got.status, got.body)
		}
	}
	got := w.play(http.MethodPost, whepPath(p.camera), "hfp_wrong", playerOffer)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "new token") {
		t.Errorf("after %d: %d %v %s", limit, got.status, got.header, got.body)
	}
	if got := w.play(http.MethodPost, whepPath(p.camera), token, playerOffer); got.status != http.StatusCreated {
		t.Errorf("a token that serves, from the same address: %d %s", got.status, got.body)
	}
	slow := sqliteWorld(t, func(c *Config) { c.Rate.AddressPerSecond, c.Rate.AddressBurst = 0.01, 2 })
	for i, want := range []int{401, 401, 429} {
		if got := slow.play(http.MethodPost, whepPath(p.camera), "", playerOffer); got.status != want {
			t.Errorf("request %d without a token: %d, want %d", i+1, got.status, want)
		}
	}
}

func exec(ctx context.Context, w *world, query string, args ...any) error {
	return w.db.Tx(ctx, func(q store.Querier) error {
		_, err := q.ExecContext(ctx, query, args...)
		return err
	})
}

// addCamera puts one more at a site, without a word about those that are there.
func addCamera(ctx context.Context, q store.Querier, org id.Org, site id.Site, camera id.Camera) error {
	_, err := q.ExecContext(ctx, `INSERT INTO camera (id, org, site, site_name, first_seen_us) VALUES ($1, $2, $3, 'Second', 1)`, camera, org, site)
	return err
}
