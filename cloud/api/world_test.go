package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/cloud/store/orgs"
	"holdfast/cloud/store/people"
	"holdfast/cloud/store/players"
	"holdfast/cloud/store/walls"
	"holdfast/shared/id"
	"holdfast/shared/wire"
	"holdfast/testenv/db"
)

// world is a running door with two tenants: ours, with the sites that places make, and another.
type world struct {
	t      testing.TB
	db     *store.DB
	api    *API
	access *access.Access
	bus    *Bus
	rooms  *rooms
	server *httptest.Server
	logs   *syncBuffer
	org    id.Org
	other  id.Org
	far    id.Site // of our organisation; nobody's target
	phc    string  // hash of the password of everybody who joins
	stop   context.CancelFunc
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func testAccess(t testing.TB, d *store.DB, log *slog.Logger) *access.Access {
	t.Helper()
	cfg := access.Defaults()
	cfg.Argon.MemoryKiB, cfg.Argon.Passes, cfg.FailAfter, cfg.VerifyEvery = 64, 1, 0, time.Nanosecond
	a, err := access.New(cfg, d, log)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newWorld starts a door; tweak changes its configuration.
func newWorld(t testing.TB, d *store.DB, tweak ...func(*Config)) *world {
	t.Helper()
	w := bareWorld(t, d, tweak...)
	w.org, w.other, w.far = id.New[id.Org](), id.New[id.Org](), id.New[id.Site]()
	w.do(func(q store.Querier) error {
		return errors.Join(
			orgs.Add(t.Context(), q, orgs.Org{ID: w.org, Name: "Bluebird Bakery"}),
			orgs.Add(t.Context(), q, orgs.Org{ID: w.other, Name: "Other"}),
			orgs.AddSite(t.Context(), q, orgs.Site{ID: w.far, Org: w.org, Name: "Far", Timezone: "UTC"}))
	})
	w.phc = w.hash()
	return w
}

// password is everybody's.
const password = "copper lantern 42"

// hash has the access room hash the password, for somebody who is nobody's target.
func (w *world) hash() (phc string) {
	w.t.Helper()
	p := people.Person{ID: id.New[id.Person](), Org: w.other, Email: "first@example.com", Name: "First", Role: "owner"}
	w.do(func(q store.Querier) error { return people.Add(w.t.Context(), q, p) })
	inv, err := w.access.ResetPerson(w.t.Context(), access.Actor{Person: p.ID, Org: w.other, Role: access.Owner}, p.ID)
	if err == nil {
		err = w.access.SetPassword(w.t.Context(), inv.Token, password, "::1")
	}
	if err == nil {
		err = w.db.Read().QueryRowContext(w.t.Context(), `SELECT password FROM person WHERE id = $1`, p.ID).Scan(&phc)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return phc
}

// bareWorld is a door before the first start's setup.
func bareWorld(t testing.TB, d *store.DB, tweak ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, db: d, bus: NewBus(), rooms: newRooms(), logs: &syncBuffer{}}
	log := slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.access = testAccess(t, d, log)
	cfg := Defaults()
	cfg.Version, cfg.Recheck = "1.2.3", 20*time.Millisecond
	cfg.Rate = Rate{PersonPerSecond: 1e6, PersonBurst: 1e6, AddressPerSecond: 1e6, AddressBurst: 1e6, Streams: 3, Sockets: 100, SocketsOfOrg: 100}
	cfg.Commands = func(base, code string) Commands {
		return Commands{Linux: base + " " + code, Windows: base + " " + code}
	}
	for _, f := range tweak {
		f(&cfg)
	}
	portal := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "portal") })
	var err error
	r := w.rooms
	w.api, err = New(cfg, d, w.access, Rooms{Fleet: r, Agents: r, Coverage: r, Live: r, Events: r, Clips: r, Rules: r, Alerts: r}, w.bus, portal, log)
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.api.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.api.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		w.stop()
		w.server.Close()
	})
	return w
}

