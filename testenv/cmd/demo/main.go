// Command demo runs Holdfast on one machine to look at: a cloud with its portal, three sites with cameras that
// move, and a line for each site that can be cut. Cloud and agents are the real programs.
//
// It prints "Portal:" and "Sign in:" lines when everything runs, takes "cut SITE", "restore SITE", "event SITE",
// "heard SITE" (what was said through its cameras) and "quit" from the keyboard, and the same from a small API on loopback that tests use ("Control:"). Ctrl-C, or
// --for, ends it and leaves nothing running.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"holdfast/testenv/house"
)

type flags struct {
	For     time.Duration `help:"End by itself after so long."`
	Listen  string        `help:"Address of the portal." default:"127.0.0.1:8080"`
	Control string        `help:"Address of the control API." default:"127.0.0.1:0"`
	Dir     string        `help:"Folder for all data; empty: a temporary one that goes with the demo." type:"path"`
	Quiet   bool          `help:"No sample events."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("demo"), kong.Description("Holdfast on one machine, to look at."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, f)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// branches are the demo's three sites.
func branches() []house.BranchPlan {
	return []house.BranchPlan{
		{Name: "Harbour Street", Region: "North", Cameras: []house.CameraPlan{
			{Key: "car-park", Name: "Car park", Place: "carpark", Sub: true, PTZ: true},
			{Key: "shop-floor", Name: "Shop floor", Place: "shop", Sub: true},
			{Key: "loading-dock", Name: "Loading dock", Place: "dock", Sub: true, Talk: []string{"PCMU"}},
			{Key: "checkout", Name: "Checkout", Place: "checkout", Sub: true},
		}},
		{Name: "Mill Lane", Region: "North", Cameras: []house.CameraPlan{
			{Key: "corridor", Name: "Staff corridor", Place: "corridor", Sub: true},
			{Key: "dock", Name: "Dock 2", Place: "dock", Sub: true},
			{Key: "yard", Name: "Yard at night", Place: "carpark-night", Sub: true},
		}},
		{Name: "Station Square", Region: "South", Cameras: []house.CameraPlan{
			{Key: "entrance", Name: "Entrance", Place: "shop", Sub: true},
			{Key: "parking", Name: "Parking", Place: "carpark", Sub: true},
		}},
	}
}

func run(ctx context.Context, f flags) error {
	fmt.Println("Building and starting three sites. This takes a minute the first time.")
	begun := time.Now()
	if f.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.For)
		defer cancel()
	}
	h, err := house.Start(ctx, house.Setup{
		Dir: f.Dir, Listen: f.Listen, Branches: branches(), Cloud: []string{"--grace", "20s"}, // a demo must not wait for a verdict
	})
	if h != nil {
		defer func() {
			fmt.Println("Ending.")
			if err := h.Close(); err != nil {
				fmt.Fprintln(os.Stderr, "demo:", err)
			}
		}()
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return errors.New("--for was over before everything had started")
		}
		return err
	}
	control, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.Control)
	if err != nil {
		return fmt.Errorf("listen on %s: %w (choose another address with --control)", f.Control, err)
	}
	d := &demo{h: h}
	server := &http.Server{Handler: d.handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(control) }() // ends with Close
	defer func() { _ = server.Close() }()
	if err := d.furnish(ctx); err != nil {
		return err
	}
	fmt.Printf("\nReady after %v.\n\nPortal:  %s\nSign in: %s / %s\nControl: http://%s\nLogs:    %s\n\n", time.Since(begun).Round(time.Second),
		h.URL, house.OwnerEmail, house.OwnerPassword, control.Addr(), filepath.Join(h.Dir, "*.log"))
	fmt.Printf("Sites: %s\nType  cut SITE,  restore SITE,  event SITE,  heard SITE  or  quit. The first letters of a site will do.\n", strings.Join(d.names(), ", "))
	if !f.Quiet {
		go d.events(ctx)
	}
	return d.keyboard(ctx)
}

type demo struct{ h *house.House }

func (d *demo) names() []string {
	var out []string
	for _, s := range d.h.Sites {
		out = append(out, s.Name)
	}
	return out
}

// furnish adds what a company has after its first week: a rule, and people.
func (d *demo) furnish(ctx context.Context) error {
	if err := d.h.Owner.Post(ctx, "/rules", map[string]any{
		"name": "Doors", "event_kind": "door_opened", "pre_s": 5, "post_s": 10, "stream": "main", "enabled": true,
	}, nil); err != nil {
		return err
	}
	for _, p := range []map[string]any{
		{"email": "mara@example.com", "name": "Mara Manager", "role": "manager", "sites": []any{d.h.Sites[0].ID, d.h.Sites[1].ID}},
		{"email": "vic@example.com", "name": "Vic Viewer", "role": "viewer", "sites": []any{d.h.Sites[2].ID}},
		{"email": "sam@example.com", "name": "Sam Support", "role": "support"},
	} {
		if err := d.h.Owner.Post(ctx, "/people", p, nil); err != nil {
			return err
		}
	}
	return nil
}

// samples are what the door contacts and panels of the demo say, over and over.
func samples() []map[string]any {
	return []map[string]any{
		{"kind": "door_opened", "camera": "loading-dock", "text": "Loading dock door opened"},
		{"kind": "motion", "camera": "car-park", "text": "Movement in the car park"},
		{"kind": "door_opened", "camera": "corridor", "text": "Staff entrance opened"},
		{"kind": "line_crossed", "camera": "entrance", "text": "Customer entered"},
		{"kind": "door_closed", "camera": "loading-dock", "text": "Loading dock door closed"},
	}
}

// events posts a sample event every 20 s, first after 15 s, so that there is video before it.
func (d *demo) events(ctx context.Context) {
	wait := 15 * time.Second
	for i := 0; ; i++ {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = 20 * time.Second
		list := samples()
		if err := d.event(ctx, list[i%len(list)]); err != nil && ctx.Err() == nil {
			fmt.Println("event:", err)
		}
	}
}

// event posts e at the site that has its camera.
func (d *demo) event(ctx context.Context, e map[string]any) error {
	for _, s := range d.h.Sites {
		ids, err := s.CameraIDs()
		if err != nil {
			return err
		}
		if cam, ok := ids[fmt.Sprint(e["camera"])]; ok {
			out := map[string]any{"kind": e["kind"], "text": e["text"], "camera": cam}
			return s.Event(ctx, out)
		}
	}
	return fmt.Errorf("no site has the camera %v", e["camera"])
}

func (d *demo) site(name string) (*house.Site, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	for _, s := range d.h.Sites {
		if name != "" && strings.HasPrefix(strings.ToLower(s.Name), name) {
			return s, nil
		}
	}
	return nil, fmt.Errorf("no site %q; there are %s", name, strings.Join(d.names(), ", "))
}

// do carries out one command and returns what to say.
func (d *demo) do(ctx context.Context, verb, name string) (string, error) {
	s, err := d.site(name)
	if err != nil {
		return "", err
	}
	switch verb {
	case "cut":
		s.Line.Cut()
		return s.Name + ": the line is cut. The portal says so within a minute; the site goes on recording.", nil
	case "restore":
		if err := s.Line.Restore(); err != nil {
			return "", err
		}
		return s.Name + ": the line is back. What happened meanwhile arrives within half a minute.", nil
	case "event":
		e := map[string]any{"kind": "door_opened", "camera": s.BranchPlan.Cameras[0].Key, "text": "Door opened by hand"}
		return s.Name + ": a door opened.", d.event(ctx, e)
	case "heard":
		return heard(d.h.Dir, s)
	default:
		return "", fmt.Errorf("unknown command %q: cut, restore, event, heard or quit", verb)
	}
}

// heard saves what was said last through each camera of a site, to be listened to.
func heard(dir string, s *house.Site) (string, error) {
	var said []string
	for _, c := range s.BranchPlan.Cameras {
		all := s.Cameras.Camera(c.Key).Heard()
		if len(all) == 0 {
			continue
		}
		last := all[len(all)-1]
		path := filepath.Join(dir, c.Key+".wav")
		if err := os.WriteFile(path, last.WAV(), 0o600); err != nil {
			return "", err
		}
		said = append(said, fmt.Sprintf("%s: %d talks; the last one, %.1f s, is in %s.", c.Name, len(all), float64(len(last.Sound))/8000, path))
	}
	if len(said) == 0 {
		return s.Name + ": nobody has spoken there. Hold the button under the loading dock's picture.", nil
	}
	return strings.Join(said, "\n"), nil
}

// keyboard takes commands until ctx ends or somebody quits. Without a keyboard it waits for ctx.
func (d *demo) keyboard(ctx context.Context) error {
	lines := make(chan string)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			select {
			case lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.h.Cloud.Done():
			return d.h.Cloud.Alive()
		case line := <-lines:
			verb, name, _ := strings.Cut(strings.TrimSpace(line), " ")
			if verb == "quit" || verb == "exit" {
				return nil
			}
			if verb == "" {
				continue
			}
			say, err := d.do(ctx, verb, name)
			if err != nil {
				say = err.Error()
			}
			fmt.Println(say)
		}
	}
}

// handler is the control API: POST /cut/SITE, /restore/SITE, /event/SITE, /heard/SITE.
func (d *demo) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{verb}/{site}", func(w http.ResponseWriter, r *http.Request) {
		say, err := d.do(r.Context(), r.PathValue("verb"), r.PathValue("site"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, say)
	})
	return mux
}
