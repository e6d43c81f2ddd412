package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"holdfast/testenv/fakecam"
	"holdfast/testenv/house"
)

// line is what steps.mjs prints for each step.
type line struct {
	Step    string         `json:"step"`
	OK      bool           `json:"ok"`
	MS      int64          `json:"ms"`
	Error   string         `json:"error"`
	Figures map[string]any `json:"figures"`
}

// TestPortal does the whole job in a real browser, on real programs and real video.
func TestPortal(t *testing.T) {
	h := house.New(t, house.Setup{
		// Judging begins soon after the start here; the limit of 60 s until a dark site is said stays.
		Cloud: []string{"--grace", "5s"},
		Branches: []house.BranchPlan{
			{Name: "Harbour Street", Region: "North", Cameras: []house.CameraPlan{
				{Key: "shop-floor", Name: "Shop floor", Place: "shop"},
				{Key: "loading-dock", Name: "Loading dock", Place: "dock", Sub: true},
			}},
			{Name: "Mill Lane", Region: "South", Cameras: []house.CameraPlan{
				{Key: "yard", Name: "Yard at night", Place: "carpark-night", Sub: true},
				{Key: "checkout", Name: "Checkout", Place: "checkout", Sub: true},
			}},
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "steps.mjs")
	cmd.Env = append(os.Environ(), "PORTAL="+h.URL, "CONTROL="+control(t, h), "OWNER="+house.OwnerEmail, "PASSWORD="+house.OwnerPassword,
		"SITE="+h.Sites[0].Name, "SHOTS="+shots(t))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	steps := 0
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Errorf("steps.mjs printed %q", lines.Text())
			continue
		}
		steps++
		t.Run(l.Step, func(t *testing.T) {
			t.Logf("%d ms %v", l.MS, l.Figures)
			if ms, ok := l.Figures["wall_step_p95"]; ok {
				t.Logf("wall_step_p95: %v ms", ms)
			}
			if !l.OK {
				t.Error(l.Error)
			}
		})
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("steps.mjs: %v", err)
	}
	if steps < 19 {
		t.Errorf("%d steps ran, want 19", steps)
	}
}

// control lets the steps cut and restore the first site's line and open a door there.
func control(t *testing.T, h *house.House) string {
	t.Helper()
	s := h.Sites[0]
	mux := http.NewServeMux()
	handle := func(verb string, do func(ctx context.Context) error) {
		mux.HandleFunc("POST /"+verb, func(w http.ResponseWriter, r *http.Request) {
			if err := do(r.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	handle("cut", func(context.Context) error { s.Line.Cut(); return nil })
	handle("restore", func(context.Context) error { return s.Line.Restore() })
	shop := s.Cameras.Camera("shop-floor")
	handle("stall", func(context.Context) error { return shop.Turn(func(k *fakecam.Knobs) { k.Stall = true }) })
	handle("unstall", func(context.Context) error { return shop.Restore() })
	handle("event", func(ctx context.Context) error {
		ids, err := s.CameraIDs()
		if err != nil {
			return err
		}
		return s.Event(ctx, map[string]any{"kind": "door_opened", "camera": ids["loading-dock"], "text": "Loading dock door opened"})
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return fmt.Sprintf("http://%s", l.Addr())
}

// shots is where screenshots go: E2E_SHOTS, or a folder that goes with the test.
func shots(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("E2E_SHOTS"); dir != "" {
		return dir
	}
	return filepath.Join(t.TempDir(), "shots")
}
