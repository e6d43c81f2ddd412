package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast/agent/ledger"
	"holdfast/agent/pace"
	"holdfast/testenv/fakecam"
)

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "holdfast.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestTheSampleIsValid(t *testing.T) {
	text, err := os.ReadFile("holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := load(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Cameras) != 1 || c.Cameras[0].Password != "change-me" || time.Duration(c.Cameras[0].Keep) != 30*24*time.Hour {
		t.Fatalf("sample decoded to %+v", c.Cameras)
	}
	// Every commented-out setting must be valid too: it is what people will switch on.
	var all []string
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(rest, " ") || strings.HasPrefix(line, "#  ") || strings.HasPrefix(line, "#    ") {
			line = rest
		}
		all = append(all, line)
	}
	whole := strings.Replace(strings.Join(all, ""), "/etc/holdfast/cameras-ca.pem", authority(t), 1)
	if c, err = load(t, whole); err != nil {
		t.Fatalf("with everything switched on: %v", err)
	}
	if c.cameraCAs == nil || c.Recorders[0].Sessions != 32 || len(c.Cameras[0].Fallback) != 1 || c.Cameras[0].Fallback[0].Fingerprint == "" {
		t.Errorf("decoded to %+v", c)
	}
}

// authority writes the certificate of a certificate authority to a file.
func authority(t *testing.T) string {
	t.Helper()
	ca, err := fakecam.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.ToSlash(filepath.Join(t.TempDir(), "ca.pem"))
	if err := os.WriteFile(path, ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSourcesInOrder(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	c, err := load(t, `
recorders: [{host: NVR.example, sessions: 8}]
cameras:
  - key: till
    main: rtsps://10.0.0.5/main
    user: viewer
    password: one
    fingerprint: `+sum+`
    fallback:
      - main: rtsp://nvr.example/301
        sub: rtsp://nvr.example/302
        user: admin
        password: two
        transport: udp
        basic_login: true
      - sub: rtsp://10.0.0.7/2
`)
	if err != nil {
		t.Fatal(err)
	}
	c.Data = t.TempDir()
	keys, err := loadKeys(c)
	if err != nil {
		t.Fatal(err)
	}
	got := keys["till"].sources
	if len(got) != 3 || got[0].Main.String() != "rtsps://10.0.0.5/main" || !got[0].Sub.IsZero() || got[1].Sub.String() != "rtsp://nvr.example/302" || !got[2].Main.IsZero() {
		t.Fatalf("sources are %+v", got)
	}
	h := house{cfg: c, keys: keys}
	cfg := h.cameraConfig()
	if cfg.Sessions["nvr.example"] != 8 || len(cfg.Cameras[0].Fallback) != 2 || cfg.Cameras[0].Main.String() != "rtsps://10.0.0.5/main" {
		t.Errorf("the camera room gets %+v", cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsKeptOutlivesTheProcess(t *testing.T) {
	h := house{cfg: Config{Data: t.TempDir()}}
	cfg := h.cameraConfig()
	var err error
	h.opt.Log = slog.New(slog.DiscardHandler)
	if h.ledger, err = ledger.Open(t.Context(), filepath.Join(h.cfg.Data, "ledger.db"), h.opt.Log); err != nil {
		t.Fatal(err)
	}
	cfg.Remember("login.x", "digest")
	if got := cfg.Recall("login.x"); got != "digest" || cfg.Recall("login.y") != "" {
		t.Errorf("%q is recalled", got)
	}
	if err := h.ledger.Close(); err != nil {
		t.Error(err)
	}
}

func TestFaultsOfSources(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	_, err := load(t, `
camera_ca_file: /nope
recorders: [{host: "rtsp://10.0.0.1", sessions: 0}, {host: 10.0.0.2, sessions: 4}, {host: 10.0.0.2, sessions: 4}]
cameras:
  - {key: a, main: "rtsp://10.0.0.5/1", fingerprint: `+sum+`}
  - {key: b, main: "rtsps://10.0.0.5/1", fingerprint: 12:34, fallback: [{user: x}, {main: "rtsp://10.0.0.6/1", transport: pigeon}]}
  - {key: c, main: "rtsps://10.0.0.5/1", fallback: [{main: "rtsp://10.0.0.6/1", colour: red}]}
`)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"camera_ca_file: can't be read", "recorders[0].host: want the host alone", "recorders[0].sessions: want 1 or more", "recorders[2].host: is listed twice",
		"cameras[0].fingerprint: only an rtsps:// address", "cameras[1].fingerprint: want the SHA-256", "cameras[1].fallback[0].main: is missing",
		"cameras[1].fallback[1].transport", "cameras[2].fallback[0].colour: unknown key",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
}

func TestEveryFaultIsReportedWithItsPath(t *testing.T) {
	_, err := load(t, `
data: /var/lib/holdfast
lokal:
  listen: nonsense
local:
  listen: nonsense
record: {keep: forever, sub: maybe}
line: {up: 2Furlongs}
camera_networks: [192.168.0.0/99]
volumes:
  - path: relative/path
    max: lots
cameras:
  - key: A B
    main: http://x/
    colour: red
  - key: till
    main: rtsp://10.0.0.1/1
    password: geheim
    password_file: /nope
  - key: till
    talk: loudly
`)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"line 22: cameras[2].talk: want true or false",
		`line 3: lokal: unknown key; did you mean "local"?`,
		"line 7: record.keep: want a length of time",
		"line 7: record.sub: want true or false",
		"line 8: line.up: want a bandwidth",
		"line 9: camera_networks[0]:",
		"line 12: volumes[0].max: want a size",
		"line 15: cameras[0].main: want rtsp://",
		"line 16: cameras[0].colour: unknown key",
		"cameras[0].key: want 1 to 40", "cameras[1].password_file: password is set too", "cameras[2].key: another camera has it",
		"volumes[0].path: want an absolute path", "local.listen: want host:port",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "cameras[0].main"); n != 1 {
		t.Errorf("cameras[0].main is named %d times", n)
	}
	_, err = load(t, `
log: {level: loud}
local: {listen: nonsense}
cloud: {proxy: "10.0.0.1"}
volumes: [{path: relative}, {path: /a}, {path: /a/}]
cameras:
  - {key: A B, main: "rtsp://10.0.0.1/1"}
  - {key: till, password: geheim, password_file: /nope, transport: pigeon}
  - {key: till, main: "rtsp://10.0.0.1/1"}
`)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"log.level", "local.listen", "cloud.proxy", "volumes[0].path", "volumes[2].path: is listed twice",
		"cameras[0].key", "cameras[1].main: is missing", "cameras[1].password_file", "cameras[1].transport", "cameras[2].key: another",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "geheim") {
		t.Error("the error repeats a password")
	}
}

func TestHoursOfTheLine(t *testing.T) {
	c, err := load(t, `
line:
  up: 4Mbit
  share: 50%
  zone: Europe/Berlin
  hours:
    - {days: mon-fri, from: 22:00, to: 06:00, up: 20Mbit}
    - {days: "sat, sun", share: 90%}
    - {days: sun-mon, from: 8, to: 24, up: 512kbit}
live: {lan: [10.20.0.0/16]}
`)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Line.plan()
	if p.Zone.String() != "Europe/Berlin" || len(c.Live.LAN) != 1 {
		t.Errorf("zone %v, networks %v", p.Zone, c.Live.LAN)
	}
	for hour, want := range map[int]pace.Cap{
		12 + 1*24:  {Up: 500_000, Share: 0.5}, // Tuesday noon
		23 + 1*24:  {Up: 2_500_000},
		5 + 2*24:   {Up: 2_500_000},
		6 + 2*24:   {Up: 500_000, Share: 0.5},
		7 + 0*24:   {Up: 500_000, Share: 0.5}, // Monday morning
		8 + 0*24:   {Up: 64_000},
		5 + 5*24:   {Share: 0.9}, // Saturday: the later line of the file counts
		12 + 5*24:  {Share: 0.9},
		12 + 6*24:  {Up: 64_000},
		0 + 0*24:   {Up: 500_000, Share: 0.5},
		23 + 6*24:  {Up: 64_000},
		23 + 4*24:  {Up: 2_500_000},
		0 + 24 + 0: {Up: 2_500_000},
	} {
		if got := p.Week[hour]; got.Up != want.Up || got.Share != want.Share {
			t.Errorf("hour %d of the week: %+v, want %+v", hour, got, want)
		}
	}
	_, err = load(t, `
line:
  up: 8kbit
  share: 0
  zone: Middle/Earth
  hours:
    - {days: mon-funday, from: 22:30, to: 25, up: 1Mbit}
    - {from: 8, up: 1Mbit}
    - {from: 8, to: 8, up: 1Mbit}
    - {days: sat}
    - {share: 120%, up: 1kbit, off: 1}
live: {lan: [10.20.0.0]}
`)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"line.up: want at least 64kbit", "line 4: line.share: want a share like 20%", "line 5: line.zone: want a time zone",
		"line 7: line.hours[0].days: want days", "line.hours[0].from: want a full hour", "line.hours[0].to: want a full hour",
		"line.hours[1]: want both from and to", "line.hours[2].from: from this hour", "line.hours[3]: want up or share",
		"line.hours[4].share: want a share", "line.hours[4].up: want at least 64kbit", "line.hours[4].off: unknown key", "live.lan[0]",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
}

func TestMalformedYAMLNamesTheLine(t *testing.T) {
	for _, text := range []string{"cameras: [", "data: {a: b", "\t- x", "cameras:\n- key: a\n   name: b\n"} {
		if _, err := load(t, text); err == nil {
			t.Errorf("%q accepted", text)
		}
	}
}

func TestSecretsNeverShow(t *testing.T) {
	c, err := load(t, `cameras: [{key: a, main: "rtsp://u:geheim@10.0.0.1/1", password: geheim}]`)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, c.Cameras[0].Password); strings.Contains(s, "geheim") {
			t.Errorf("%s shows the password: %s", format, s)
		}
		if s := fmt.Sprintf("%s %v", c.Cameras[0].Main, c.Cameras[0].Main); strings.Contains(s, "geheim") {
			t.Errorf("the URL shows its password: %s", s)
		}
	}
}

func TestPasswordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(path, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, fmt.Sprintf(`cameras: [{key: a, main: "rtsp://10.0.0.1/1", password_file: %q}]`, path))
	if err != nil || c.Cameras[0].Password != "from file" {
		t.Fatalf("password %q, %v", string(c.Cameras[0].Password), err)
	}
}

func TestPasswordsThatEverybodyCanRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps rights elsewhere")
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	for _, c := range []struct {
		camera string
		mode   os.FileMode
		want   []string // files that are named
	}{
		{"    password: hunter2", 0o644, []string{"site.yaml"}},
		{"    password: hunter2", 0o640, nil},
		{"    user: x", 0o644, nil},
		{"    sub: rtsp://u:hunter2@10.0.0.1/2", 0o604, []string{"site.yaml"}},
		{"    password_file: " + secret, 0o644, []string{"secret"}},
		{"live: {rtsp: {listen: 10.0.0.1:8554, user: a, password: hunter2}}", 0o644, []string{"site.yaml"}},
		{"live: {rtsp: {listen: 10.0.0.1:8554, user: a, password_file: " + secret + "}}", 0o644, []string{"secret"}},
	} {
		path := filepath.Join(dir, "site.yaml")
		text := "cameras:\n  - key: a\n    main: rtsp://10.0.0.1/1\n" + c.camera + "\n"
		for file, content := range map[string]string{path: text, secret: "hunter2\n"} {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, c.mode); err != nil {
				t.Fatal(err)
			}
		}
		cfg, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		got := Exposed(path, cfg)
		if len(got) != len(c.want) {
			t.Errorf("%s at %o: %q, want %q", c.camera, c.mode, got, c.want)
		}
		for i := range got {
			if !strings.Contains(got[i], c.want[i]) || strings.Contains(got[i], "hunter2") || !strings.Contains(got[i], "chmod 640") {
				t.Errorf("%s at %o: %q", c.camera, c.mode, got[i])
			}
		}
	}
}

func TestUnits(t *testing.T) {
	c, err := load(t, `
volumes: [{path: /a, max: 1.5TB, free: 2GiB}]
line: {up: 2.5Mbit/s}
record: {keep: 36h}
`)
	if err != nil {
		t.Fatal(err)
	}
	if v := c.Volumes[0]; v.Max != 1_500_000_000_000 || v.Free != 2<<30 || c.Line.Up != 2_500_000 || time.Duration(c.Record.Keep) != 36*time.Hour {
		t.Fatalf("got %+v %d %v", v, c.Line.Up, c.Record.Keep)
	}
}
