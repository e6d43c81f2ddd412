package fakecam

import (
	"context"
)

// Test is what Serve needs of a *testing.T or *testing.B.
type Test interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Serve runs a house of cameras for the length of a test; everything is gone when the test ends.
func Serve(t Test, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatalf("%v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Fatalf("fake cameras: %v", err)
		}
	})
	return s
}
