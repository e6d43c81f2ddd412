// Package house declares a running system and gets it: Setup{Sites: 2, Cameras: 3} gives a cloud with an owner,
// sites with enrolled agents, cameras that send, and between each agent and the cloud a line that can be cut.
//
// Cloud and agents are the real programs in processes of their own, over real sockets; cameras are
// testenv/fakecam in this process. It owns their folder and ends everything that it started. It never waits by
// sleeping: every step waits for its condition, and says which one did not come.
package house

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/shared/id"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/fakenvr"
	"holdfast/testenv/netcut"
	"holdfast/testenv/scenes"
)

// Setup declares a house. The zero value is one site with one camera.
type Setup struct {
	Dir      string       // empty: a temporary folder that goes with the house
	Programs string       // folder with what Build has built; empty: they are built for this house
	Listen   string       // of the cloud; empty: any free port of loopback
	TLS      bool         // the cloud shows a certificate, of an authority that the agents are told of
	Database string       // of the cloud; empty: SQLite in Dir
	Clips    string       // clip store of the cloud; empty: a folder in Dir
	Cloud    []string     // further arguments of holdfast-cloud serve
	Env      []string     // further environment of the cloud
	Place    Place        // where the cloud is, and its owner's browser
	Sites    int          // with Cameras cameras each, when Branches is empty; 0 means 1
	Cameras  int          // 0 means 1
	Branches []BranchPlan // instead of Sites and Cameras
	Log      func(format string, args ...any)
}

// BranchPlan declares one site.
type BranchPlan struct {
	Name    string
	Region  string
	Cameras []CameraPlan
	YAML    string   // further lines for the agent's configuration, at the top level
	Live    string   // further settings under "live:", as YAML in one line
	Env     []string // further environment of the agent
	Place   Place    // where the agent and its cameras are; if it is set, they have no Line but the place's own way to the cloud

	// Before is called when the site is enrolled and its agent has not run yet.
	Before func(ctx context.Context, s *Site) error
}

// CameraPlan declares one camera.
type CameraPlan struct {
	Key   string
	Name  string
	Place string        // of testenv/scenes: "carpark", "shop" ...
	Sub   bool          // record the sub-stream too
	Mute  bool          // the loop's sound is left out
	Card  time.Duration // how much the camera keeps by itself, from which gaps are filled; 0: nothing
	PTZ   bool          // it turns and zooms, by ONVIF: Site.Heads says where it points. What it sends shows nothing of that
	Talk  []string      // codecs of its loudspeaker, through which people may speak: "PCMU"; none: they may not

	Loop *scenes.Loop // instead of Place, for both streams
	Main string       // instead of Place: the address of a camera elsewhere, which asks for no login and has no sub-stream
}

// Owner is how the first person signs in.
const (
	OwnerEmail    = "owner@example.com"
	OwnerPassword = "correct horse battery"
)

// House is a running system.
type House struct {
	Dir   string
	URL   string // of the cloud
	Cloud *Process
	Owner *Client
	Sites []*Site

	setup Setup
	ctx   context.Context
	end   context.CancelFunc
	wg    sync.WaitGroup
	temp  bool
	ca    *fakecam.CA // of the cloud's certificate; nil without TLS
}

// Site is a branch with its agent.
type Site struct {
	BranchPlan
	ID      id.Site
	Agent   *Process
	Line    *netcut.Proxy              // between agent and cloud; nil at a site with a Place of its own
	Cameras *fakecam.Server            // nil when all cameras are elsewhere
	Heads   map[string]*fakenvr.Device // of the cameras that move, by key
	Local   string                     // http://host:port of the agent's window
	Data    string                     // the agent's data folder
	Config  string                     // its YAML file

	house *House
}

