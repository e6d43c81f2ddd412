// Package api is the cloud's door: the REST interface of the portal under /api/v1, and the portal's files
// beside it.
//
// Every route is an operation of an OpenAPI 3.1 document that is generated from the Go types; its action is
// checked against the role before anything of the request is read, and its target against the organisation and
// sites before anything is answered. What lies outside them is answered like what does not exist. Errors are
// RFC 9457 problems whose detail says what to do. Video is shown only after its row of the audit is written,
// and what lasts longer than a request (changes, downloads, live sessions) ends within a minute of its right.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"holdfast/cloud/access"
	"holdfast/cloud/store"
	"holdfast/shared/id"
)

// prefix is where the routes of this version lie.
const prefix = "/api/v1"

// Config holds what the door needs to know of the installation. Defaults returns sound times and limits.
type Config struct {
	Version string // of the program, for GET /version
	// PublicURL is how browsers and agents reach the cloud, such as "https://holdfast.example.com"; empty: as
	// the browser that asks did.
	PublicURL string
	// Secure says that browsers come by TLS, here or at a proxy: cookies are Secure and HSTS is set.
	Secure bool
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// Commands returns the lines that enrol an agent with a code; base is the cloud's URL.
	Commands func(base, code string) Commands
	// Recheck is how often what lasts asks for its rights again, and how often GET /changes pings; below 30 s.
	Recheck time.Duration
	// BodyTimeout is how long a request's body may take.
	BodyTimeout time.Duration
	// WriteTimeout is how long one write of a stream or download may take.
	WriteTimeout time.Duration
	Rate         Rate
}

// Rate holds the request limits: a steady rate per second and how many may come at once.
type Rate struct {
	PersonPerSecond  float64
	PersonBurst      int
	AddressPerSecond float64 // requests that need no session
	AddressBurst     int
	Streams          int // open GET /changes per person
	Sockets          int // cameras that a person watches by WebSocket at once
	SocketsOfOrg     int // and that an organisation does: a part of what the relay has room for
}

// Defaults returns the configuration of a production installation; Commands is left to the caller.
func Defaults() Config {
	return Config{
		Version: "dev", Recheck: 15 * time.Second, BodyTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		Rate: Rate{PersonPerSecond: 40, PersonBurst: 400, AddressPerSecond: 4, AddressBurst: 40, Streams: 20, Sockets: 64, SocketsOfOrg: 256},
	}
}

// Validate reports every fault of the configuration.
func (c Config) Validate() error {
	var faults []error
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" {
			faults = append(faults, fmt.Errorf("api: public_url %q must look like https://holdfast.example.com, without a path", c.PublicURL))
		}
	}
	if c.Commands == nil {
		faults = append(faults, errors.New("api: the commands of enrolment are needed"))
	}
	if c.Recheck <= 0 || c.Recheck > 30*time.Second {
		faults = append(faults, errors.New("api: recheck must be above 0 and at most 30 s"))
	}
	if c.BodyTimeout <= 0 || c.WriteTimeout <= 0 {
		faults = append(faults, errors.New("api: body_timeout and write_timeout must be above 0"))
	}
	if r := c.Rate; r.PersonPerSecond <= 0 || r.PersonBurst <= 0 || r.AddressPerSecond <= 0 || r.AddressBurst <= 0 || r.Streams <= 0 || r.Sockets <= 0 || r.SocketsOfOrg <= 0 {
		faults = append(faults, errors.New("api: every rate must be above 0"))
	}
	return errors.Join(faults...)
}

// asOrigin is a URL without a path as a browser writes an origin: without a port that goes without saying.
func asOrigin(address string) string {
	scheme, host, _ := strings.Cut(address, "://")
	switch scheme {
	case "http":
		return scheme + "://" + strings.TrimSuffix(host, ":80")
	case "https":
		return scheme + "://" + strings.TrimSuffix(host, ":443")
	}
	return address
}

func (r Rooms) validate() error {
	var faults []error
	v := reflect.ValueOf(r)
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			faults = append(faults, fmt.Errorf("api: the room %s is missing", v.Type().Field(i).Name))
		}
	}
	return errors.Join(faults...)
}

