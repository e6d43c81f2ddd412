package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"holdfast/agent/camera"
	"holdfast/agent/live/talk"
	"holdfast/shared/id"
)

// This file holds what the configuration says of cameras and recorders, and what the camera room gets of it.

// Recorder is what is known of a recorder that serves several cameras.
type Recorder struct {
	Host     string `yaml:"host"`     // as in the cameras' addresses
	Sessions int    `yaml:"sessions"` // how many it serves at once to the agent
}

// Camera is one camera or one channel of the recorder.
type Camera struct {
	Key       string `yaml:"key"`  // stays for the camera's life: letters, digits and dashes; names it at this site
	Name      string `yaml:"name"` // first name; later the portal's name counts
	Source    `yaml:",inline"`
	Fallback  []Source `yaml:"fallback"` // where the same pictures come from when the first source fails, in order
	RecordSub *bool    `yaml:"record_sub"`
	// Onvif is where the camera is moved, and asked for key frames; may be nil: then nothing of that is asked of any device.
	Onvif *Onvif `yaml:"onvif"`
	Talk  bool   `yaml:"talk"` // people may speak through its loudspeaker, from the portal
	// Limits of both streams together; what is 0 is as Record says.
	Keep  Days    `yaml:"keep"`
	Share Percent `yaml:"share"`
	Max   Bytes   `yaml:"max"`
}

// Source is one way to a camera's pictures: from the camera itself, or from a channel of the recorder.
type Source struct {
	Main         URL    `yaml:"main"` // RTSP URL of the recorded stream
	Sub          URL    `yaml:"sub"`  // RTSP URL of the small stream; may be missing
	User         string `yaml:"user"`
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"` // instead of password
	Transport    string `yaml:"transport"`     // tcp or udp
	Fingerprint  string `yaml:"fingerprint"`   // SHA-256 of the device's certificate, for rtsps://
	BasicLogin   bool   `yaml:"basic_login"`   // the password may go in the clear although the device knew better once
	// Archive is where the device replays what it keeps, for the time in which nothing could be recorded; may be nil.
	Archive *Archive `yaml:"archive"`
}

