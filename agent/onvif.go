package agent

import (
	"fmt"
	"net"
	"net/url"

	"holdfast/agent/nvr"
	"holdfast/agent/nvr/onvif"
	"holdfast/shared/id"
)

// Onvif says where the ONVIF service of a camera is, or of the recorder that it is a channel of.
type Onvif struct {
	URL string `yaml:"url"` // of the device service; empty: at the usual place of the host of the camera's main stream
	// User and password; the camera's own when User is empty. Many devices keep users of their own for ONVIF.
	User         string `yaml:"user"`
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"` // instead of password
	Profile      string `yaml:"profile"`       // the camera's at a device with several; empty: found by the address of its stream
}

// onvifPath is where devices have their service, unless they say otherwise.
const onvifPath = "/onvif/device_service"

func (o *Onvif) check(f *faults, at string) {
	o.Password.fill(f, at, o.PasswordFile)
	f.when(o.User == "" && (o.Password != "" || o.PasswordFile != ""), at+".user", "is missing: a password alone is no login")
	if o.URL != "" {
		if err := onvif.Check(o.URL); err != nil {
			f.when(true, at+".url", err.Error())
		}
	}
}

// onvifOf is where a camera's device is, and how it is asked.
func (c *Config) onvifOf(cam *Camera) onvif.Config {
	o := onvif.Config{
		Address: cam.Onvif.URL, User: cam.Onvif.User, Password: string(cam.Onvif.Password), Profile: cam.Onvif.Profile,
		Streams: map[id.StreamKind]string{}, Networks: c.CameraNetworks, CAs: c.cameraCAs, Pin: cam.Fingerprint,
	}
	for kind, u := range map[id.StreamKind]URL{id.Main: cam.Main, id.Sub: cam.Sub} {
		if u.URL != nil {
			bare := *u.URL
			bare.User = nil
			o.Streams[kind] = bare.String()
		}
	}
	if o.Address == "" {
		o.Address = (&url.URL{Scheme: "http", Host: bracketed(cam.Main.Hostname()), Path: onvifPath}).String()
	}
	switch {
	case o.User != "":
	case cam.User != "":
		o.User, o.Password = cam.User, string(cam.Password)
	case cam.Main.User != nil:
		o.User = cam.Main.User.Username()
		o.Password, _ = cam.Main.User.Password()
	}
	return o
}

// bracketed is a host as a URL has it.
func bracketed(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "[" + host + "]"
	}
	return host
}

// devices makes the devices of all cameras that have one.
func (h *house) devices() (map[id.Camera]nvr.Device, error) {
	out, accounts := map[id.Camera]nvr.Device{}, onvif.NewAccounts()
	for i := range h.cfg.Cameras {
		cam := &h.cfg.Cameras[i]
		if cam.Onvif == nil {
			continue
		}
		cfg := h.cfg.onvifOf(cam)
		cfg.Accounts = accounts
		d, err := onvif.New(cfg)
		if err != nil {
			return nil, fmt.Errorf("camera %s: onvif: %w", cam.Key, err)
		}
		out[h.keys[cam.Key].ID] = d
	}
	return out, nil
}
