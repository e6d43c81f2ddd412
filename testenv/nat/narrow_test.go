//go:build linux

package nat

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"

	"holdfast/testenv/ownnet"
)

// TestANarrowLine has a site whose line has room for a picture now and then: a browser keeps the view and says why the picture
// stands, and notices all the same when the site falls silent.
func TestANarrowLine(t *testing.T) {
	if !ownnet.In(t) || !*long {
		return
	}
	i := New(t, PortRestricted, PortRestricted)
	branch := dock()
	branch.YAML = "line: {up: 100kbit}"
	h, _ := settle(t, i, t.TempDir(), branch, ownTURN()...)
	cmd := browse(t, h, "narrow.mjs")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Viewer.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	var saw struct {
		Note   string   `json:"note"`
		Phases []string `json:"phases"`
		Views  int      `json:"views"`  // asked for while it was watched
		Stood  int      `json:"stood"`  // the longest time without a new picture, milliseconds
		Frames int      `json:"frames"` // in that time
		Age    string   `json:"age"`
		Silent string   `json:"silent"` // what the page says once the site has fallen silent
		Faults []string `json:"faults"`
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "watched" {
		t.Fatalf("the browser says %q: %v\n%s\nthe agent's log ends with:\n%s", lines.Text(), cmd.Wait(), errs.String(), h.Sites[0].Agent.Tail(20))
	}
	if err := i.Site.feed("ip", []string{"-batch", "-"}, "link set eth0 down"); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() {
		t.Fatalf("the browser: %v\n%s", cmd.Wait(), errs.String())
	}
	if err := json.Unmarshal(lines.Bytes(), &saw); err != nil {
		t.Fatalf("the browser says %q: %v", lines.Text(), err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the browser: %v\n%s", err, errs.String())
	}
	t.Logf("%+v", saw)
	if !strings.Contains(saw.Note, "no room") || len(saw.Phases) != 1 || saw.Phases[0] != "playing" || saw.Views != 0 || len(saw.Faults) > 0 {
		t.Errorf("the view did not stay as it is: %+v", saw)
	}
	if saw.Stood < 8000 || saw.Frames < 2 || saw.Frames > 8 || saw.Age == "" {
		t.Errorf("it is no view of a picture now and then: %+v", saw)
	}
	if saw.Silent == "" {
		t.Error("nobody is told that the site is silent")
	}
}
