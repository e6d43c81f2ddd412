package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"time"

	"holdfast/agent/local"
	"holdfast/shared/wire"
)

// status is what the window shows.
func (h *house) status() local.Status {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	line := h.uplink.Status()
	s := local.Status{
		Site: h.me.SiteName, Organisation: h.me.OrgName, Host: host, NowUs: h.clock.Now(), StartedUs: h.started.UnixMicro(),
		Cloud:   local.Cloud{Enrolled: true, Connected: line.Connected, SinceUs: line.SinceUs, Address: h.me.CloudURL},
		Cameras: h.states(), Conditions: h.board.Conditions(), Disk: h.diskState(ctx), Parked: h.outbox.Parked(),
		Holds: h.retain.Report().Holds,
		Line:  h.pace.State(), Filling: h.filling(),
	}
	if line.Problem != nil {
		s.Cloud.Text = line.Problem.Error()
	}
	s.Queue = h.queueState(ctx)
	if s.FactBytes, err = h.ledger.FactBytes(ctx); err != nil {
		h.opt.Log.Warn("measure queue", "error", err)
	}
	const week = int64(7 * 24 * time.Hour / time.Microsecond)
	if s.Events, err = h.ledger.Events(ctx, s.NowUs-week, s.NowUs+week, 20); err != nil {
		h.opt.Log.Warn("look up events", "error", err)
	}
	return s
}

// filling is what the window shows of gaps and other sources.
func (h *house) filling() local.Filling {
	now := h.fill.State()
	f := local.Filling{Sources: now.Sources, Waiting: now.Waiting, WaitingUs: now.WaitingUs, TodayUs: now.TodayUs, GivenUp: now.GivenUp}
	if n := now.Now; n != nil {
		f.Fetch = &local.Fetch{Camera: n.Stream.Camera, Source: n.Source, StartUs: n.StartUs, EndUs: n.EndUs, Percent: n.Percent}
	}
	for _, g := range now.Given {
		f.Given = append(f.Given, local.Given{Camera: g.Stream.Camera, StartUs: g.StartUs, EndUs: g.EndUs, Reason: g.Reason, Text: g.Text})
	}
	return f
}

// Answer is what the running agent's window says, as far as the command line shows it.
type Answer struct {
	Site    string `json:"site"`
	Version string `json:"version"`
	Summary struct {
		State wire.State `json:"state"`
		Text  string     `json:"text"`
	} `json:"summary"`
	Cloud   local.Cloud `json:"cloud"`
	Cameras []struct {
		Name  string     `json:"name"`
		State wire.State `json:"state"`
		Text  string     `json:"text"`
		Kept  string     `json:"kept,omitempty"`
		Due   string     `json:"due,omitempty"`
	} `json:"cameras"`
	Holds      int                  `json:"holds"`
	Conditions []wire.ConditionFact `json:"conditions"` // failing ones that are not a camera's
	Disk       wire.DiskState       `json:"disk"`
	Queue      wire.QueueState      `json:"queue"`
	Line       struct {
		Text string `json:"text"`
	} `json:"line"`
	Filling local.Filling `json:"filling"` // of gaps from other sources
}

// Ask returns what the running agent's window says.
func Ask(ctx context.Context, cfg Config) (Answer, error) {
	if cfg.Local.Listen == "off" {
		return Answer{}, errors.New("local.listen is off in the configuration: the agent can't be asked")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cfg.Local.Listen+"/status.json", nil)
	if err != nil {
		return Answer{}, fmt.Errorf("ask the agent: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("no agent answers on %s: is it running? Look at its log, or start it with  holdfast-agent start", cfg.Local.Listen)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	text, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return Answer{}, fmt.Errorf("ask the agent: %w", err)
	}
	var out Answer
	if err := json.Unmarshal(text, &out); err != nil || resp.StatusCode != http.StatusOK {
		return Answer{}, fmt.Errorf("something else than an agent answers on %s: %s", cfg.Local.Listen, resp.Status)
	}
	return out, nil
}

// Say turns an answer into lines for a person.
func Say(a Answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Site     %s: %s\n", a.Site, a.Summary.Text)
	if a.Cloud.Connected {
		fmt.Fprintf(&b, "Cloud    connected to %s since %s\n", a.Cloud.Address, when(a.Cloud.SinceUs))
	} else {
		fmt.Fprintf(&b, "Cloud    NOT connected since %s. %s\n", when(a.Cloud.SinceUs), a.Cloud.Text)
	}
	for _, c := range a.Cameras {
		fmt.Fprintf(&b, "Camera   %s: %s\n", c.Name, c.Text)
		for _, more := range []string{c.Kept, c.Due} {
			if more != "" {
				fmt.Fprintf(&b, "         %s\n", more)
			}
		}
	}
	fmt.Fprintf(&b, "Disk     %.1f GB free of %.1f GB, %.1f GB of video%s\n", gb(a.Disk.FreeBytes), gb(a.Disk.TotalBytes), gb(a.Disk.VideoBytes), forecast(a.Disk))
	if a.Holds > 0 {
		fmt.Fprintf(&b, "Holds    %d, which keep %.1f GB\n", a.Holds, gb(a.Disk.HeldBytes))
	}
	fmt.Fprintf(&b, "Waiting  %d facts, %d clips (%.1f MB)\n", a.Queue.Facts, a.Queue.Clips, float64(a.Queue.ClipBytes)/1e6)
	fmt.Fprintf(&b, "Line     %s\n", a.Line.Text)
	fmt.Fprintf(&b, "Filling  %s\n", a.Filling.Text)
	for _, g := range a.Filling.Given {
		fmt.Fprintf(&b, "         %s to %s of %s stays a gap (%s). %s\n", when(g.StartUs), time.UnixMicro(g.EndUs).Format(time.TimeOnly), g.CameraName,
			strings.ReplaceAll(string(g.Reason), "_", " "), g.Text)
	}
	for _, c := range a.Conditions {
		fmt.Fprintf(&b, "Problem  %s: %s\n", c.Name, c.Text)
	}
	return b.String()
}

func when(us int64) string {
	if us == 0 {
		return "the start"
	}
	return time.UnixMicro(us).Format(time.DateTime)
}

// forecast says how far back video will reach, when that is known.
func forecast(d wire.DiskState) string {
	switch {
	case d.DaysLeft <= 0:
		return ""
	case d.DaysLeft < 2:
		return fmt.Sprintf("; at today's rate %.0f hours", d.DaysLeft*24)
	}
	return fmt.Sprintf("; at today's rate %.0f days", math.Floor(d.DaysLeft))
}

func gb(n int64) float64 { return float64(n) / 1e9 }
