// Command holdfast-agent is the agent as the operating system sees it: flags, exit codes and the service glue.
//
// It owns nothing that records or sends: the hall (package agent) does. Run it without arguments for its
// commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
	"gopkg.in/natefinch/lumberjack.v2"

	"holdfast/agent"
)

// version is set by the linker.
var version = "dev"

type cli struct {
	Config string `help:"The site's configuration." short:"c" default:"${config}" type:"path"`

	Enrol     enrolCmd     `cmd:"" help:"Join the cloud with a code from the portal, and start the service if it is installed."`
	Run       runCmd       `cmd:"" help:"Run in the foreground."`
	Status    statusCmd    `cmd:"" help:"Say what the running agent sees."`
	Check     checkCmd     `cmd:"" help:"Check ledger and footage against each other."`
	Export    exportCmd    `cmd:"" help:"Write video of a camera into an MP4 file, exact to the frame; the agent may run meanwhile."`
	Verify    verifyCmd    `cmd:"" help:"Say whether a segment, a clip or an exported file is what the site recorded."`
	Key       keyCmd       `cmd:"" help:"Print the site's public evidence key, by which files are verified."`
	CheckConf configCmd    `cmd:"" name:"config" help:"Check the configuration and list every fault."`
	Sample    sampleCmd    `cmd:"" help:"Print a commented configuration to start from."`
	Install   installCmd   `cmd:"" help:"Install as a service of this machine."`
	Uninstall uninstallCmd `cmd:"" help:"Remove the service; footage and identity stay."`
	Start     startCmd     `cmd:"" help:"Start the installed service."`
	Stop      stopCmd      `cmd:"" help:"Stop the running service."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

func defaultConfig() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("ProgramData"), "Holdfast", "holdfast.yaml")
	}
	return "/etc/holdfast/holdfast.yaml"
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run parses and executes one command, which ends early with ctx or a signal; the exit code is 0, 1 for a
// failure, 2 for a wrong call.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	var c cli
	helped := false
	parser, err := kong.New(&c, kong.Name("holdfast-agent"), kong.Writers(out, errOut),
		kong.Description("Records a site's cameras beside the recorder that is already there."),
		kong.Vars{"config": defaultConfig()}, kong.Exit(func(int) { helped = true }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.WithHyphenPrefixedParameters(true), // --from -10m
		kong.BindTo(out, (*io.Writer)(nil)))
	if err != nil {
		fmt.Fprintln(errOut, "holdfast-agent:", err)
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
		fmt.Fprintf(errOut, "holdfast-agent: %v (see holdfast-agent --help)\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // who asks a second time does not want to wait
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(&c); err != nil {
		fmt.Fprintln(errOut, "holdfast-agent:", err)
		if errors.Is(err, fs.ErrPermission) && !elevated() {
			fmt.Fprintln(errOut, asAdministrator)
		}
		return 1
	}
	return 0
}

type enrolCmd struct {
	Code    string `arg:"" help:"The code, as the portal shows it."`
	Cloud   string `required:"" help:"Address of the cloud, for example https://holdfast.example.com."`
	Replace bool   `help:"Forget the identity that this machine has, and take a new one."`
}

// Run joins the cloud.
func (e *enrolCmd) Run(ctx context.Context, c *cli, out io.Writer) error {
	cfg, err := agent.Load(c.Config)
	if err != nil {
		return err
	}
	granted, err := agent.Enrol(ctx, cfg, agent.Enrolment{Cloud: e.Cloud, Code: e.Code, Replace: e.Replace})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Joined %s as the agent of %s.\n", granted.OrgName, granted.SiteName)
	return afterEnrol(ctx, c, cfg, out)
}

type runCmd struct {
	Service bool `hidden:"" help:"Started by the Windows service manager."`
}

// Run runs the agent until it is told to stop.
func (r *runCmd) Run(ctx context.Context, c *cli) error {
	if r.Service {
		return runService(func(ctx context.Context, ready func()) error { return work(ctx, c.Config, true, ready) })
	}
	return work(ctx, c.Config, false, notifyReady)
}

// work loads the configuration and runs the agent. One that is silent has nobody who reads its standard error:
// all it has to say goes to a log file.
func work(ctx context.Context, config string, silent bool, ready func()) (err error) {
	if os.Getenv("GOGC") == "" {
		// Nearly all of the heap is pictures on their way to the disk, which cost the collector nothing to look
		// through: to keep it small is cheap.
		debug.SetGCPercent(50)
	}
	cfg, err := agent.Load(config)
	if silent && cfg.Log.File == "" {
		cfg.Log.File = logFile(cfg)
	}
	log, closeLog := newLog(cfg.Log)
	defer func() { err = errors.Join(err, closeLog()) }()
	if silent {
		defer func() {
			if err != nil {
				log.Error("the agent ends", "error", err)
			}
		}()
		defer keepCrashes(filepath.Join(filepath.Dir(cfg.Log.File), "crash.log"), log)()
	}
	if err != nil {
		return err
	}
	for _, text := range agent.Exposed(config, cfg) {
		log.Warn(text)
	}
	return agent.Run(ctx, cfg, agent.Options{Version: version, Log: log, Ready: ready})
}

// logFile returns where a silent agent logs when its configuration says nothing, or could not be read.
func logFile(cfg agent.Config) string {
	data := cfg.Data
	if data == "" {
		data = agent.Defaults().Data
	}
	return filepath.Join(data, "log", "agent.log")
}

// keepCrashes lets the Go runtime write what it prints of a crash into the file too. The func ends that.
func keepCrashes(path string, log *slog.Logger) (end func()) {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		var file *os.File
		if file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			err = errors.Join(debug.SetCrashOutput(file, debug.CrashOptions{}), file.Close()) // the runtime has a copy
		}
	}
	if err != nil {
		log.Warn("prepare the file for crashes", "error", err)
	}
	return func() { _ = debug.SetCrashOutput(nil, debug.CrashOptions{}) } // closing what is only read after a crash
}

func newLog(cfg agent.Log) (*slog.Logger, func() error) {
	var out io.Writer = os.Stderr
	done := func() error { return nil }
	if cfg.File != "" {
		file := &lumberjack.Logger{Filename: cfg.File, MaxSize: 20, MaxBackups: 5}
		out, done = file, file.Close
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		level = slog.LevelInfo // Load has said so already
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})), done
}

type statusCmd struct {
	JSON bool `help:"Print everything as JSON."`
}

// Run asks the running agent.
func (s *statusCmd) Run(ctx context.Context, c *cli, out io.Writer) error {
	cfg, err := agent.Load(c.Config)
	if err != nil {
		return err
	}
	status, err := agent.Ask(ctx, cfg)
	if err != nil {
		return err
	}
	if s.JSON {
		return printJSON(out, status)
	}
	_, err = io.WriteString(out, agent.Say(status))
	return err
}

type configCmd struct{}

// Run checks the configuration.
func (configCmd) Run(c *cli, out io.Writer) error {
	cfg, err := agent.Load(c.Config)
	if err == nil {
		fmt.Fprintf(out, "%s is valid: %d camera(s), %d volume(s).\n", c.Config, len(cfg.Cameras), len(cfg.Volumes))
		for _, text := range agent.Exposed(c.Config, cfg) {
			fmt.Fprintln(out, "Careful:", text)
		}
	}
	return err
}

type sampleCmd struct {
	File string `arg:"" optional:"" help:"Write it into this file, which must not exist, readable by you alone." type:"path"`
}

// Run prints the sample or writes it into a file.
func (s *sampleCmd) Run(out io.Writer) error {
	if s.File == "" {
		_, err := io.WriteString(out, agent.Sample())
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.File), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	file, err := os.OpenFile(s.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: it stays as it is", s.File)
	}
	if err != nil {
		return fmt.Errorf("write sample: %w", err)
	}
	_, err = io.WriteString(file, agent.Sample())
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write sample: %w", err)
	}
	_, err = fmt.Fprintf(out, "Wrote %s. Put your cameras into it, then: holdfast-agent config\n", s.File)
	return err
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(out io.Writer) error {
	_, err := fmt.Fprintf(out, "holdfast-agent %s (%s/%s, %s)\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}
