package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/shared/id"
)

// TestWhereACameraIsMoved: nothing without the group, else what it says and the camera's own for the rest.
func TestWhereACameraIsMoved(t *testing.T) {
	const head = "volumes: [{path: /tmp/video}]\ncameras:\n"
	file := filepath.Join(t.TempDir(), "onvif.password")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, head+`  - {key: a, main: "rtsp://u:p@192.168.1.10/one", onvif: {}}
  - {key: b, main: "rtsp://[fd00::7]:554/two", sub: "rtsp://[fd00::7]:554/small", user: v, password: w, onvif: {url: "https://192.168.1.9:8443/onvif"}}
  - {key: c, main: "rtsp://192.168.1.10/three", user: v, password: w, onvif: {user: o, password_file: "`+file+`", profile: P3}}
  - {key: d, main: "rtsp://192.168.1.10/four"}
  - {key: e, main: "rtsp://[fd00::7]/five", onvif: {}}
`)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ address, user, password, profile string }{
		{"http://192.168.1.10/onvif/device_service", "u", "p", ""},
		{"https://192.168.1.9:8443/onvif", "v", "w", ""},
		{"http://192.168.1.10/onvif/device_service", "o", "from a file", "P3"},
		{},
		{"http://[fd00::7]/onvif/device_service", "", "", ""},
	} {
		cam := &c.Cameras[i]
		if cam.Onvif == nil {
			if want.address != "" {
				t.Errorf("%s has no device", cam.Key)
			}
			continue
		}
		got := c.onvifOf(cam)
		if got.Address != want.address || got.User != want.user || got.Password != want.password || got.Profile != want.profile {
			t.Errorf("%s: %s as %s with %q, profile %q", cam.Key, got.Address, got.User, got.Password, got.Profile)
		}
		if strings.Contains(got.Streams[id.Main], "u:p") || got.Streams[id.Main] == "" {
			t.Errorf("%s: its stream is at %s", cam.Key, got.Streams[id.Main])
		}
	}
	if c.Cameras[3].Onvif != nil {
		t.Error("a camera without the group is asked for something")
	}
	if !slices.ContainsFunc(Exposed("/nowhere", c), func(s string) bool { return strings.Contains(s, file) }) {
		t.Error("nobody is told that everybody can read the ONVIF password")
	}
	for text, want := range map[string]string{
		"{url: 'rtsp://192.168.1.10/'}":          "cameras[0].onvif.url: want http:// or https://",
		"{url: 'http://a:secret@192.168.1.10/'}": "cameras[0].onvif.url: holds a login",
		"{password: x}":                          "cameras[0].onvif.user: is missing",
		"{adr: x}":                               "cameras[0].onvif.adr: unknown key",
		"true":                                   "cameras[0].onvif: want a group of keys",
	} {
		_, err := load(t, head+"  - {key: a, main: 'rtsp://192.168.1.10/one', onvif: "+text+"}\n")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
