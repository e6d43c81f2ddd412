package house

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/shared/id"
	"holdfast/testenv/fakecam"
	"holdfast/testenv/fakenvr"
	"holdfast/testenv/netcut"
	"holdfast/testenv/scenes"
)

// The login that the cameras of every house ask for.
const (
	CameraUser     = "holdfast"
	CameraPassword = "camera-Secret+1/?"
)

// addSite makes a site in the cloud, its cameras and its line, enrols its agent and starts it.
func (h *House) addSite(ctx context.Context, n int, plan BranchPlan) error {
	s := &Site{BranchPlan: plan, house: h}
	dir := filepath.Join(h.Dir, fmt.Sprintf("site-%d", n+1))
	s.Data, s.Config = filepath.Join(dir, "data"), filepath.Join(dir, "holdfast.yaml")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	h.Sites = append(h.Sites, s)
	if err := s.connect(); err != nil {
		return err
	}
	addr, err := s.Place.free(ctx)
	if err != nil {
		return err
	}
	s.Local = "http://" + addr
	if err := s.WriteConfig(nil); err != nil {
		return err
	}
	if err := s.create(ctx); err != nil {
		return err
	}
	if err := s.Enrol(ctx); err != nil {
		return err
	}
	if plan.Before != nil {
		if err := plan.Before(ctx, s); err != nil {
			return err
		}
	}
	return s.StartAgent(ctx)
}

// connect starts the cameras and the line.
func (s *Site) connect() error {
	var cams fakecam.Config
	for i, c := range s.BranchPlan.Cameras {
		if c.Main != "" {
			continue
		}
		main, sub := c.Place+"/main", c.Place+"/sub"
		if c.Loop != nil {
			main, sub = c.Loop.Name, c.Loop.Name
			cams.Loops = map[string]*scenes.Loop{c.Loop.Name: c.Loop}
		}
		cams.Cameras = append(cams.Cameras, fakecam.CameraConfig{
			Name: c.Key, Number: uint32(i + 1), Main: main, Sub: sub, User: CameraUser, Password: CameraPassword, Mute: c.Mute,
			Card: c.Card, Speaker: c.Talk,
		})
	}
	if len(cams.Cameras) > 0 {
		if err := s.Place.do(func() (err error) {
			s.Cameras, err = fakecam.New(cams)
			return err
		}); err != nil {
			return err
		}
		s.house.background("cameras", s.Cameras.Run)
	}
	if err := s.turnHeads(); err != nil {
		return err
	}
	if s.Place != nil {
		return nil
	}
	var err error
	if s.Line, err = netcut.New("127.0.0.1:0", s.house.Addr()); err != nil {
		return err
	}
	s.house.background("line", s.Line.Run)
	return nil
}

// turnHeads starts the ONVIF devices of the cameras that move.
func (s *Site) turnHeads() error {
	s.Heads = map[string]*fakenvr.Device{}
	for _, c := range s.BranchPlan.Cameras {
		if !c.PTZ || c.Main != "" {
			continue
		}
		cam := s.Cameras.Camera(c.Key)
		head, err := fakenvr.New(fakenvr.Config{
			User: CameraUser, Password: CameraPassword, Streams: map[string]string{"main": cam.URL("main"), "sub": cam.URL("sub")},
		})
		if err != nil {
			return err
		}
		s.Heads[c.Key] = head
		s.house.background("head of "+c.Key, head.Run)
	}
	return nil
}

// WriteConfig writes the agent's configuration; change, if not nil, edits its text first.
func (s *Site) WriteConfig(change func(text string) string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "data: %q\ncamera_networks: [127.0.0.0/8]\nlocal: {listen: %q}\nlive: {loopback: %v, %s}\n",
		s.Data, strings.TrimPrefix(s.Local, "http://"), s.Place == nil, s.Live)
	if !strings.Contains(s.YAML, "volumes:") {
		fmt.Fprintf(&b, "volumes: [{path: %q, free: 100MB}]\n", filepath.Join(s.Data, "video"))
	}
	if s.house.ca != nil {
		fmt.Fprintf(&b, "cloud: {ca_file: %q}\n", s.house.caFile())
	}
	if s.YAML != "" {
		b.WriteString(strings.TrimRight(s.YAML, "\n") + "\n")
	}
	b.WriteString("cameras:\n")
	for _, c := range s.BranchPlan.Cameras {
		if c.Main != "" {
			fmt.Fprintf(&b, "  - {key: %s, name: %q, main: %q}\n", c.Key, c.Name, c.Main)
			continue
		}
		cam := s.Cameras.Camera(c.Key)
		more := ""
		if c.Card > 0 {
			more = fmt.Sprintf(", archive: {url: %q, name: card}", cam.Main().ArchiveURL())
		}
		if head := s.Heads[c.Key]; head != nil {
			more += fmt.Sprintf(", onvif: {url: %q}", head.URL())
		}
		fmt.Fprintf(&b, "  - {key: %s, name: %q, main: %q, sub: %q, user: %s, password: %q, record_sub: %v, talk: %v%s}\n",
			c.Key, c.Name, cam.URL("main"), cam.URL("sub"), CameraUser, CameraPassword, c.Sub, len(c.Talk) > 0, more)
	}
	text := b.String()
	if change != nil {
		text = change(text)
	}
	return os.WriteFile(s.Config, []byte(text), 0o600)
}

