// Command fuzz runs every fuzz target of the module and prints of each how many inputs it tried as "fuzz_NAME: N execs".
//
// It owns no target: those stand beside the parsers. It goes on behind a target that fails, whose failing input go test
// keeps in testdata/fuzz, and ends with an error then. -t says how long each runs, -parallel how many workers it has,
// -at-once how many targets run beside each other, -only names the targets by a regular expression.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	length := flag.Duration("t", time.Minute, "how long each target runs")
	parallel := flag.Int("parallel", 2, "workers of a target")
	atOnce := flag.Int("at-once", 1, "targets beside each other")
	only := flag.String("only", "", "targets to run, a regular expression; empty: all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := fuzz(ctx, *length, *parallel, *atOnce, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// target is one fuzz test.
type target struct{ pkg, name string }

func fuzz(ctx context.Context, length time.Duration, parallel, atOnce int, only string) error {
	want, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	targets, err := list(ctx)
	if err != nil {
		return err
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return !want.MatchString(t.name) })
	if len(targets) == 0 {
		return errors.New("no such target")
	}
	var running errgroup.Group
	running.SetLimit(atOnce)
	failed := make([]error, len(targets))
	for i, t := range targets {
		running.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			execs, err := t.run(ctx, length, parallel)
			fmt.Printf("fuzz_%s: %s execs\n", strings.TrimPrefix(t.name, "Fuzz"), execs)
			if err != nil {
				failed[i] = fmt.Errorf("%s of %s: %w", t.name, t.pkg, err)
			}
			return nil // the others go on
		})
	}
	return errors.Join(running.Wait(), errors.Join(failed...))
}

// list finds the targets in the sources of tests.
func list(ctx context.Context) ([]target, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}\n{{end}}"+
		"{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}\n{{end}}", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	name := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)
	var targets []target
	for line := range strings.Lines(string(out)) {
		pkg, file, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range name.FindAllSubmatch(text, -1) {
			targets = append(targets, target{pkg, string(m[1])})
		}
	}
	return targets, nil
}

// run runs a target and returns how many inputs it tried. What go test says is passed on when it fails.
func (t target) run(ctx context.Context, length time.Duration, parallel int) (execs string, err error) {
	// Left to itself go test spends up to a minute on making each input shorter that reached something new, and tries no other.
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", length.String(), "-fuzzminimizetime", "100x",
		"-parallel", fmt.Sprint(parallel), "-timeout", (2*length + 10*time.Minute).String(), t.pkg)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		return "0", err
	}
	go func() { _ = write.CloseWithError(cmd.Wait()) }()
	count := regexp.MustCompile(`execs: (\d+)`)
	var said []string
	execs = "0"
	lines := bufio.NewScanner(read)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m := count.FindStringSubmatch(lines.Text()); m != nil {
			execs = m[1]
			continue
		}
		if said = append(said, lines.Text()); len(said) > 60 {
			said = said[1:]
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, strings.Join(said, "\n"))
		return execs, err
	}
	return execs, nil
}
