//go:build linux

package nat

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"holdfast/testenv/house"
	"holdfast/testenv/nat/viewer"
)

// ownTURN has the cloud be the STUN and TURN server, and the relay for many viewers.
func ownTURN() []string { return []string{"--turn", ":3478", "--turn-address", CloudAddr} }

// settle starts a house with one site in an Internet, and waits until the site's cameras are recorded. Its machines trust the
// authorities in a folder; whose certificate the cloud shows, the agent is told in its configuration. env is for whoever
// watches.
func settle(t *testing.T, i *Internet, authorities string, branch house.BranchPlan, cloud ...string) (h *house.House, env []string) {
	t.Helper()
	dir, trust := t.TempDir(), "SSL_CERT_DIR="+authorities
	branch.Name, branch.Place, branch.Env = "Branch", i.Site.Do, []string{trust}
	h = house.New(t, house.Setup{
		Dir: dir, Programs: os.Getenv(programs), Listen: CloudAddr + ":443", TLS: true, Cloud: cloud, Place: i.Cloud.Do,
		Branches: []house.BranchPlan{branch},
	})
	if err := h.Sites[0].Recording(t.Context(), len(branch.Cameras), time.Minute); err != nil {
		t.Fatal(err)
	}
	return h, []string{trust, "SSL_CERT_FILE=" + filepath.Join(dir, "ca.pem")}
}

// dock is a site with one camera.
func dock() house.BranchPlan {
	return house.BranchPlan{Cameras: []house.CameraPlan{{Key: camera, Name: "Dock", Place: "dock", Mute: true, Talk: []string{"PCMU"}}}}
}

// look runs the viewer, or a crowd of them, on their machine, and reads what was seen into saw.
func look(t *testing.T, i *Internet, env []string, o viewer.Order, saw any) {
	t.Helper()
	order, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), env...), viewer.Env+"="+string(order))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := i.Viewer.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the viewer ended: %v\n%s", err, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), saw); err != nil {
		t.Fatalf("the viewer says %q: %v", out.String(), err)
	}
}

// browse returns a program that drives browsers on the viewer's machine.
func browse(t *testing.T, h *house.House, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Dir = "../e2e"
	cmd.Env = append(os.Environ(), "PORTAL="+h.URL, "OWNER="+house.OwnerEmail, "PASSWORD="+house.OwnerPassword)
	return cmd
}
