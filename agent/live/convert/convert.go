// Package convert turns H.265 pictures into H.264 ones, for browsers that show no H.265, by a program that the site has
// installed beside the agent (ffmpeg 5.1 or later).
//
// It owns the program's life and the two streams in between. It promises that the pictures that come out have the times of
// those that went in, that a key frame stays one, that none waits for the next, and that the program ends with Run, and with
// the agent however that ends. It runs below everything else on the machine: recording never waits for it.
package convert

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"holdfast/shared/mp4"
)

// Config says by what pictures are converted, and to what.
type Config struct {
	Program string // path of ffmpeg
	Height  int    // larger pictures are made that high, in pixels
	Kbit    int    // of the pictures that come out, kilobits a second, at most
}

// Picture is what comes out.
type Picture struct {
	AtMs  int64 // the time with which it went in
	Key   bool
	Track *mp4.Track // its parameter sets
	Units [][]byte   // NAL units without start codes
}

// Process is one run of the program for one stream. Write may be called beside Run, by one caller at a time.
type Process struct {
	cfg     Config
	parts   *mp4.PartBuilder
	seq     uint32
	buf     []byte
	in, out *os.File // of the pipe to the program: its end, and this one
}

// timescale of what goes in and comes out: FLV counts milliseconds.
const timescale = 1000

// New returns a process for a stream with these parameters; Run must follow.
func New(cfg Config, track *mp4.Track) (*Process, error) {
	t := *track
	t.Timescale = timescale
	h := mp4.Header{Tracks: []mp4.Track{t}, Base: []int64{0}}
	p := &Process{cfg: cfg}
	var err error
	if p.parts, err = mp4.NewPartBuilder(h); err != nil {
		return nil, fmt.Errorf("convert pictures: %w", err)
	}
	if p.buf, err = mp4.AppendInit(nil, h); err != nil {
		return nil, fmt.Errorf("convert pictures: %w", err)
	}
	if p.in, p.out, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("open a pipe to %s: %w", cfg.Program, err)
	}
	return p, nil
}

// Write gives a picture in, atMs after some beginning and later than the one before: NAL units without start codes. It
// blocks while the program is busy, until Run ends.
func (p *Process) Write(atMs int64, key bool, units [][]byte) error {
	p.seq++
	p.parts.Reset(p.seq, 0, 0)
	if err := p.parts.Add(mp4.Sample{DTS: atMs, Duration: 1, Key: key, Units: units}); err != nil {
		return fmt.Errorf("convert a picture: %w", err)
	}
	p.buf, _ = p.parts.AppendTo(p.buf) // behind the opening, the first time
	_, err := p.out.Write(p.buf)
	p.buf = p.buf[:0]
	if err != nil {
		return fmt.Errorf("give %s a picture: %w", p.cfg.Program, err)
	}
	return nil
}

// Run starts the program and blocks until ctx ends, and then returns nil, or until the program fails. Each picture that comes
// out is given to got, in order.
func (p *Process) Run(ctx context.Context, got func(Picture)) error {
	defer func() { _ = p.out.Close() }() // what it has not taken is of no use
	var said tail
	cmd := exec.CommandContext(ctx, p.cfg.Program, p.cfg.arguments()...)
	cmd.Stdin, cmd.Stderr, cmd.WaitDelay = p.in, &said, time.Second
	humble(cmd)
	pictures, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	_ = p.in.Close() // the program has its own
	switch {
	case err != nil && ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("start %s: %w", p.cfg.Program, err)
	}
	yield(cmd)
	err = read(bufio.NewReaderSize(pictures, 64<<10), got)
	_ = cmd.Process.Kill() // it may have ended
	ended := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil
	case said.last() != "":
		return fmt.Errorf("%s ended: %s", p.cfg.Program, said.last())
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s ended: %w", p.cfg.Program, errors.Join(ended, io.ErrUnexpectedEOF))
	default:
		return fmt.Errorf("read what %s says: %w", p.cfg.Program, err)
	}
}

// arguments makes ffmpeg give each picture back before it has the next. Times and key frames are those of the source, so
// that what the agent knows of a stream holds for what comes out.
func (c Config) arguments() []string {
	rate := strconv.Itoa(c.Kbit) + "k"
	return []string{
		"-hide_banner", "-loglevel", "error", "-nostdin",
		"-flags", "low_delay", "-probesize", "32", "-analyzeduration", "1", "-fpsprobesize", "0",
		"-threads", "1", "-f", "mp4", "-i", "pipe:0",
		"-map", "0:v:0", "-copyts", "-fps_mode", "passthrough", "-enc_time_base", "1:" + strconv.Itoa(timescale),
		"-vf", fmt.Sprintf("scale=-2:'min(%d,ih)':flags=fast_bilinear,format=yuv420p", c.Height),
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-threads", "2",
		"-crf", "25", "-maxrate", rate, "-bufsize", rate,
		"-g", "100000", "-sc_threshold", "0", "-force_key_frames", "source",
		"-f", "flv", "-flvflags", "no_duration_filesize", "-flush_packets", "1", "pipe:1",
	}
}

// tail keeps the end of what a program says.
type tail struct{ said []byte }

const tailMost = 2000

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.said = append(t.said, p...)
	if over := len(t.said) - tailMost; over > 0 {
		t.said = t.said[over:]
	}
	return len(p), nil
}

// last returns the last line.
func (t *tail) last() string {
	lines := strings.Split(strings.TrimSpace(string(t.said)), "\n")
	return lines[len(lines)-1]
}
