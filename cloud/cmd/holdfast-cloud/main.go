// Command holdfast-cloud is the cloud as the operating system sees it: flags, exit codes, and what is printed.
//
// It owns nothing that serves: the hall (package cloud) does. Run it without arguments for its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"holdfast/cloud"
	"holdfast/cloud/alert"
	"holdfast/shared/wire"
)

// version is set by the linker.
var version = "dev"

// places are the flags that say where things lie; every command has them.
type places struct {
	Data     string `help:"Folder for keys and the embedded defaults." default:"/var/lib/holdfast-cloud" env:"HOLDFAST_DATA" type:"path"`
	Database string `help:"File of SQLite, or postgres:// URL. Default: cloud.db in the data folder." env:"HOLDFAST_DATABASE"`
	Clips    string `help:"Folder, or s3://bucket/prefix?endpoint=URL with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Default: clips in the data folder." env:"HOLDFAST_CLIPS"`
}

type cli struct {
	Serve   serveCmd   `cmd:"" help:"Serve agents and the portal."`
	Backup  backupCmd  `cmd:"" help:"Write database and identity key into one file, while the cloud runs."`
	Restore restoreCmd `cmd:"" help:"Restore a backup into an empty data folder and database."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run parses and executes one command, which ends early with ctx or a signal; the exit code is 0, 1 for a
// failure, 2 for a wrong call.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	var c cli
	helped := false
	parser, err := kong.New(&c, kong.Name("holdfast-cloud"), kong.Writers(out, errOut),
		kong.Description("The control plane of Holdfast: every site in one portal."),
		kong.Exit(func(int) { helped = true }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.BindTo(out, (*io.Writer)(nil)))
	if err != nil {
		fmt.Fprintln(errOut, "holdfast-cloud:", err)
		return 2
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if helped {
		return 0
	}
	if err != nil {
		fmt.Fprintf(errOut, "holdfast-cloud: %v (see holdfast-cloud --help)\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // who asks a second time does not want to wait
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		fmt.Fprintln(errOut, "holdfast-cloud:", err)
		return 1
	}
	return 0
}

type serveCmd struct {
	places
	Listen      string         `help:"Address to listen on." default:"127.0.0.1:8080" env:"HOLDFAST_LISTEN"`
	TLSCert     string         `name:"tls-cert" help:"Certificate chain, PEM." type:"path" env:"HOLDFAST_TLS_CERT" and:"tls"`
	TLSKey      string         `name:"tls-key" help:"Private key, PEM." type:"path" env:"HOLDFAST_TLS_KEY" and:"tls"`
	PublicURL   string         `name:"public-url" help:"How browsers and agents reach the cloud, for example https://holdfast.example.com." env:"HOLDFAST_PUBLIC_URL"`
	BehindProxy bool           `name:"behind-proxy" help:"A balancer in front ends TLS: take plain HTTP on any address." env:"HOLDFAST_BEHIND_PROXY"`
	Proxies     []netip.Prefix `name:"trusted-proxy" help:"Network of balancers whose X-Forwarded-For is believed." env:"HOLDFAST_TRUSTED_PROXIES"`
	ICE         []string       `name:"ice-server" help:"STUN or TURN server for live view: stun:host:port or turn:user:password@host:port." env:"HOLDFAST_ICE_SERVERS"`
	Turn        string         `name:"turn" help:"Address of the cloud's own STUN and TURN server, UDP and TCP: host:port, or off. Absent: :3478 where the cloud is reached from elsewhere." env:"HOLDFAST_TURN"`
	TurnAddress string         `name:"turn-address" help:"Name or address by which browsers and sites reach the TURN server; absent: the host of --public-url." env:"HOLDFAST_TURN_ADDRESS"`
	TurnPorts   string         `name:"turn-ports" help:"UDP ports of relays, to be opened in the firewall: first-last." default:"50000-50999" env:"HOLDFAST_TURN_PORTS"`
	TurnAllow   []netip.Prefix `name:"turn-allow" help:"Private network that relays may reach, where sites and viewers share one with the cloud." env:"HOLDFAST_TURN_ALLOW"`
	Relay       string         `name:"relay" help:"UDP and TCP port of the relay that gives one camera to many viewers, or off. Absent: 3479 where there is a TURN server." env:"HOLDFAST_RELAY"`
	SMTP        string         `name:"smtp" help:"Mail server for alerts: smtp://user:password@host:587, smtps:// for TLS from the first byte, smtp+plain:// on this machine only." env:"HOLDFAST_SMTP"`
	MailFrom    string         `name:"mail-from" help:"Sender of alerts." env:"HOLDFAST_MAIL_FROM"`
	LocalHooks  bool           `name:"allow-local-webhooks" help:"Let webhooks go to private and loopback addresses." env:"HOLDFAST_ALLOW_LOCAL_WEBHOOKS"`
	Grace       time.Duration  `name:"grace" help:"How long after a start no site is called dark." default:"150s" env:"HOLDFAST_GRACE"`
	LogLevel    string         `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info" env:"HOLDFAST_LOG_LEVEL"`
}

