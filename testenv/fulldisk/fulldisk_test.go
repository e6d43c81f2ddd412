package fulldisk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/cloud/api"
	"holdfast/shared/mp4"
	"holdfast/shared/wire"
	"holdfast/testenv/house"
	"holdfast/testenv/scenes"
	"holdfast/testenv/smalldisk"
)

// stage is a site whose data folder, ledger and video together, is a small disk.
type stage struct {
	*testing.T
	house *house.House
	site  *house.Site
	disk  string
}

// start starts a site with cameras of 4 Mbit/s each.
func start(t *testing.T, bytes int64, cameras int, yaml string) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{T: t, disk: filepath.Join(dir, "site-1", "data")}
	smalldisk.MountAt(t, smalldisk.Bytes(bytes), s.disk)
	loop, err := scenes.Heavy(t.Context(), filepath.Join(os.TempDir(), "holdfast-loops"), 4000)
	if err != nil {
		t.Fatal(err)
	}
	plan := house.BranchPlan{Name: "Full", YAML: fmt.Sprintf("volumes: [{path: %q, free: 40MB}]\n%s", filepath.Join(s.disk, "video"), yaml)}
	for i := range cameras {
		plan.Cameras = append(plan.Cameras, house.CameraPlan{Key: fmt.Sprintf("cam-%d", i+1), Name: fmt.Sprintf("Camera %d", i+1), Loop: loop})
	}
	s.house = house.New(t, house.Setup{Dir: dir, Branches: []house.BranchPlan{plan}})
	s.site = s.house.Sites[0]
	if err := s.site.Recording(t.Context(), cameras, time.Minute); err != nil {
		t.Fatal(err)
	}
	return s
}

// until waits for a condition while the agent lives.
func (s *stage) until(limit time.Duration, what string, ask func(ctx context.Context) (bool, error)) {
	s.Helper()
	began := time.Now()
	defer func() { s.Logf("%6.1f s until %s", time.Since(began).Seconds(), what) }()
	err := house.Until(s.Context(), limit, what, func(ctx context.Context) (bool, error) {
		if err := s.site.Agent.Alive(); err != nil {
			return false, err
		}
		return ask(ctx)
	})
	if err != nil {
		s.Fatal(err)
	}
}

// files returns the video files with their sizes.
func (s *stage) files() map[string]int64 {
	s.Helper()
	out := map[string]int64{}
	err := filepath.WalkDir(filepath.Join(s.disk, "video"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".mp4") {
			return nil // it went meanwhile
		}
		if info, err := d.Info(); err == nil {
			out[path] = info.Size()
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return out
}

func (s *stage) oldest() string {
	names := make([]string, 0, 16)
	for name := range s.files() {
		names = append(names, name)
	}
	return slices.Min(append(names, "~"))
}

func (s *stage) newest() (name string) {
	for n := range s.files() {
		name = max(name, n)
	}
	return name
}

// status is what the window says.
type status struct {
	Cameras []struct {
		Name, Text string
		State      wire.State
		Reason     wire.Reason
	}
	Conditions []wire.ConditionFact
	Disk       wire.DiskState
	Holds      int
}

func (s *stage) status(ctx context.Context) (out status, err error) {
	all, err := s.site.Status(ctx)
	if err != nil {
		return out, err
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	return out, err
}

// recording says whether all cameras record, and why not.
func (s *stage) recording(ctx context.Context) (bool, error) {
	now, err := s.status(ctx)
	for _, c := range now.Cameras {
		if c.State != wire.OK {
			return false, err
		}
	}
	return err == nil, err
}

// stuff fills the disk to the last byte.
func (s *stage) stuff() (path string) {
	s.Helper()
	path = filepath.Join(s.disk, "foreign")
	f, err := os.Create(path)
	if err != nil {
		s.Fatal(err)
	}
	for _, block := range []int{1 << 20, 4096} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, block))
		}
	}
	s.Logf("a foreign file fills the disk: %v", err)
	_ = f.Close() // the disk is full
	return path
}

// sound stops the agent and checks ledger and files against each other, down to the last byte.
func (s *stage) sound() {
	s.Helper()
	if err := s.site.Agent.Stop(25 * time.Second); err != nil {
		s.Fatal(err)
	}
	for name, size := range s.files() {
		if size == 0 {
			s.Errorf("%s has 0 bytes", name)
		}
	}
	out, err := s.site.Run(s.Context(), "check", "--level", "full")
	if err != nil {
		s.Errorf("check: %v\n%s", err, out)
	}
}

