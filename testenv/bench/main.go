// Command bench measures what Holdfast costs and how fast it is, on the real programs, and prints one figure a line
// as "name: value unit", with the machine's load before and after.
//
// It owns the rigs of its figures and leaves nothing running. Absolute times on a shared machine mean little: compare
// runs on the same machine. -run names the groups to measure, -for how long a rate is measured,
// -segments how long the past of the site is that the group start starts, -events and -clips how much is mirrored, -tries
// how many pictures are waited for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// group is a set of figures that one rig gives.
type group struct {
	name string
	run  func(b *bench, ctx context.Context) error
}

func groups() []group {
	return []group{
		{"size", (*bench).sizes},
		{"record", (*bench).record},
		{"heavy", (*bench).heavy},
		{"live", (*bench).live},
		{"live_far", (*bench).liveFar},
		{"start", (*bench).start},
		{"drain", (*bench).drain},
		{"drain_postgres", (*bench).drainPostgres},
		{"narrow", (*bench).narrow},
		{"quiet", (*bench).quiet},
		{"upload", (*bench).upload},
		{"soak", (*bench).soak},
	}
}

type bench struct {
	seconds  time.Duration
	long     time.Duration // of the heavy load
	streams  int
	segments int // of the long past that a start has to cope with
	events   int // that wait when a long outage ends
	clipMB   int // of clips that are sent through a line with cuts
	soaking  time.Duration
	tries    int    // of each kind of press, at each kind of camera
	dir      string // for everything that is built and recorded
}

func main() {
	run := flag.String("run", "size,record,heavy,live,live_far,start,drain,drain_postgres,narrow,quiet,upload", "groups to measure, separated by commas")
	var b bench
	flag.DurationVar(&b.seconds, "for", time.Minute, "how long a rate is measured")
	flag.DurationVar(&b.long, "heavy", time.Minute, "how long 80 cameras of 4 Mbit/s are recorded; ten minutes write 24 GB")
	flag.IntVar(&b.segments, "segments", 1_000_000, "how many segments a start finds")
	flag.IntVar(&b.events, "events", 1_000_000, "how many events wait when a long outage ends")
	flag.IntVar(&b.clipMB, "clips", 1000, "how many megabytes of clips are sent through a line with cuts")
	flag.DurationVar(&b.soaking, "soak", 8*time.Hour, "how long the group soak watches; it is measured only when it is asked for")
	flag.IntVar(&b.tries, "tries", 40, "how many times each kind of picture is waited for")
	flag.IntVar(&b.streams, "n", 64, "how many streams are recorded beside the floor")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := b.measure(ctx, strings.Split(*run, ","))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) measure(ctx context.Context, names []string) (err error) {
	if b.dir, err = os.MkdirTemp("", "holdfast-bench-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	say("load_before", load(), "")
	for _, name := range names {
		found := false
		for _, g := range groups() {
			if g.name != name {
				continue
			}
			found = true
			if err := g.run(b, ctx); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if !found {
			return fmt.Errorf("no group %q", name)
		}
	}
	say("load_after", load(), "")
	return nil
}

// say prints one figure.
func say(name string, value any, unit string) {
	text := fmt.Sprint(value)
	if f, ok := value.(float64); ok {
		text = fmt.Sprintf("%.4g", f)
	}
	fmt.Println(strings.TrimSpace(name + ": " + text + " " + unit))
}

// load is the machine's load average over one minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