// New starts a house for a test and ends it with the test.
func New(t testing.TB, s Setup) *House {
	t.Helper()
	if s.Log == nil {
		s.Log = t.Logf
	}
	h, err := Start(t.Context(), s)
	if h != nil {
		t.Cleanup(func() {
			if t.Failed() {
				h.logs(t.Logf)
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Start builds the programs if they are older than their sources, and starts the house. The House is not nil
// when only a later step failed; close it then.
func Start(ctx context.Context, s Setup) (*House, error) {
	if s.Log == nil {
		s.Log = func(string, ...any) {}
	}
	h := &House{setup: s, Dir: s.Dir}
	h.ctx, h.end = context.WithCancel(context.WithoutCancel(ctx))
	if h.Dir == "" {
		dir, err := os.MkdirTemp("", "holdfast-house-*")
		if err != nil {
			return nil, err
		}
		h.Dir, h.temp = dir, true
	}
	if err := h.start(ctx); err != nil {
		return h, err
	}
	return h, nil
}

func (h *House) start(ctx context.Context) error {
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return err
	}
	if h.setup.Programs == "" {
		if err := Build(ctx, filepath.Join(h.Dir, "bin")); err != nil {
			return err
		}
	} else if err := os.Symlink(h.setup.Programs, filepath.Join(h.Dir, "bin")); err != nil {
		return err
	}
	if err := h.StartCloud(ctx); err != nil {
		return err
	}
	if err := h.found(ctx); err != nil {
		return err
	}
	for i, plan := range h.plans() {
		if err := h.addSite(ctx, i, plan); err != nil {
			return fmt.Errorf("site %s: %w", plan.Name, err)
		}
	}
	return nil
}

// plans returns the branches, made up where the Setup gives only numbers.
func (h *House) plans() []BranchPlan {
	if len(h.setup.Branches) > 0 {
		return h.setup.Branches
	}
	places := []string{"carpark", "shop", "dock", "corridor", "checkout", "carpark-night"}
	var out []BranchPlan
	for i := range max(h.setup.Sites, 1) {
		b := BranchPlan{Name: fmt.Sprintf("Branch %d", i+1)}
		for j := range max(h.setup.Cameras, 1) {
			b.Cameras = append(b.Cameras, CameraPlan{
				Key: fmt.Sprintf("cam-%d", j+1), Name: fmt.Sprintf("Camera %d", j+1), Place: places[j%len(places)],
			})
		}
		out = append(out, b)
	}
	return out
}

// Root returns the folder of the module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

func (h *House) program(name string) string { return filepath.Join(h.Dir, "bin", name) }

// Build builds the programs into a folder. One that is newer than its sources is left alone.
func Build(ctx context.Context, dir string) error {
	for _, p := range [][2]string{{"holdfast-cloud", "./cloud/cmd/holdfast-cloud"}, {"holdfast-agent", "./agent/cmd/holdfast-agent"}} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, p[0]), p[1])
		cmd.Dir = Root()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p[0], err, out)
		}
	}
	return nil
}

// StartCloud starts the cloud, again after a stop, and waits until it answers. Its address stays the same.
func (h *House) StartCloud(ctx context.Context) error {
	listen := h.setup.Listen
	if h.URL != "" {
		listen = h.Addr()
	} else if listen == "" {
		listen = "127.0.0.1:0"
	}
	data := filepath.Join(h.Dir, "cloud")
	args := append([]string{"serve", "--data", data, "--listen", listen}, h.setup.Cloud...)
	if h.setup.Database != "" {
		args = append(args, "--database", h.setup.Database)
	}
	if h.setup.Clips != "" {
		args = append(args, "--clips", h.setup.Clips)
	}
	if h.setup.TLS {
		more, err := h.certify()
		if err != nil {
			return err
		}
		args = append(args, more...)
	}
	p, err := h.spawn("cloud", h.setup.Place, h.setup.Env, h.program("holdfast-cloud"), args...)
	if err != nil {
		return err
	}
	h.Cloud = p
	line, err := p.Await(ctx, "Listening on ")
	if err != nil {
		return err
	}
	h.URL = strings.TrimSpace(line)
	return nil
}

// found makes the organisation and its owner through the one-time link, or signs in if that was done before.
func (h *House) found(ctx context.Context) error {
	h.Owner = NewClient(h.URL)
	h.Owner.reach(h.setup.Place, h.ca)
	var state struct {
		Needed bool `json:"needed"`
	}
	if err := h.Owner.Get(ctx, "/setup", &state); err != nil || !state.Needed {
		return h.Owner.SignIn(ctx, OwnerEmail, OwnerPassword)
	}
	link, err := h.Cloud.Await(ctx, "Set up: ")
	if err != nil {
		return err
	}
	_, token, ok := strings.Cut(strings.TrimSpace(link), "token=")
	if !ok {
		return fmt.Errorf("the set-up link %q has no token", link)
	}
	return h.Owner.Post(ctx, "/setup", map[string]any{
		"token": token, "organisation": "Northwind Stores", "name": "Olivia Owner", "email": OwnerEmail, "password": OwnerPassword,
	}, nil)
}

// Close ends everything, agents first, and removes a temporary folder.
func (h *House) Close() error {
	var errs []error
	for _, s := range h.Sites {
		if s.Agent != nil {
			errs = append(errs, s.Agent.Stop(25*time.Second))
		}
	}
	if h.Cloud != nil {
		errs = append(errs, h.Cloud.Stop(15*time.Second))
	}
	h.end()
	h.wg.Wait()
	if h.temp {
		errs = append(errs, os.RemoveAll(h.Dir))
	}
	return errors.Join(errs...)
}

// logs prints the end of every program's log.
func (h *House) logs(printf func(string, ...any)) {
	all := []*Process{h.Cloud}
	for _, s := range h.Sites {
		all = append(all, s.Agent)
	}
	for _, p := range all {
		if p != nil {
			printf("--- %s ---\n%s", p.Name, p.Tail(60))
		}
	}
}

// background runs what lives as long as the house.
func (h *House) background(name string, run func(context.Context) error) {
	h.wg.Go(func() {
		if err := run(h.ctx); err != nil && h.ctx.Err() == nil {
			h.setup.Log("%s: %v", name, err)
		}
	})
}

// FreeAddr returns a loopback address that is free now.
func FreeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
