package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/windows/svc"
)

// manager is the other side of a handler: it sees every state, and asks.
type manager struct {
	t        *testing.T
	requests chan svc.ChangeRequest
	changes  chan svc.Status
	done     chan [2]any
}

func manage(t *testing.T, p program) *manager {
	m := &manager{t: t, requests: make(chan svc.ChangeRequest), changes: make(chan svc.Status), done: make(chan [2]any, 1)}
	go func() {
		specific, exit := (&handler{p}).Execute(nil, m.requests, m.changes)
		m.done <- [2]any{specific, exit}
	}()
	return m
}

// sees returns the next status, which must have the state.
func (m *manager) sees(state svc.State) svc.Status {
	m.t.Helper()
	select {
	case s := <-m.changes:
		if s.State != state {
			m.t.Fatalf("state %d, want %d", s.State, state)
		}
		return s
	case r := <-m.done:
		m.t.Fatalf("it ended with %v, want state %d", r, state)
	case <-time.After(10 * time.Second):
		m.t.Fatalf("state %d does not come", state)
	}
	panic("unreachable")
}

// ends checks how the service ended.
func (m *manager) ends(specific bool, exit uint32) {
	m.t.Helper()
	select {
	case r := <-m.done:
		if r != [2]any{specific, exit} {
			m.t.Errorf("it ended with %v, want %v %d", r, specific, exit)
		}
	case s := <-m.changes:
		m.t.Fatalf("state %d, want the end", s.State)
	case <-time.After(10 * time.Second):
		m.t.Fatal("it does not end")
	}
}

func TestServiceEndsInOrder(t *testing.T) {
	for _, cmd := range []svc.Cmd{svc.Stop, svc.Shutdown, svc.PreShutdown} {
		goOn := make(chan struct{})
		m := manage(t, func(ctx context.Context, ready func()) error {
			<-goOn
			ready()
			<-ctx.Done()
			<-goOn
			return nil
		})
		if s := m.sees(svc.StartPending); s.Accepts != 0 || s.WaitHint == 0 {
			t.Errorf("while it starts: %+v", s)
		}
		m.requests <- svc.ChangeRequest{Cmd: svc.Interrogate}
		m.sees(svc.StartPending)
		goOn <- struct{}{}
		if s := m.sees(svc.Running); s.Accepts != svc.AcceptStop|svc.AcceptShutdown|svc.AcceptPreShutdown {
			t.Errorf("while it runs: %+v", s)
		}
		m.requests <- svc.ChangeRequest{Cmd: cmd}
		if s := m.sees(svc.StopPending); s.WaitHint == 0 {
			t.Errorf("while it ends: %+v", s)
		}
		// It takes a while, and says that it goes on.
		if s := m.sees(svc.StopPending); s.CheckPoint == 0 {
			t.Errorf("while it ends: %+v", s)
		}
		goOn <- struct{}{}
		m.ends(false, 0)
	}
}

func TestServiceThatFails(t *testing.T) {
	broken := errors.New("broken")
	m := manage(t, func(context.Context, func()) error { return broken })
	m.sees(svc.StartPending)
	m.ends(true, 1)

	goOn := make(chan struct{})
	m = manage(t, func(_ context.Context, ready func()) error {
		ready()
		<-goOn
		return broken
	})
	m.sees(svc.StartPending)
	m.sees(svc.Running)
	close(goOn)
	m.ends(true, 1)
}
