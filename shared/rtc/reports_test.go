package rtc

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

func TestRoundTrip(t *testing.T) {
	sent := time.Date(2026, 7, 1, 12, 0, 0, 250_000_000, time.UTC)
	const epoch = 2208988800
	lsr := uint32(sent.Unix()+epoch)<<16 | 1<<14 // .25
	r := rtcp.ReceptionReport{LastSenderReport: lsr, Delay: 1 << 15}
	if got := RoundTrip(r, sent.Add(620*time.Millisecond)); (got - 120*time.Millisecond).Abs() > time.Millisecond {
		t.Errorf("round trip %v, want 120 ms", got)
	}
	if got := RoundTrip(rtcp.ReceptionReport{}, sent); got != 0 {
		t.Errorf("without a sender report: %v", got)
	}
}

func TestReports(t *testing.T) {
	const usual, slow = 50 * time.Millisecond, 600 * time.Millisecond
	var l Reports
	for n, c := range []struct {
		loss float64
		rtt  time.Duration
		want Health
	}{
		{0, 0, Well},
		{0.01, usual, Well},
		{0.05, usual, Unsure},
		{0.3, usual, Unsure},
		{0.3, usual, Lossy},
		{0.3, usual, Lossy},
		{0, usual, Well}, // one bad one is an accident
		{0, slow, Unsure},
		{0, slow, Unsure},
		{0, slow, Late},
		{0, slow, Unsure},
		{0, usual, Well},
		{0, 0, Well}, // not known
	} {
		if got := l.Judge(c.loss, c.rtt); got != c.want {
			t.Errorf("report %d, %v: %v, want %v", n+1, c, got, c.want)
		}
	}
	if got := Loss(rtcp.ReceptionReport{FractionLost: 64}); got != 0.25 {
		t.Errorf("loss %v", got)
	}
}
