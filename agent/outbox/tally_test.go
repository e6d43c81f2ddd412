package outbox

import (
	"testing"
	"time"
)

func TestTally(t *testing.T) {
	var c tally
	at := time.Unix(1_000_000_030, 0)
	c.add(at, 5)
	c.add(at.Add(10*time.Second), 7)
	for after, want := range map[time.Duration]int64{0: 5, 10 * time.Second: 12, 59 * time.Second: 12, 60 * time.Second: 7, 70 * time.Second: 0} {
		if got := c.minute(at.Add(after)); got != want {
			t.Errorf("%v later: %d, want %d", after, got, want)
		}
	}
	c.add(at.Add(60*time.Second), 1) // the same place as the first
	if got := c.minute(at.Add(60 * time.Second)); got != 8 {
		t.Errorf("a minute later: %d, want 8", got)
	}
}