func (c *Config) checkRecorders(f *faults) {
	hosts := map[string]bool{}
	for i, r := range c.Recorders {
		at := fmt.Sprintf("recorders[%d]", i)
		host := strings.ToLower(r.Host)
		f.when(host == "" || strings.ContainsAny(host, "/:@ ") && net.ParseIP(host) == nil, at+".host", "want the host alone, as in the cameras' addresses: 192.168.1.10")
		f.when(hosts[host], at+".host", "is listed twice")
		f.when(r.Sessions < 1, at+".sessions", "want 1 or more: how many sessions the recorder serves at once")
		hosts[host] = true
	}
	if c.CameraCAFile == "" {
		return
	}
	text, err := os.ReadFile(c.CameraCAFile)
	if err != nil {
		f.when(true, "camera_ca_file", "can't be read: "+err.Error())
		return
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	f.when(!pool.AppendCertsFromPEM(text), "camera_ca_file", "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
	c.cameraCAs = pool
}

// sources returns all ways to the camera's pictures, in order.
func (cam *Camera) sources() []*Source {
	all := []*Source{&cam.Source}
	for i := range cam.Fallback {
		all = append(all, &cam.Fallback[i])
	}
	return all
}

func (cam *Camera) check(f *faults, at string, keys map[string]bool) {
	f.when(!validKey(cam.Key), at+".key", "want 1 to 40 lower-case letters, digits or dashes, for example till-2")
	f.when(keys[cam.Key], at+".key", "another camera has it: every key is unique at a site")
	keys[cam.Key] = true
	f.when(len([]rune(cam.Name)) > 128, at+".name", "want at most 128 characters")
	f.when(cam.Main.URL == nil, at+".main", "is missing: the RTSP URL of the stream to record")
	for i, src := range cam.sources() {
		path := at
		if i > 0 {
			path = fmt.Sprintf("%s.fallback[%d]", at, i-1)
			f.when(src.Main.URL == nil && src.Sub.URL == nil && src.Archive == nil, path+".main", "is missing: the RTSP URL of the same pictures elsewhere")
		}
		src.check(f, path)
	}
	if cam.Onvif != nil {
		cam.Onvif.check(f, at+".onvif")
	}
}

// fill takes a password from its file, where it is not in the configuration itself.
func (s *Secret) fill(f *faults, at, file string) {
	f.when(*s != "" && file != "", at+".password_file", "password is set too: keep one of them")
	if file == "" || *s != "" {
		return
	}
	text, err := os.ReadFile(file)
	if err != nil {
		f.when(true, at+".password_file", "can't be read: "+err.Error())
		return
	}
	*s = Secret(strings.TrimRight(string(text), "\r\n"))
}

func (src *Source) check(f *faults, at string) {
	f.when(src.Transport != "tcp" && src.Transport != "udp", at+".transport", "want tcp or udp")
	src.Password.fill(f, at, src.PasswordFile)
	if src.Archive != nil {
		src.Archive.check(f, at+".archive", src)
	}
	for i, u := range []URL{src.Main, src.Sub} {
		_, err := src.open(u)
		switch {
		case err == nil:
		case errors.Is(err, errFingerprint):
			f.when(true, at+".fingerprint", strings.TrimPrefix(err.Error(), errFingerprint.Error()+": "))
			return
		default:
			f.when(true, at+[]string{".main", ".sub"}[i], err.Error())
		}
	}
}

// errFingerprint says that it is the fingerprint with which a source can't be opened.
var errFingerprint = errors.New("fingerprint")

// open makes one of the source's streams of its address; a stream without address is none.
func (src *Source) open(u URL) (camera.Source, error) {
	if u.URL == nil {
		return camera.Source{}, nil
	}
	s, err := camera.NewSource(u.URL.String(), src.User, string(src.Password), src.Transport)
	if err != nil {
		return s, err
	}
	if src.BasicLogin {
		s = s.AllowBasic()
	}
	if src.Fingerprint != "" {
		if s, err = s.Pin(src.Fingerprint); err != nil {
			return s, fmt.Errorf("%w: %w", errFingerprint, err)
		}
	}
	return s, nil
}

func (h *house) cameraConfig() camera.Config {
	c := camera.Config{
		Networks: h.cfg.CameraNetworks, CAs: h.cfg.cameraCAs, Sessions: map[string]int{}, Recall: h.recall, Remember: h.remember,
	}
	for _, r := range h.cfg.Recorders {
		c.Sessions[strings.ToLower(r.Host)] = r.Sessions
	}
	for _, cam := range h.cfg.Cameras {
		k := h.keys[cam.Key]
		c.Cameras = append(c.Cameras, camera.Camera{
			ID: k.ID, Name: cam.Name, Channel: cam.Key, Main: k.sources[0].Main, Sub: k.sources[0].Sub, Fallback: k.sources[1:],
			RecordSub: *cam.RecordSub, Talk: cam.Talk,
		})
	}
	return c
}

// speaker is the loudspeaker of a camera, nil where nobody may speak.
func (h *house) speaker(cam id.Camera) talk.Speaker {
	if s := h.cameras.Speaker(cam); s != nil {
		return s
	}
	return nil
}

// recall returns what a room has asked to be kept under a name, empty when that is nothing or can't be read.
func (h *house) recall(name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	v, err := h.ledger.Meta(ctx, name)
	if err != nil {
		h.opt.Log.Warn("look up what was kept", "name", name, "error", err)
	}
	return v
}

// remember keeps a value under a name, beyond the process.
func (h *house) remember(name, value string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := h.ledger.SetMeta(ctx, name, value); err != nil {
		h.opt.Log.Error("keep for the next start", "name", name, "error", err)
	}
}
