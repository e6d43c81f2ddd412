package camera

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/agent/media"
	"holdfast/shared/id"
)

// joined is a connection over loopback, whose near end is patient while calm says so.
func joined(t *testing.T, calm func() bool) (near *patient, far net.Conn) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(c.Close(), far.Close()) })
	return newPatient(c, calm), far
}

func TestPatientReadsAllInFewReads(t *testing.T) {
	t.Parallel()
	near, far := joined(t, func() bool { return true })
	const messages = 600
	go func() {
		for i := range messages {
			if _, err := far.Write(bytes.Repeat([]byte{byte(i)}, 700)); err != nil {
				t.Error(err)
				return
			}
			<-time.After(time.Millisecond)
		}
		_ = far.Close()
	}()
	var got []byte
	buf, reads, began := make([]byte, readSize), 0, time.Now()
	for {
		n, err := near.Read(buf)
		got = append(got, buf[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		reads++
	}
	if len(got) != messages*700 {
		t.Fatalf("%d bytes came", len(got))
	}
	for i := range messages {
		if got[i*700] != byte(i) || got[i*700+699] != byte(i) {
			t.Fatalf("message %d is not in its place", i)
		}
	}
	if took := time.Since(began); reads > int(took/beat)+2 {
		t.Errorf("%d reads in %v", reads, took)
	}
}

func TestPatientIsQuickForAViewer(t *testing.T) {
	t.Parallel()
	var watched atomic.Bool
	near, far := joined(t, func() bool { return !watched.Load() })
	buf := make([]byte, 100)
	talk := func(rounds int) time.Duration {
		began := time.Now()
		for i := range rounds {
			if _, err := far.Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
			if n, err := near.Read(buf); n != 1 || err != nil || buf[0] != byte(i) {
				t.Fatalf("%d bytes, %v", n, err)
			}
		}
		return time.Since(began)
	}
	if took := talk(10); took < 8*beat {
		t.Errorf("nobody is in a hurry, and ten messages took %v", took)
	}
	watched.Store(true)
	if took := talk(200); took > 100*beat {
		t.Errorf("somebody watches, and 200 messages took %v", took)
	}
	watched.Store(false)
	talk(3)
}

func TestPatientEnds(t *testing.T) {
	t.Parallel()
	near, _ := joined(t, func() bool { return true })
	if err := near.SetReadDeadline(time.Now().Add(beat)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := near.Read(make([]byte, 10)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("after the deadline: %v", err)
	}
	if err := near.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := near.Read(make([]byte, 10))
		ended <- err
	}()
	if err := near.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
}

// TestNobodyWatches: with only a recorder at the hub frames are read in batches, and none is lost, also while
// viewers come and go.
func TestNobodyWatches(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	hub := r.room.Hub(id.Stream{Camera: r.id, Kind: id.Main})
	reader := hub.Batch(media.Limit{Frames: 10_000, Bytes: 1 << 30})
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var items []media.Item
	var viewer *media.Reader
	for frames := 0; frames < 120; {
		it, err := reader.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
		if it.Break != nil || it.Frame.Track != 0 {
			continue
		}
		reader.Until(it.Frame.MonoUs + 1_000_000)
		switch frames++; frames {
		case 50:
			viewer = hub.Reader(media.Limit{Frames: 10, Bytes: 1 << 20})
		case 80:
			viewer.Close()
		}
	}
	assertStream(t, r, items)
}