// Run serves until the process is told to end.
func (s *serveCmd) Run(ctx context.Context, out io.Writer) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return err
	}
	var ice []wire.ICEServer
	for _, text := range s.ICE {
		server, err := iceServer(text)
		if err != nil {
			return err
		}
		ice = append(ice, server)
	}
	mail, err := mailServer(s.SMTP)
	if err != nil {
		return err
	}
	relay := cloud.Turn{Listen: s.Turn, Address: s.TurnAddress, Allow: s.TurnAllow, Relay: s.Relay}
	if relay.Ports, err = portRange(s.TurnPorts); err != nil {
		return err
	}
	mail.From, mail.Private, mail.Portal = s.MailFrom, s.LocalHooks, s.PublicURL
	return cloud.Run(ctx, cloud.Config{
		Data: s.Data, Listen: s.Listen, Database: s.Database, Clips: s.Clips, TLSCert: s.TLSCert, TLSKey: s.TLSKey, PublicURL: s.PublicURL,
		Proxies: s.Proxies, Plain: s.BehindProxy, ICE: ice, Turn: relay, Version: version, Env: os.Getenv, Grace: s.Grace,
		Alert: mail,
		Log:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
		Serving: func(url, token string) {
			fmt.Fprintln(out, "Listening on", url)
			if token != "" {
				fmt.Fprintf(out, "Set up: %s/setup?token=%s\n", url, token)
			}
			notifyReady()
		},
	})
}

// mailServer reads "smtp://user:password@host:587", "smtps://..." or "smtp+plain://127.0.0.1:25".
func mailServer(text string) (alert.Config, error) {
	if text == "" {
		return alert.Config{}, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return alert.Config{}, errors.New("--smtp: want smtp://user:password@host:587, smtps://user:password@host:465 or smtp+plain://127.0.0.1:25")
	}
	kinds := map[string]struct {
		security alert.Security
		port     string
	}{"smtp": {alert.StartTLS, "587"}, "smtps": {alert.TLS, "465"}, "smtp+plain": {alert.Plain, "25"}}
	kind, ok := kinds[u.Scheme]
	if !ok {
		return alert.Config{}, fmt.Errorf("--smtp: unknown scheme %q: want smtp, smtps or smtp+plain", u.Scheme)
	}
	c := alert.Config{Server: u.Host, Security: kind.security, User: u.User.Username()}
	if u.Port() == "" {
		c.Server += ":" + kind.port
	}
	c.Password, _ = u.User.Password()
	return c, nil
}

// portRange reads "50000-50999".
func portRange(text string) (out [2]uint16, err error) {
	first, last, ok := strings.Cut(text, "-")
	for i, part := range []string{first, last} {
		port, err := strconv.ParseUint(strings.TrimSpace(part), 10, 16)
		if err != nil || port < 1024 || !ok {
			return out, fmt.Errorf("TURN ports %q: want first-last between 1024 and 65535, for example 50000-50999", text)
		}
		out[i] = uint16(port)
	}
	return out, nil
}

// iceServer reads "stun:host:port" or "turn:user:password@host:port".
func iceServer(text string) (wire.ICEServer, error) {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || (scheme != "stun" && scheme != "turn" && scheme != "turns") {
		return wire.ICEServer{}, fmt.Errorf("ICE server %q: want stun:host:port or turn:user:password@host:port", scheme)
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil || u.Host == "" {
		return wire.ICEServer{}, fmt.Errorf("ICE server %s:...: the address can't be read", scheme)
	}
	server := wire.ICEServer{URLs: []string{scheme + ":" + u.Host}}
	if u.RawQuery != "" {
		server.URLs[0] += "?" + u.RawQuery
	}
	if u.User != nil {
		server.Username = u.User.Username()
		server.Credential, _ = u.User.Password()
	}
	return server, nil
}

type backupCmd struct {
	places
	To string `arg:"" help:"File to write; it must not exist." type:"path"`
}

// Run writes a backup.
func (b *backupCmd) Run(ctx context.Context, out io.Writer) error {
	n, err := cloud.Backup(ctx, b.Data, b.Database, b.To)
	if err == nil {
		_, err = fmt.Fprintf(out, "Wrote %s (%d bytes). It holds the cloud's identity key: keep it like a password. Clips are not in it.\n", b.To, n)
	}
	return err
}

type restoreCmd struct {
	places
	From string `arg:"" help:"File that backup wrote." type:"existingfile"`
}

// Run restores a backup.
func (r *restoreCmd) Run(ctx context.Context, out io.Writer) error {
	if err := cloud.Restore(ctx, r.From, r.Data, r.Database); err != nil {
		return err
	}
	if err := handOver(r.Data); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "Restored. Agents send again what the backup does not have, as long as they still keep it (24 h).")
	return err
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(out io.Writer) error {
	_, err := fmt.Fprintf(out, "holdfast-cloud %s (%s/%s, %s)\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}
