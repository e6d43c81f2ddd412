package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"holdfast/agent"
	"holdfast/agent/clip"
	"holdfast/shared/id"
)

// printJSON prints a value for programs.
func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

type exportCmd struct {
	Camera string        `required:"" help:"The camera's key, name or ID."`
	From   string        `required:"" help:"Beginning: 2026-11-28 14:05:00.123 (this machine's time), 2026-11-28T14:05:00+01:00, or -10m."`
	To     string        `default:"now" help:"End, likewise; also +90s, behind the beginning."`
	Stream string        `enum:"main,sub" default:"main" help:"Which stream: main or sub."`
	Out    string        `short:"o" help:"File to write, or a folder. More than one file is numbered. Default: named by camera and time, here."`
	Apart  time.Duration `default:"10s" help:"A gap that is longer begins a new file; in a shorter one the picture stands still."`
	Mute   bool          `help:"Leave the sound out."`
	Force  bool          `help:"Overwrite files, and take the room that recording keeps free."`
	JSON   bool          `help:"Print the outcome as JSON."`
}

// Run writes video into files.
func (e *exportCmd) Run(ctx context.Context, c *cli, out io.Writer) error {
	cfg, err := agent.Load(c.Config)
	if err != nil {
		return err
	}
	wish := agent.Export{
		Camera: e.Camera, From: e.From, To: e.To, Stream: id.StreamKind(e.Stream), Out: e.Out, Apart: e.Apart, Mute: e.Mute, Force: e.Force,
	}
	if !e.JSON {
		wish.Writing = func(path string, p clip.Piece) {
			fmt.Fprintf(out, "Writing %s (%v) ...\n", path, time.Duration(p.ToUs-p.FromUs)*time.Microsecond)
		}
	}
	report, err := agent.RunExport(ctx, cfg, wish)
	if report.ToUs == 0 {
		return err // nothing was begun
	}
	if e.JSON {
		return errors.Join(err, printJSON(out, report))
	}
	_, printErr := io.WriteString(out, report.String())
	return errors.Join(err, printErr)
}

type verifyCmd struct {
	Files []string `arg:"" help:"Segments, clips or exported files."`
	Key   []string `help:"The site's public evidence key: a file, or its 32 bytes in hexadecimal. Default: the key of this machine's site."`
	JSON  bool     `help:"Print everything as JSON."`
}

var errUnproven = errors.New("not every file holds")

// Run verifies files.
func (v *verifyCmd) Run(c *cli, out io.Writer) error {
	keys, err := v.keys(c)
	if err != nil {
		return err
	}
	verdicts := []agent.Verdict{}
	var errs []error
	for _, path := range v.Files {
		verdict, err := agent.Verify(path, keys)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !verdict.Holds {
			err = errUnproven
		}
		errs = append(errs, err)
		verdicts = append(verdicts, verdict)
		if !v.JSON {
			fmt.Fprint(out, verdict)
		}
	}
	if v.JSON {
		errs = append(errs, printJSON(out, verdicts))
	}
	return joinOnce(errs)
}

// keys returns the keys that were named, else those of this machine's site: whoever verifies elsewhere has neither a
// configuration nor an identity.
func (v *verifyCmd) keys(c *cli) (keys []ed25519.PublicKey, err error) {
	for _, text := range v.Key {
		key, err := agent.ParseKey(text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) > 0 {
		return keys, nil
	}
	cfg, err := agent.Load(c.Config)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return agent.SiteKeys(cfg), err
}

// joinOnce joins errors; each text is said once.
func joinOnce(errs []error) error {
	said := map[string]bool{}
	var out []error
	for _, err := range errs {
		if err != nil && !said[err.Error()] {
			said[err.Error()] = true
			out = append(out, err)
		}
	}
	return errors.Join(out...)
}

type keyCmd struct{}

// Run prints the site's public evidence key.
func (keyCmd) Run(c *cli, out io.Writer) error {
	cfg, err := agent.Load(c.Config)
	if err != nil {
		return err
	}
	text, err := agent.PublicKey(cfg)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text)
	return err
}
