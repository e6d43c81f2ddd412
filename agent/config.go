package agent

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/agent/uplink"
)

// Config is the site's YAML file: addresses, secrets, volumes and ceilings. The cloud can change nothing of it and
// sees no secret. holdfast.yaml beside this file is the commented sample and the manual. Zero values are filled by
// Defaults.
type Config struct {
	Data    string   `yaml:"data"`    // folder for identity, ledger and state
	Cloud   Cloud    `yaml:"cloud"`   // how to reach the cloud
	Volumes []Volume `yaml:"volumes"` // where video goes
	Record  Record   `yaml:"record"`  // defaults for every camera
	Line    Line     `yaml:"line"`    // what the agent may take of the line
	Local   Local    `yaml:"local"`   // status page and event input
	Live    Live     `yaml:"live"`    // WebRTC
	Log     Log      `yaml:"log"`
	// CameraNetworks are the networks that the agent may dial for cameras and recorders, in CIDR form.
	CameraNetworks []netip.Prefix `yaml:"camera_networks"`
	CameraCAFile   string         `yaml:"camera_ca_file"` // PEM file with the authorities of cameras' certificates, besides the system's
	Recorders      []Recorder     `yaml:"recorders"`
	Cameras        []Camera       `yaml:"cameras"`

	cameraCAs *x509.CertPool // of CameraCAFile; nil without
}

// Cloud says how to reach the cloud. The address itself is fixed by enrolment.
type Cloud struct {
	Proxy  string `yaml:"proxy"`   // http://host:port, or none; empty: the environment's HTTPS_PROXY
	CAFile string `yaml:"ca_file"` // PEM file with more certificate authorities
}

// Volume is one folder for video, usually the mount point of a disk.
type Volume struct {
	Path string `yaml:"path"`
	Max  Bytes  `yaml:"max"`  // at most this much video; 0: as much as Free leaves
	Free Bytes  `yaml:"free"` // always leave this much free; 0: the larger of 2 GB and 5 % of the volume
}

// Record holds the defaults for cameras.
type Record struct {
	Keep  Days    `yaml:"keep"`  // delete video older than this; 0: when the disk is needed
	Share Percent `yaml:"share"` // of the volumes that each camera has at most; 0: no such limit
	Max   Bytes   `yaml:"max"`   // of video of each camera at most; 0: no such limit
	Sub   bool    `yaml:"sub"`   // record sub-streams too
}

// Local is the window on the LAN.
type Local struct {
	Listen string   `yaml:"listen"` // host:port; loopback unless you say otherwise; "off" for none
	Names  []string `yaml:"names"`  // host names by which the page may be opened
}

// Live holds the WebRTC settings.
type Live struct {
	Port     int  `yaml:"port"`     // one port for all viewers, UDP and TCP; 0: any
	Loopback bool `yaml:"loopback"` // offer loopback addresses too: browser and agent on one machine
	// LAN are networks inside the site beside the agent's own: who watches from there is not on the WAN.
	LAN []netip.Prefix `yaml:"lan"`
	// RTSP serves the cameras to programs of the site.
	RTSP RTSP `yaml:"rtsp"`
	// Convert makes H.265 into H.264 for browsers that show only that.
	Convert Convert `yaml:"convert"`
}

// Convert allows it to convert video by ffmpeg, which takes about a processor for each viewer.
type Convert struct {
	On      bool   `yaml:"on"`
	Program string `yaml:"program"` // empty: ffmpeg, where the system finds it
	Viewers int    `yaml:"viewers"` // at once; 0: 1
	Height  int    `yaml:"height"`  // pixels at most; 0: 720
}

// Log says where the log goes; it is rotated at 20 MB, five files are kept.
type Log struct {
	File  string `yaml:"file"`  // empty: standard error
	Level string `yaml:"level"` // debug, info, warn, error
}

// Defaults returns the configuration that an empty file means on this operating system.
func Defaults() Config {
	data := "/var/lib/holdfast"
	if runtime.GOOS == "windows" {
		data = filepath.Join(os.Getenv("ProgramData"), "Holdfast")
	}
	return Config{
		Data:  data,
		Local: Local{Listen: "127.0.0.1:8750"},
		Log:   Log{Level: "info"},
		CameraNetworks: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
			netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
		},
	}
}

// Load reads the YAML file at path over Defaults. The error lists every fault with its line and path.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Config{}, fmt.Errorf("read configuration: %w (run  holdfast-agent sample %s  for a commented start)", err, path)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	c := Defaults()
	faults, readable := decodeYAML(text, &c)
	if readable {
		c.fill()
		for _, f := range c.check() {
			at, _, _ := strings.Cut(f, ": ")
			// What could not be decoded is named already.
			if !slices.ContainsFunc(faults, func(have string) bool { return strings.Contains(have, " "+at+": ") }) {
				faults = append(faults, f)
			}
		}
	}
	if len(faults) > 0 {
		return Config{}, fmt.Errorf("%s has %d fault(s):\n  %s", path, len(faults), strings.Join(faults, "\n  "))
	}
	return c, nil
}

// fill sets what follows from other fields.
func (c *Config) fill() {
	if len(c.Volumes) == 0 {
		c.Volumes = []Volume{{Path: filepath.Join(c.Data, "video")}}
	}
	for i := range c.Cameras {
		cam := &c.Cameras[i]
		if cam.Name == "" {
			cam.Name = cam.Key
		}
		for _, src := range cam.sources() {
			if src.Transport == "" {
				src.Transport = "tcp"
			}
			if src.Archive != nil {
				src.Archive.fill()
			}
		}
		if cam.RecordSub == nil {
			cam.RecordSub = &c.Record.Sub
		}
		if cam.Keep == 0 {
			cam.Keep = c.Record.Keep
		}
		if cam.Share == 0 {
			cam.Share = c.Record.Share
		}
		if cam.Max == 0 {
			cam.Max = c.Record.Max
		}
	}
}

