package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"holdfast/agent/uplink"
	"holdfast/shared/backoff"
	"holdfast/shared/wire"
	"holdfast/testenv/powercut/uml"
)

// enrolment is one enrolment that a power cut interrupts. The cloud keeps its power. Whatever the moment: afterwards the
// agent has either no identity or a whole one, and the same code leads to that same identity.
type enrolment struct {
	rig  *rig
	name string
	step step
	wait time.Duration // from the step to the cut

	dir string
	m   *uml.Machine
	cut chan struct{} // closed when the step has come

	mu    sync.Mutex
	asked int  // requests to the cloud
	armed bool // the cut is still to come
}

// step is a moment of an enrolment.
type step string

const (
	begun    step = "the program has begun"
	starts   step = "the first request is on its way"
	offered  step = "the cloud's offer is on its way back"
	finishes step = "the second request is on its way"
	granted  step = "the cloud has granted, and its answer is on its way"
	answered step = "the grant has arrived"
)

// steps returns all of them in order.
func steps() []step { return []step{begun, starts, offered, finishes, granted, answered} }

// run fails when the promise does not hold.
func (e *enrolment) run(ctx context.Context) error {
	share := filepath.Join(e.dir, "share")
	if err := os.MkdirAll(share, 0o700); err != nil {
		return err
	}
	disk := filepath.Join(e.dir, "disk.img")
	if err := uml.NewDisk(ctx, disk, 64, "ext4"); err != nil {
		return err
	}
	if err := copyConfig(share); err != nil {
		return err
	}
	code, err := e.newCode(ctx)
	if err != nil {
		return err
	}
	e.cut, e.armed = make(chan struct{}), true
	argv := []string{e.rig.agent, "--config", config, "enrol", "--cloud", "http://" + uml.Cloud, code}
	err = e.boot(ctx, disk, share)
	if err == nil {
		err = e.m.Call(ctx, "copy", uml.Copy{From: uml.Host + "/holdfast.yaml", To: config}, nil)
	}
	if err == nil {
		err = e.m.Call(ctx, "start", uml.Start{Name: "enrol", Argv: argv}, nil)
	}
	if err == nil {
		err = e.interrupt(ctx)
	}
	if err := e.off(err); err != nil {
		return err
	}
	e.mu.Lock()
	e.armed = false
	e.mu.Unlock()
	if err := e.boot(ctx, disk, share); err != nil {
		return e.off(err)
	}
	return e.off(e.again(ctx, argv, share))
}

// boot starts the machine and opens its way to the cloud.
func (e *enrolment) boot(ctx context.Context, disk, share string) (err error) {
	e.m, err = uml.Boot(ctx, uml.Config{
		Guest: e.rig.guest, Disks: []string{disk}, Share: share, Console: filepath.Join(e.dir, "console.log"),
		Heard: func(kind byte, body []byte) { e.heard(ctx, kind, body) },
	})
	if err == nil {
		err = e.m.Call(ctx, "mount", uml.Mount{Device: "/dev/ubda", At: uml.Disk, Type: "ext4"}, nil)
	}
	if err == nil {
		err = e.m.Call(ctx, "cloud", nil, nil)
	}
	return err
}

func (e *enrolment) off(err error) error {
	if e.m == nil {
		return err
	}
	err = errors.Join(err, e.m.Cut())
	e.m = nil
	return err
}

// interrupt waits for the moment of the cut.
func (e *enrolment) interrupt(ctx context.Context) error {
	if e.step != begun {
		limit := time.NewTimer(time.Minute)
		defer limit.Stop()
		select {
		case <-e.cut:
		case <-limit.C:
			return fmt.Errorf("%s never came", e.step)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return backoff.Sleep(ctx, e.wait)
}

// again looks at what the cut has left and enrols with the same code.
func (e *enrolment) again(ctx context.Context, argv []string, share string) error {
	look := func(name string) (uplink.Identity, error) {
		folder := filepath.Join(share, name)
		if err := e.m.Call(ctx, "copy", uml.Copy{From: dataFolder, To: uml.Host + "/" + name, Maybe: true}, nil); err != nil {
			return uplink.Identity{}, err
		}
		return uplink.LoadIdentity(folder)
	}
	before, err := look("cut")
	if err != nil && !errors.Is(err, uplink.ErrNotEnrolled) {
		return fmt.Errorf("after a cut when %s: %w", e.step, err)
	}
	var done uml.Exited
	if err := e.m.Call(ctx, "exec", uml.Exec{Argv: argv}, &done); err != nil {
		return err
	}
	if done.Code != 0 {
		return fmt.Errorf("after a cut when %s the same code is of no use: %s", e.step, done.Out)
	}
	after, err := look("again")
	if err != nil {
		return fmt.Errorf("after a cut when %s: %w", e.step, err)
	}
	if before.Agent != "" && before.Agent != after.Agent {
		return fmt.Errorf("after a cut when %s the agent %s became %s", e.step, before.Agent, after.Agent)
	}
	if _, err := os.Stat(filepath.Join(share, "again", "identity.pending.json")); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(errors.New("the keys of the attempt are still there"), err)
	}
	return nil
}

// heard lets the real cloud answer, and gives the sign for the cut.
func (e *enrolment) heard(ctx context.Context, kind byte, body []byte) {
	var ask uml.Ask
	if kind != uml.LineAsk || json.Unmarshal(body, &ask) != nil {
		return
	}
	e.mu.Lock()
	e.asked++
	e.mu.Unlock()
	if e.reached(starts, finishes) {
		return // the cloud never hears of it
	}
	a, err := e.forward(ctx, ask)
	if err != nil {
		e.rig.say("%s: %v", e.name, err)
	}
	if e.reached(offered, granted) {
		return
	}
	m := e.m
	go func() {
		// The machine may be gone by now.
		_ = m.Call(ctx, "answer", a, nil)
		e.reached(answered, answered)
	}()
}

// reached says whether the step is this one: the first of the two names at the first request, the second at the second.
func (e *enrolment) reached(first, second step) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := first
	if e.asked > 1 {
		now = second
	}
	if !e.armed || e.step != now || e.step == answered && e.asked < 2 {
		return false
	}
	e.armed = false
	close(e.cut)
	return true
}

func (e *enrolment) forward(ctx context.Context, ask uml.Ask) (uml.Answer, error) {
	a := uml.Answer{ID: ask.ID}
	req, err := http.NewRequestWithContext(ctx, ask.Method, e.rig.cloud.URL+ask.Path, bytes.NewReader(ask.Body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	a.Status, a.Signature = resp.StatusCode, resp.Header.Get(wire.HeaderSignature)
	a.Body, err = io.ReadAll(resp.Body)
	return a, errors.Join(err, resp.Body.Close())
}

// newCode makes a site of its own and a code for it.
func (e *enrolment) newCode(ctx context.Context) (string, error) {
	var site struct {
		ID string `json:"id"`
	}
	if err := e.rig.cloud.Owner.Post(ctx, "/sites", map[string]any{"name": e.name, "timezone": "Europe/Berlin"}, &site); err != nil {
		return "", err
	}
	var made struct {
		Code string `json:"code"`
	}
	err := e.rig.cloud.Owner.Post(ctx, "/sites/"+site.ID+"/codes", nil, &made)
	return made.Code, err
}

func copyConfig(share string) error {
	return os.WriteFile(filepath.Join(share, "holdfast.yaml"), []byte(configOf(1, roomyVolume)), 0o600)
}
