package agent

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"holdfast/agent/camera"
	"holdfast/shared/atomicfile"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// cameraKey is what a key of the configuration stands for: the camera's ID, minted once, and its sources in order.
type cameraKey struct {
	ID      id.Camera
	sources []camera.Fallback
}

const camerasFile = "cameras.json"

// loadKeys returns the cameras of the configuration with their IDs, which are minted where a key is new and kept
// in the data folder for ever: a camera that leaves the configuration and comes back is the same one.
func loadKeys(cfg Config) (map[string]cameraKey, error) {
	known, err := readKeys(cfg.Data)
	if err != nil {
		return nil, err
	}
	out := map[string]cameraKey{}
	fresh := false
	for _, c := range cfg.Cameras {
		if known[c.Key] == "" {
			known[c.Key] = id.New[id.Camera]()
			fresh = true
		}
		k := cameraKey{ID: known[c.Key]}
		for _, src := range c.sources() {
			var f camera.Fallback
			if f.Main, err = src.open(src.Main); err != nil {
				return nil, fmt.Errorf("camera %s: main: %w", c.Key, err)
			}
			if f.Sub, err = src.open(src.Sub); err != nil {
				return nil, fmt.Errorf("camera %s: sub: %w", c.Key, err)
			}
			if len(k.sources) == 0 || !f.Main.IsZero() || !f.Sub.IsZero() { // else it has an archive alone
				k.sources = append(k.sources, f)
			}
		}
		out[c.Key] = k
	}
	if fresh {
		return out, writeKeys(cfg.Data, known)
	}
	return out, nil
}

// adopt takes over the identities that the cloud knows of the site's cameras, where this machine has none yet: a
// machine that replaces another goes on with the same cameras.
func adopt(data string, cameras []wire.CameraKey) error {
	known, err := readKeys(data)
	if err != nil || len(cameras) == 0 {
		return err
	}
	for _, c := range cameras {
		if known[c.Channel] == "" && validKey(c.Channel) {
			known[c.Channel] = c.Camera
		}
	}
	return writeKeys(data, known)
}

func readKeys(data string) (map[string]id.Camera, error) {
	path := filepath.Join(data, camerasFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return map[string]id.Camera{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the cameras' identities: %w", err)
	}
	var known map[string]id.Camera
	err = json.Unmarshal(text, &known)
	if err == nil && known == nil { // "null" is JSON too
		err = errors.New("it holds nothing")
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it from a backup, since with new identities the cameras' history would begin anew", path, err)
	}
	for key, cam := range known {
		if _, err := id.Parse[id.Camera](string(cam)); err != nil {
			return nil, fmt.Errorf("%s: camera %s: %w", path, key, err)
		}
	}
	return known, nil
}

func writeKeys(data string, known map[string]id.Camera) error {
	text, err := json.MarshalIndent(known, "", "  ")
	if err == nil {
		err = atomicfile.Write(filepath.Join(data, camerasFile), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the cameras' identities: %w", err)
	}
	return nil
}

// localToken returns the token that POST /events asks for, made on the first start.
func localToken(data string) (string, error) {
	path := filepath.Join(data, "local.token")
	text, err := os.ReadFile(path)
	if err == nil {
		if token := strings.TrimSpace(string(text)); len(token) >= 20 {
			return token, nil
		}
		return "", fmt.Errorf("%s holds no token of at least 20 characters: delete it, and the agent makes a new one", path)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the token for events: %w", err)
	}
	var b [20]byte
	_, _ = rand.Read(b[:])
	token := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	if err := atomicfile.Write(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the token for events: %w", err)
	}
	return token, nil
}