// check returns every fault, each with its path.
func (c *Config) check() []string {
	var f faults
	f.when(c.Data == "", "data", "is empty: name the folder for identity and ledger")
	f.when(c.Cloud.Proxy != "" && !isProxy(c.Cloud.Proxy), "cloud.proxy", "want http://host:port, or none")
	c.Line.check(&f)
	f.when(c.Live.Port < 0 || c.Live.Port > 65535, "live.port", "want 0 to 65535")
	c.Live.RTSP.check(&f)
	f.when(c.Live.Convert.Viewers < 0 || c.Live.Convert.Viewers > 64, "live.convert.viewers", "want 1 to 64")
	f.when(c.Live.Convert.Height != 0 && (c.Live.Convert.Height < 144 || c.Live.Convert.Height > 4320), "live.convert.height", "want 144 to 4320")
	f.when(!map[string]bool{"debug": true, "info": true, "warn": true, "error": true}[c.Log.Level], "log.level",
		"want debug, info, warn or error")
	if c.Local.Listen != "off" {
		_, _, err := net.SplitHostPort(c.Local.Listen)
		f.when(err != nil, "local.listen", `want host:port, or "off"`)
	}
	paths := map[string]bool{}
	for i, v := range c.Volumes {
		at := fmt.Sprintf("volumes[%d].path", i)
		f.when(v.Path == "", at, "is empty: name a folder")
		f.when(v.Path != "" && !filepath.IsAbs(v.Path), at, "want an absolute path")
		f.when(paths[filepath.Clean(v.Path)], at, "is listed twice")
		paths[filepath.Clean(v.Path)] = true
	}
	c.checkRecorders(&f)
	keys := map[string]bool{}
	for i := range c.Cameras {
		c.Cameras[i].check(&f, fmt.Sprintf("cameras[%d]", i), keys)
	}
	return f
}

func validKey(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func isProxy(s string) bool {
	if s == string(uplink.NoProxy) {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

type faults []string

func (f *faults) when(bad bool, path, text string) {
	if bad {
		*f = append(*f, path+": "+text)
	}
}

// Secret is a password: it never shows in logs or errors.
type Secret string

// String hides the secret.
func (Secret) String() string { return "(hidden)" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "(hidden)" }

// Days is a length of time written as "30d", "12h" or "45m".
type Days time.Duration

// UnmarshalText parses "30d" and everything that time.ParseDuration takes.
func (d *Days) UnmarshalText(b []byte) error {
	s := string(b)
	if n, ok := strings.CutSuffix(s, "d"); ok {
		var days float64
		if _, err := fmt.Sscanf(n, "%g", &days); err == nil && days > 0 && days <= 36500 {
			*d = Days(days * 24 * float64(time.Hour))
			return nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return fmt.Errorf("want a length of time like 30d or 12h, not %q", s)
	}
	*d = Days(v)
	return nil
}

// Bytes is a size written as "500GB", "200GiB" or plain bytes.
type Bytes int64

// UnmarshalText parses a number with one of B, KB, MB, GB, TB, KiB, MiB, GiB, TiB.
func (v *Bytes) UnmarshalText(b []byte) error {
	n, err := scaled(string(b), map[string]float64{
		"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	})
	if err != nil {
		return fmt.Errorf("want a size like 500GB, not %q", b)
	}
	*v = Bytes(n)
	return nil
}

// Percent is a share of a whole written as "20%", 1 to 100.
type Percent int

// UnmarshalText parses a whole number from 1 to 100 with or without "%".
func (v *Percent) UnmarshalText(b []byte) error {
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(b)), "%")))
	if err != nil || n < 1 || n > 100 {
		return fmt.Errorf("want a share like 20%%, from 1%% to 100%%, not %q", b)
	}
	*v = Percent(n)
	return nil
}

// Rate is a bandwidth in bits a second written as "2Mbit", "500kbit" or plain bits a second.
type Rate int64

// UnmarshalText parses a number with one of bit, kbit, Mbit, Gbit.
func (v *Rate) UnmarshalText(b []byte) error {
	n, err := scaled(strings.TrimSuffix(string(b), "/s"), map[string]float64{"": 1, "bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9})
	if err != nil {
		return fmt.Errorf("want a bandwidth like 2Mbit, not %q", b)
	}
	*v = Rate(n)
	return nil
}

func scaled(s string, units map[string]float64) (float64, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz ")
	factor, ok := units[strings.TrimSpace(s[len(digits):])]
	var n float64
	if _, err := fmt.Sscanf(digits+" ", "%g ", &n); err != nil || !ok || n < 0 || n*factor > 1<<60 {
		return 0, fmt.Errorf("parse %q", s)
	}
	return n * factor, nil
}

// URL is an RTSP URL; what it shows never holds a password.
type URL struct{ *url.URL }

// UnmarshalText parses an rtsp:// or rtsps:// URL with a host; control characters are refused.
func (u *URL) UnmarshalText(b []byte) error {
	p, err := url.Parse(string(b))
	switch {
	case err != nil:
		return fmt.Errorf("is not a URL") // err would repeat the password
	case p.Scheme != "rtsp" && p.Scheme != "rtsps":
		return fmt.Errorf("want rtsp:// or rtsps://, not %q", p.Scheme)
	case p.Hostname() == "":
		return fmt.Errorf("has no host")
	}
	u.URL = p
	return nil
}

// String returns the URL with any password hidden.
func (u URL) String() string {
	if u.URL == nil {
		return ""
	}
	return u.Redacted()
}
