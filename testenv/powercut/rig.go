package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"holdfast/shared/id"
	"holdfast/testenv/house"
	"holdfast/testenv/powercut/uml"
)

// rig is what all machines share: the programs, an identity from a real cloud, and a folder.
type rig struct {
	dir      string // for everything; removed by close
	agent    string // the program, as it is released: without cgo
	guest    string
	identity string // folder with the agent's identity
	cloud    *house.House
	say      func(format string, args ...any) // what happens, for a person
}

// newRig builds the programs, starts a cloud and lets an agent enrol there.
func newRig(ctx context.Context, dir string, say func(string, ...any)) (*rig, error) {
	r := &rig{dir: dir, agent: filepath.Join(dir, "holdfast-agent"), guest: filepath.Join(dir, "guest"), identity: filepath.Join(dir, "identity"), say: say}
	for program, pkg := range map[string]string{r.agent: "./agent/cmd/holdfast-agent", r.guest: "./testenv/powercut/guest"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, pkg)
		cmd.Dir, cmd.Env = house.Root(), append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	var err error
	r.cloud, err = house.Start(ctx, house.Setup{Dir: filepath.Join(dir, "house")})
	if err == nil {
		site := r.cloud.Sites[0]
		if err = site.Agent.Kill(); err == nil {
			err = copyFile(filepath.Join(site.Data, "identity.json"), filepath.Join(r.identity, "identity.json"))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("enrol an agent: %w", err), r.close())
	}
	return r, nil
}

func (r *rig) close() error {
	if r.cloud == nil {
		return nil
	}
	return r.cloud.Close()
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o700)
	}
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	return err
}

// Places inside the machine.
const (
	dataFolder = uml.Disk + "/data"
	config     = uml.Disk + "/holdfast.yaml"
)

// configOf returns an agent's configuration; volumes is YAML.
func configOf(cameras int, volumes string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "data: %s\ncamera_networks: [127.0.0.0/8]\nlocal: {listen: %q}\nvolumes: %s\ncameras:\n", dataFolder, uml.Window, volumes)
	for i := range cameras {
		name := cameraName(i)
		fmt.Fprintf(&b, "  - {key: %s, name: %s, main: \"rtsp://%s/%s/main\"}\n", name, name, uml.RTSP, name)
	}
	return b.String()
}

func cameraName(i int) string { return fmt.Sprintf("cam-%02d", i+1) }

const roomyVolume = "[{path: " + uml.Disk + "/video, free: 40MB}]"

// cameraIDs returns the identities that the agent minted, by key.
func cameraIDs(path string) (map[string]id.Camera, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out map[string]id.Camera
	return out, json.Unmarshal(text, &out)
}
