//go:build linux

package nat

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"

	"holdfast/testenv/ownnet"
)

// TestAViewerOnTheMove gives the browser's machine another address while it watches, as the way from Wi-Fi to a mobile
// network does: the picture is back within seconds, by itself.
func TestAViewerOnTheMove(t *testing.T) {
	if !ownnet.In(t) || !*long {
		return
	}
	i := New(t, PortRestricted, PortRestricted)
	h, _ := settle(t, i, t.TempDir(), dock(), ownTURN()...)
	cmd := browse(t, h, "roam.mjs")
	var errs strings.Builder
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Viewer.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "watching" {
		t.Fatalf("the browser says %q: %v\n%s", lines.Text(), cmd.Wait(), errs.String())
	}
	if err := i.Viewer.feed("ip", []string{"-batch", "-"}, strings.Join([]string{
		"addr del 192.168.30.2/24 dev eth0", "addr add 192.168.30.77/24 dev eth0", "route add default via 192.168.30.1",
	}, "\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("moved\n")); err != nil {
		t.Fatal(err)
	}
	var saw struct {
		PauseMS int      `json:"pauseMs"`
		Phase   string   `json:"phase"`
		Faults  []string `json:"faults"`
	}
	if !lines.Scan() {
		t.Fatalf("the browser: %v\n%s\nthe agent's log ends with:\n%s", cmd.Wait(), errs.String(), h.Sites[0].Agent.Tail(20))
	}
	if err := json.Unmarshal(lines.Bytes(), &saw); err != nil {
		t.Fatalf("the browser says %q: %v", lines.Text(), err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the browser: %v\n%s", err, errs.String())
	}
	t.Logf("live_pause_on_the_move: %d ms", saw.PauseMS)
	if saw.PauseMS > 6000 || saw.Phase != "playing" {
		t.Errorf("%+v, want a picture again within 6 s", saw)
	}
}