// create makes the site, and its region, in the cloud.
func (s *Site) create(ctx context.Context) error {
	body := map[string]any{"name": s.Name, "timezone": "Europe/Berlin"}
	if s.Region != "" {
		region, err := s.house.region(ctx, s.Region)
		if err != nil {
			return err
		}
		body["region"] = region
	}
	var made struct {
		ID id.Site `json:"id"`
	}
	if err := s.house.Owner.Post(ctx, "/sites", body, &made); err != nil {
		return err
	}
	s.ID = made.ID
	return nil
}

func (h *House) region(ctx context.Context, name string) (string, error) {
	var list struct {
		Regions []struct{ ID, Name string } `json:"regions"`
	}
	if err := h.Owner.Get(ctx, "/regions", &list); err != nil {
		return "", err
	}
	for _, r := range list.Regions {
		if r.Name == name {
			return r.ID, nil
		}
	}
	var made struct{ ID string }
	err := h.Owner.Post(ctx, "/regions", map[string]any{"name": name}, &made)
	return made.ID, err
}

// NewCode asks the cloud for an enrolment code.
func (s *Site) NewCode(ctx context.Context) (string, error) {
	var made struct {
		Code string `json:"code"`
	}
	err := s.house.Owner.Post(ctx, "/sites/"+string(s.ID)+"/codes", nil, &made)
	return made.Code, err
}

// Enrol enrols the agent over its line with a new code.
func (s *Site) Enrol(ctx context.Context) error {
	code, err := s.NewCode(ctx)
	if err != nil {
		return err
	}
	cloud := s.house.URL
	if s.Line != nil {
		cloud = s.house.scheme() + s.Line.Addr()
	}
	out, err := s.Run(ctx, "enrol", "--cloud", cloud, code)
	if err != nil {
		return fmt.Errorf("enrol: %w\n%s", err, out)
	}
	return nil
}

// Run runs one command of the agent's program with the site's configuration and returns what it printed.
func (s *Site) Run(ctx context.Context, args ...string) (string, error) {
	return output(ctx, s.Place, s.Env, s.house.program("holdfast-agent"), append([]string{"--config", s.Config}, args...)...)
}

// StartAgent starts the agent and waits until its window answers, which it does once recording has begun.
func (s *Site) StartAgent(ctx context.Context) error {
	p, err := s.house.spawn(s.Name, s.Place, s.Env, s.house.program("holdfast-agent"), "run", "--config", s.Config)
	if err != nil {
		return err
	}
	s.Agent = p
	return Until(ctx, 30*time.Second, "the agent's window answers", func(ctx context.Context) (bool, error) {
		if err := p.Alive(); err != nil {
			return false, err
		}
		_, err := s.Status(ctx)
		return err == nil, nil
	})
}

// Status returns what the agent's window says.
func (s *Site) Status(ctx context.Context) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Local+"/status.json", nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.Place.client().Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var out map[string]any
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status page answers %s", resp.Status)
	}
	return out, json.NewDecoder(resp.Body).Decode(&out)
}

// Recording waits until the cloud says that so many cameras of the site record.
func (s *Site) Recording(ctx context.Context, cameras int, limit time.Duration) error {
	return Until(ctx, limit, fmt.Sprintf("%d cameras of %s record", cameras, s.Name), func(ctx context.Context) (bool, error) {
		var site struct {
			Cameras struct{ Recording int }
		}
		err := s.house.Owner.Get(ctx, "/sites/"+string(s.ID), &site)
		return site.Cameras.Recording >= cameras, err
	})
}

// Event posts an event to the agent's window, as an alarm panel does.
func (s *Site) Event(ctx context.Context, event map[string]any) error {
	token, err := os.ReadFile(filepath.Join(s.Data, "local.token"))
	if err != nil {
		return err
	}
	body, err := json.Marshal(event)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Local+"/events", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.Place.client().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("event refused: %s %s", resp.Status, text)
	}
	return nil
}

// CameraIDs returns the identities that the agent minted, by key.
func (s *Site) CameraIDs() (map[string]id.Camera, error) {
	text, err := os.ReadFile(filepath.Join(s.Data, "cameras.json"))
	if err != nil {
		return nil, err
	}
	var out map[string]id.Camera
	return out, json.Unmarshal(text, &out)
}