func (w *world) do(fn func(q store.Querier) error) {
	w.t.Helper()
	if err := w.db.Tx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// place is a site of our organisation with one of everything.
type place struct {
	site   id.Site
	camera id.Camera
	region id.Region
	clip   id.Clip
	rule   id.Rule
	code   id.Code
	hold   id.Hold
	person id.Person // a viewer of the site
	wall   id.Wall   // of that viewer, shared
	player id.Player // of any camera of the site
}

func (w *world) place() place {
	w.t.Helper()
	p := place{
		site: id.New[id.Site](), camera: id.New[id.Camera](), region: id.New[id.Region](), clip: id.New[id.Clip](),
		rule: id.New[id.Rule](), code: id.New[id.Code](), hold: id.New[id.Hold](), person: id.New[id.Person](),
		wall: id.New[id.Wall](), player: id.New[id.Player](),
	}
	ctx := w.t.Context()
	w.do(func(q store.Querier) error {
		err := errors.Join(
			orgs.AddRegion(ctx, q, orgs.Region{ID: p.region, Org: w.org, Name: "Region " + string(p.region)}),
			orgs.AddSite(ctx, q, orgs.Site{ID: p.site, Org: w.org, Region: p.region, Name: "Site " + string(p.site), Timezone: "UTC"}),
			people.Add(ctx, q, people.Person{
				ID: p.person, Org: w.org, Email: string(p.person) + "@example.com", Name: "Vera", Role: "viewer",
				Sites: []id.Site{p.site}, Password: w.phc,
			}))
		if err != nil {
			return err
		}
		_, err = orgs.SeenCameras(ctx, q, w.org, p.site, []wire.CameraState{{Camera: p.camera, Name: "Counter"}}, 1)
		return errors.Join(err, orgs.Unreport(ctx, q, store.Org(w.org), p.site), orgs.AddHold(ctx, q, store.Org(w.org), orgs.Hold{
			ID: p.hold, Org: w.org, Site: p.site, Camera: p.camera, StartUs: 1, EndUs: 2, Name: "Break-in", PersonName: "Ada", CreatedUs: 1,
		}), walls.Add(ctx, q, store.Org(w.org), walls.Wall{
			ID: p.wall, Org: w.org, Owner: p.person, Name: "Doors", Shared: true, Layout: "2x2", Tiles: []walls.Tile{{Place: 1, Camera: p.camera}},
		}), players.Add(ctx, q, store.Org(w.org), players.Player{
			ID: p.player, TokenHash: []byte("sum of " + p.player), Org: w.org, Site: p.site, Name: "Control room", MadeBy: p.person,
			ExpiresUs: time.Now().Add(time.Hour).UnixMicro(),
		}))
	})
	w.rooms.add(w.org, p)
	return p
}

// actor is a browser that is signed in.
type actor struct {
	who    access.Actor
	cookie string
}

// join adds a person and signs in.
func (w *world) join(org id.Org, role access.Role, sites []id.Site) actor {
	w.t.Helper()
	p := people.Person{ID: id.New[id.Person](), Org: org, Name: "Ana", Role: string(role), Sites: sites, Password: w.phc}
	p.Email = string(p.ID) + "@example.com"
	token := "token-" + string(p.ID)
	sum := sha256.Sum256([]byte(token))
	now := time.Now()
	w.do(func(q store.Querier) error {
		return errors.Join(people.Add(w.t.Context(), q, p), people.AddSession(w.t.Context(), q, people.Session{
			TokenHash: sum[:], ID: id.New[id.Session](), Org: org, Person: p.ID, CreatedUs: now.UnixMicro(), SeenUs: now.UnixMicro(),
			ExpiresUs: now.Add(time.Hour).UnixMicro(), IP: "::1",
		}))
	})
	who, err := w.access.Authenticate(w.t.Context(), token, "::1")
	if err != nil {
		w.t.Fatal(err)
	}
	return actor{who: who, cookie: token}
}

func (w *world) owner() actor { return w.join(w.org, access.Owner, nil) }

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request; head lists header names and values in turn.
func (w *world) ask(a actor, method, path, body string, head ...string) answer {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	if a.cookie != "" {
		r.AddCookie(&http.Cookie{Name: w.api.cookieName(), Value: a.cookie})
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return answer{res.StatusCode, res.Header, ""} // it does not end by itself
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// deeds returns what the audit of our organisation says, as "deed target".
func (w *world) deeds() (list []string) {
	w.t.Helper()
	rows, err := w.db.Read().QueryContext(w.t.Context(), `SELECT action, target, detail FROM audit WHERE org = $1 ORDER BY seq`, w.org)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var action, target, detail string
		if err := rows.Scan(&action, &target, &detail); err != nil {
			w.t.Fatal(err)
		}
		list = append(list, fmt.Sprint(action, " ", target))
	}
	return list
}

// await waits until ok, at most ten seconds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not happen", what)
		}
	}
}

func sqliteWorld(t testing.TB, tweak ...func(*Config)) *world {
	t.Helper()
	return newWorld(t, db.SQLite(t), tweak...)
}
