package main

import (
	"context"
	"errors"
	"io"

	"holdfast/agent"
)

type checkCmd struct {
	Level   string `help:"quick: ledger against file names; stat: sizes too; full: every byte." enum:"quick,stat,full" default:"stat"`
	Repair  bool   `help:"Repair what may be repaired, and say what was done." xor:"what"`
	Rebuild bool   `help:"Build a ledger that is gone or broken anew from the media files; the broken one is kept." xor:"what"`
	Force   bool   `help:"With --rebuild: also when the ledger is whole."`
	JSON    bool   `help:"Print everything as JSON."`
}

// errUnsound makes the exit code 1 when something is wrong.
var errUnsound = errors.New("the check found something wrong")

// Run checks the invariants, or builds the ledger anew.
func (k *checkCmd) Run(ctx context.Context, c *cli, out io.Writer) error {
	cfg, err := agent.Load(c.Config)
	if err != nil {
		return err
	}
	if k.Rebuild {
		return k.rebuild(ctx, cfg, out)
	}
	report, err := agent.Check(ctx, cfg, k.Level, k.Repair)
	if err != nil {
		return err
	}
	if k.JSON {
		err = printJSON(out, report)
	} else {
		_, err = io.WriteString(out, report.String())
	}
	if err == nil && !report.OK {
		err = errUnsound
	}
	return err
}

func (k *checkCmd) rebuild(ctx context.Context, cfg agent.Config, out io.Writer) error {
	report, err := agent.Rebuild(ctx, cfg, k.Force)
	if err != nil {
		return err
	}
	if k.JSON {
		return printJSON(out, report)
	}
	_, err = io.WriteString(out, report.String())
	return err
}
