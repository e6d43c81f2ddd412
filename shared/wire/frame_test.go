package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"holdfast/shared/id"
)

const (
	nowUs    = int64(1_800_000_000_000_000)
	expireUs = nowUs + 60_000_000
)

func seal(t *testing.T, s *Sealer, typ FrameType, msg any, body []byte) []byte {
	t.Helper()
	f, err := s.Seal(typ, msg, body, expireUs)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantRefusal(t *testing.T, err error, code RefusalCode) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Fatalf("error %v, want a refusal with code %q", err, code)
	}
}

func TestFrameRoundTrip(t *testing.T) {
	ses := id.New[id.Session]()
	s, o := NewSealer(seedKey('a'), ses, Up), NewOpener(public(seedKey('a')), ses, Up)
	for i := range 3 {
		got, err := o.Open(seal(t, s, FrameReply, Reply{ID: int64(i)}, []byte("body")), nowUs)
		if err != nil || got.Type != FrameReply || string(got.Body) != "body" {
			t.Fatalf("frame %d = %+v, %v", i, got, err)
		}
		var r Reply
		if err := Decode(got.Message, &r); err != nil || r.ID != int64(i) {
			t.Fatalf("message %+v, %v", r, err)
		}
	}
}

func TestFrameRefusals(t *testing.T) {
	ses := id.New[id.Session]()
	open := func(frame []byte, session id.Session, d Direction, before int, now int64) error {
		o := NewOpener(public(seedKey('a')), session, d)
		o.counter = uint64(before)
		_, err := o.Open(frame, now)
		return err
	}
	frame := seal(t, NewSealer(seedKey('a'), ses, Up), FrameBye, Bye{}, nil)
	if err := open(frame, ses, Up, 0, nowUs); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, open(frame, ses, Up, 1, nowUs), RefusedReplay)
	wantRefusal(t, open(frame, ses, Down, 0, nowUs), RefusedReplay)
	wantRefusal(t, open(frame, id.New[id.Session](), Up, 0, nowUs), RefusedReplay)
	wantRefusal(t, open(frame, ses, Up, 0, expireUs), RefusedClock)
	wantRefusal(t, open(frame, ses, Up, 0, nowUs-61_000_000), RefusedClock)
	wantRefusal(t, open(frame[:67], ses, Up, 0, nowUs), RefusedMalformed)
	wantRefusal(t, open(make([]byte, MaxFrameBytes+1), ses, Up, 0, nowUs), RefusedTooLarge)
	for i := range frame {
		bad := bytes.Clone(frame)
		bad[i] ^= 1
		wantRefusal(t, open(bad, ses, Up, 0, nowUs), RefusedSignature)
	}
	s := NewSealer(seedKey('a'), ses, Up)
	first, second := seal(t, s, FrameBye, Bye{}, nil), seal(t, s, FrameBye, Bye{}, nil)
	o := NewOpener(public(seedKey('a')), ses, Up)
	_, err := o.Open(second, nowUs)
	wantRefusal(t, err, RefusedReplay)
	if _, err := o.Open(first, nowUs); err != nil {
		t.Fatalf("the frame that was due: %v", err)
	}
}

func TestSealRefusesALargeFrame(t *testing.T) {
	s := NewSealer(seedKey('a'), id.New[id.Session](), Up)
	if _, err := s.Seal(FrameReply, Reply{}, make([]byte, MaxFrameBytes), expireUs); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Fatalf("Seal = %v", err)
	}
	if _, err := s.Seal(FrameReply, func() {}, nil, expireUs); err == nil {
		t.Fatal("a func was sealed")
	}
	if s.counter != 0 {
		t.Fatal("a refused frame took a number")
	}
}