// API is the door. Safe for concurrent use.
type API struct {
	cfg     Config
	db      *store.DB
	access  *access.Access
	rooms   Rooms
	bus     *Bus
	log     *slog.Logger
	persons *limiter
	hosts   *limiter
	streams *counter
	sockets struct{ person, org *counter }
	viewers *viewers
	turns   *access.Turns
	quiet   chan id.Session // talks that have ended
	spec    []byte
	revoked chan struct{} // a right may have been: who watches without one is found now
	closing chan struct{} // closed when Run is to end: long answers end
	handler http.Handler
}

// New joins the door with its rooms; portal answers every path outside /api/, unknown ones with its page.
func New(cfg Config, db *store.DB, who *access.Access, rooms Rooms, bus *Bus, portal http.Handler, log *slog.Logger) (*API, error) {
	if err := errors.Join(cfg.Validate(), rooms.validate()); err != nil {
		return nil, err
	}
	cfg.PublicURL = asOrigin(cfg.PublicURL)
	a := &API{
		cfg: cfg, db: db, access: who, rooms: rooms, bus: bus, log: log,
		persons: newLimiter(cfg.Rate.PersonPerSecond, cfg.Rate.PersonBurst),
		hosts:   newLimiter(cfg.Rate.AddressPerSecond, cfg.Rate.AddressBurst),
		streams: newCounter(cfg.Rate.Streams),
		viewers: newViewers(),
		turns:   access.NewTurns(time.Now),
		quiet:   make(chan id.Session, 64),
		revoked: make(chan struct{}, 1),
		closing: make(chan struct{}),
	}
	a.sockets.person, a.sockets.org = newCounter(cfg.Rate.Sockets), newCounter(cfg.Rate.SocketsOfOrg)
	mux := http.NewServeMux()
	doc := a.mount(mux)
	var err error
	if a.spec, err = render(doc); err != nil {
		return nil, err
	}
	mux.HandleFunc("GET "+prefix+"/openapi.json", a.serveSpec)
	mux.HandleFunc(whepPrefix, a.whepOtherwise)
	mux.HandleFunc("/api/", a.noRoute)
	mux.Handle("/", portal)
	a.handler, err = a.wrap(mux)
	return a, err
}

// Handler returns the handler of every path that is not the agents'.
func (a *API) Handler() http.Handler { return a.handler }

// Run closes live sessions whose viewers lost their right, and writes down who has spoken, until ctx ends; then it ends every
// stream and every talk, for which the agents must still be within reach.
func (a *API) Run(ctx context.Context) error {
	tick := time.NewTicker(a.cfg.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.sweepViewers(ctx)
		case session := <-a.quiet:
			a.ended(ctx, session)
		case <-a.revoked:
			a.sweepViewers(ctx)
		case <-ctx.Done():
			close(a.closing)
			rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			a.sweepTalks(rest)
			return nil
		}
	}
}

// stopping says whether Run is to end.
func (a *API) stopping() bool {
	select {
	case <-a.closing:
		return true
	default:
		return false
	}
}

// Spec returns the OpenAPI 3.1 document of the interface as indented JSON, the same bytes each time.
func Spec() ([]byte, error) {
	a := &API{cfg: Defaults()}
	return render(a.mount(http.NewServeMux()))
}

// mount registers every route and returns the document.
func (a *API) mount(mux *http.ServeMux) huma.API {
	cfg := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Holdfast", Version: "1",
				Description: "The interface between the portal and the cloud. Times are int64 microseconds since 1970 in fields named *_us.",
			},
			Servers: []*huma.Server{{URL: prefix}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"session": {Type: "apiKey", In: "cookie", Name: sessionCookie, Description: "Set by POST /session."},
					"player":  {Type: "http", Scheme: "bearer", Description: "The token of a player, from POST /sites/{site}/players."},
				},
			},
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{explain},
	}
	doc := humago.NewWithPrefix(mux, prefix, cfg)
	doc.UseMiddleware(a.admit(doc))
	d := &door{API: a, doc: doc}
	d.entry()
	d.people()
	d.sites()
	d.cameras()
	d.holds()
	d.live()
	d.ptz()
	d.talk()
	d.socket()
	d.players()
	d.whep()
	d.events()
	d.clips()
	d.rules()
	d.walls()
	d.alerts()
	d.audit()
	d.changes()
	return doc
}

// door is the API while its routes are registered.
type door struct {
	*API
	doc huma.API
}

// parse reads an ID of a request; what is no ID of its kind is answered like an unknown one.
func parse[T id.Kind](s string) (T, error) {
	v, err := id.Parse[T](s)
	if err != nil {
		return "", store.ErrNotFound
	}
	return v, nil
}