// TestTheDiskIsFull: recording goes on while the oldest goes, with the line cut and a log whose own disk is full; then
// a foreign file takes the last byte, under ledger and video; then the line comes back.
func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	log := smalldisk.Mount(t, smalldisk.Bytes(64<<10))
	if err := os.WriteFile(filepath.Join(log, "rest"), make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the log's disk is not full")
	}
	s := start(t, 160<<20, 3, fmt.Sprintf("log: {file: %q, level: debug}\n", filepath.Join(log, "agent.log")))
	before := time.Now()
	s.site.Line.Cut()
	first := s.oldest()
	s.until(4*time.Minute, "the oldest file goes", func(context.Context) (bool, error) { return s.oldest() > first, nil })
	// Half a minute of being full: nobody stops recording, and nothing but old video goes.
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		now, err := s.status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range now.Cameras {
			if c.State != wire.OK {
				t.Errorf("%s: %s %s", c.Name, c.Reason, c.Text)
			}
		}
		for _, c := range now.Conditions {
			t.Errorf("condition %s: %s", c.Name, c.Text)
		}
		if now.Disk.FreeBytes < 20<<20 {
			t.Errorf("%d MB are free, 40 are to stay so", now.Disk.FreeBytes>>20)
		}
		<-time.After(2 * time.Second)
	}
	// Now the system itself says that there is no room, to the ledger too.
	foreign := s.stuff()
	newest := s.newest()
	s.until(2*time.Minute, "three new files are made in the room that old ones leave", func(context.Context) (bool, error) {
		made := 0
		for name := range s.files() {
			if name > newest {
				made++
			}
		}
		return made >= 3, nil
	})
	s.until(45*time.Second, "all cameras record", s.recording)
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	s.until(90*time.Second, "the ledger's ballast is back", func(context.Context) (bool, error) {
		_, err := os.Stat(filepath.Join(s.disk, "ledger.db.ballast"))
		return err == nil, nil
	})
	s.until(45*time.Second, "all cameras record", s.recording)
	if err := s.site.Line.Restore(); err != nil {
		t.Fatal(err)
	}
	// What went while the cloud knew nothing of it is said to be lost.
	cameras, err := s.site.CameraIDs()
	if err != nil {
		t.Fatal(err)
	}
	for key, cam := range cameras {
		s.until(time.Minute, "the cloud hears of what was lost of "+key, func(ctx context.Context) (bool, error) {
			var cov api.Coverage
			path := fmt.Sprintf("/cameras/%s/coverage?from_us=%d&to_us=%d", cam, before.UnixMicro(), time.Now().UnixMicro())
			err := s.house.Owner.Get(ctx, path, &cov)
			return slices.ContainsFunc(cov.Ranges, func(r api.Range) bool { return r.State == "gap" && r.Reason == string(wire.Lost) }), err
		})
	}
	s.sound()
}

// TestTheDiskIsFullOfHolds: what is held keeps its bytes, new footage is refused as held_full with an alarm, and goes
// on when a hold is released.
func TestTheDiskIsFullOfHolds(t *testing.T) {
	t.Parallel()
	s := start(t, 200<<20, 2, "")
	began := time.Now()
	s.until(2*time.Minute, "two files are closed", func(context.Context) (bool, error) { return len(s.files()) >= 4, nil })
	body := func(over bool) string {
		return fmt.Sprintf(`{"camera":"Camera %%d","start_us":%d,"end_us":%d,"name":"all","over":%v}`,
			began.Add(-time.Hour).UnixMicro(), time.Now().UnixMicro(), over)
	}
	made := s.hold(fmt.Sprintf(body(true), 1), http.StatusCreated)
	s.hold(fmt.Sprintf(body(true), 2), http.StatusCreated)
	held := s.sums()
	// The rest of the disk is somebody else's.
	now, err := s.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(s.disk, "foreign")
	if err := os.WriteFile(foreign, make([]byte, max(now.Disk.FreeBytes-15<<20, 0)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.until(2*time.Minute, "new footage is refused as held_full", func(ctx context.Context) (bool, error) {
		now, err := s.status(ctx)
		if err != nil || len(now.Cameras) != 2 || now.Holds != 2 {
			return false, err
		}
		alarm := slices.ContainsFunc(now.Conditions, func(c wire.ConditionFact) bool { return c.Name == "retention" && c.Reason == wire.HeldFull })
		return alarm && now.Cameras[0].Reason == wire.HeldFull && now.Cameras[1].Reason == wire.HeldFull, nil
	})
	s.until(30*time.Second, "the portal says so", func(ctx context.Context) (bool, error) {
		var list api.Cameras
		err := s.house.Owner.Get(ctx, "/sites/"+string(s.site.ID)+"/cameras", &list)
		return err == nil && len(list.Cameras) == 2 && list.Cameras[0].Reason == string(wire.HeldFull), err
	})
	for name, sum := range s.sums() {
		if was, known := held[name]; known && was != sum {
			t.Errorf("%s is held and has other bytes than before", name)
		}
		delete(held, name)
	}
	for name := range held {
		t.Errorf("%s was held and is gone", name)
	}
	s.release(made)
	s.until(time.Minute, "recording goes on after a hold was released", s.recording)
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	s.sound()
}

// hold asks the window for a hold and returns its ID.
func (s *stage) hold(body string, want int) string {
	s.Helper()
	code, text := s.call(http.MethodPost, "/holds", body)
	var out struct{ ID string }
	if err := json.Unmarshal([]byte(text), &out); err != nil || code != want {
		s.Fatalf("POST /holds %s = %d %s", body, code, text)
	}
	return out.ID
}

func (s *stage) release(which string) {
	s.Helper()
	if code, text := s.call(http.MethodDelete, "/holds/"+which, ""); code != http.StatusNoContent {
		s.Fatalf("DELETE = %d %s", code, text)
	}
}

func (s *stage) call(method, path, body string) (int, string) {
	s.Helper()
	token, err := os.ReadFile(filepath.Join(s.site.Data, "local.token"))
	if err != nil {
		s.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.Context(), method, s.site.Local+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var text strings.Builder
	if err := resp.Write(&text); err != nil {
		s.Fatal(err)
	}
	_, after, _ := strings.Cut(text.String(), "\r\n\r\n")
	return resp.StatusCode, after
}

// sums returns the hashes of the files that are sealed and so do not grow any more.
func (s *stage) sums() map[string][32]byte {
	s.Helper()
	out := map[string][32]byte{}
	for name := range s.files() {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it went meanwhile
		}
		if _, _, _, err := mp4.ReadSeal(bytes.NewReader(text), int64(len(text))); err == nil {
			out[name] = sha256.Sum256(text)
		}
	}
	return out
}
