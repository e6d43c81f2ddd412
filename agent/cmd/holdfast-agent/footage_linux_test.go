package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/agent"
	"holdfast/testenv/house"
)

func TestWrongRanges(t *testing.T) {
	config := file(t, "holdfast.yaml", "data: "+filepath.Join(t.TempDir(), "data")+"\n")
	for _, c := range []call{
		{args: []string{"export", "--from", "-10m"}, exit: 2, words: []string{"missing flags: --camera"}},
		{args: []string{"export", "--camera", "a"}, exit: 2, words: []string{"missing flags: --from"}},
		{args: []string{"export", "--camera", "a", "--from", "lunch"}, exit: 1, words: []string{`--from: "lunch" is no time: write`, "or -10m"}},
		{args: []string{"export", "--camera", "a", "--from", "-1m", "--to", "-2m"}, exit: 1, words: []string{"before it begins"}},
		{args: []string{"export", "--camera", "a", "--from", "-1m", "--to", "+5m"}, exit: 1, words: []string{"--to lies in the future"}},
		{args: []string{"export", "--camera", "a", "--from", "-100d"}, exit: 1, words: []string{"31 days"}},
		{args: []string{"export", "--camera", "a", "--from", "-1m"}, exit: 1, words: []string{"there is no ledger"}},
		{args: []string{"export", "--camera", "a", "--from", "-1m", "--stream", "third"}, exit: 2, words: []string{`"main","sub"`}},
		{args: []string{"verify"}, exit: 2, words: []string{"expected \"<files> ...\""}},
		{args: []string{"verify", config}, exit: 1, words: []string{"neither a segment nor a clip"}},
		{args: []string{"verify", "--key", "nonsense", config}, exit: 1, words: []string{`"nonsense" is no public key`, "holdfast-agent key"}},
		{args: []string{"key"}, exit: 1, words: []string{"not enrolled yet"}},
	} {
		c.args = append([]string{"--config", config}, c.args...)
		c.check(t)
	}
}

// A person at the site exports beside the running agent, and anybody with the site's key verifies it anywhere.
func TestFootage(t *testing.T) {
	h := house.New(t, house.Setup{})
	s := h.Sites[0]
	if err := s.Recording(t.Context(), 1, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := house.Until(t.Context(), 30*time.Second, "eight seconds of video", func(context.Context) (bool, error) {
		return time.Since(begun) > 8*time.Second, nil
	}); err != nil {
		t.Fatal(err)
	}
	ask := func(works bool, words []string, args ...string) string {
		t.Helper()
		out, err := s.Run(t.Context(), args...)
		if works != (err == nil) {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
		said(t, args, out, words, []string{"camera-Secret"})
		return out
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "live.mp4")
	var report agent.ExportReport
	from := begun.Add(2 * time.Second)
	out := ask(true, nil, "export", "--camera", "camera 1", "--from", from.Format("2006-01-02 15:04:05.000"), "--to", "now", "--out", path, "--json")
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Files) != 1 || report.Key != "cam-1" ||
		report.RecordedUs+report.MissingUs != report.ToUs-report.FromUs || report.MissingUs != 0 {
		t.Fatalf("%+v, %v\n%s", report, err, out)
	}
	pictures(t, path, report.Files[0].ToUs-report.Files[0].FromUs)
	ask(false, []string{"live.mp4: NOT SIGNED", "not every file holds"}, "verify", path)
	ask(false, []string{"live.mp4: the file exists already", "--force"}, "export", "--camera", "cam-1", "--from", "-2s", "--out", path)
	ask(false, []string{`no camera is called "cam-9"; this machine knows cam-1 (Camera 1)`}, "export", "--camera", "cam-9", "--from", "-2s")
	ask(false, []string{"there is no video in this range; the nearest is at 20", "gap", "before the oldest video", "recorded 0s + gaps 10s"},
		"export", "--camera", "cam-1", "--from", "-2d", "--to", "+10s", "--out", dir)
	ask(false, []string{"there is no sub video of this camera"}, "export", "--camera", "cam-1", "--stream", "sub", "--from", "-2s", "--out", dir)

	if err := s.Agent.Stop(25 * time.Second); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "site.pem")
	if err := os.WriteFile(key, []byte(ask(true, []string{"Evidence key of Branch 1", "BEGIN PUBLIC KEY"}, "key")), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "evidence") + string(os.PathSeparator)
	ask(true, []string{"cam-1 (Camera 1), main", "Writing " + folder + "cam-1-main-", "Asked 4s = recorded 4s + gaps 0s."},
		"export", "--camera", "cam-1", "--from", from.Format(time.RFC3339Nano), "--to", "+4s", "--out", folder)
	files, err := filepath.Glob(folder + "*.mp4")
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	pictures(t, files[0], 4_000_000)
	ask(true, []string{"HOLDS. All ", "clip of camera cam-", "of site " + string(s.ID), "signed by key "}, "verify", files[0])
	elsewhere := []string{"--config", filepath.Join(dir, "none.yaml"), "verify"}
	call{args: append(elsewhere, "--key", key, files[0]), exit: 0, words: []string{"HOLDS"}}.check(t)
	call{args: append(elsewhere, files[0]), exit: 1, words: []string{"NOT PROVEN", "--key", "which is none of those given"}}.check(t)
	harm(t, files[0])
	call{args: append(elsewhere, "--key", key, files[0]), exit: 1, words: []string{"DOES NOT HOLD", "DAMAGED: part ", " to "}}.check(t)

	segments, err := filepath.Glob(filepath.Join(s.Data, "video", "video", "*", "*.mp4"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%v, %v", segments, err)
	}
	call{args: append(elsewhere, "--key", key, segments[0]), exit: 0, words: []string{"HOLDS", "segment of camera cam-"}}.check(t)
	harm(t, segments[0])
	var verdicts []agent.Verdict
	var text bytes.Buffer
	if exit := run(t.Context(), append(elsewhere, "--json", "--key", key, segments[0]), &text, os.Stderr); exit != 1 {
		t.Errorf("a damaged segment: exit %d", exit)
	}
	if err := json.Unmarshal(text.Bytes(), &verdicts); err != nil || len(verdicts) != 1 || verdicts[0].Holds || len(verdicts[0].Damage) != 1 {
		t.Fatalf("%v\n%s", err, &text)
	}
	if d := verdicts[0].Damage[0]; d.FromUs < verdicts[0].FromUs || d.ToUs-d.FromUs > 2_200_000 || d.ToUs <= d.FromUs {
		t.Errorf("damage is said to be %+v", d)
	}
}

// pictures has ffmpeg decode a file and counts what it shows: 15 pictures a second.
func pictures(t *testing.T, path string, us int64) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-select_streams", "v:0", "-count_frames",
		"-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	var n int64
	if _, err := fmt.Sscan(strings.TrimSpace(string(out)), &n); err != nil {
		t.Fatal(err)
	}
	if want := us * 15 / 1_000_000; n < want-1 || n > want+2 {
		t.Errorf("%s shows %d pictures, want %d", filepath.Base(path), n, want)
	}
}

// harm turns one bit in the middle of a file.
func harm(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 16
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
