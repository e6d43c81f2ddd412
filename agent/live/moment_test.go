package live

import "testing"

func TestTurned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		atUs, seenUs int64
		rate, next   float64
		want         int64
	}{
		{10_000_000, 9_700_000, 1, -1, 9_400_000},
		{10_000_000, 9_700_000, 1, -4, 8_500_000}, // 4 times as fast the other way
		{10_000_000, 9_200_000, 4, -1, 9_000_000},
		{10_000_000, 7_600_000, 16, -16, 5_200_000}, // 150 ms on the screen
		{10_000_000, 0, 1, -1, 10_000_000},          // an older viewer
		{10_000_000, 10_200_000, 1, -1, 10_000_000}, // nobody sees what was not sent
		{10_000_000, 1, 1, -1, 10_000_000},
		{10_000_000, -1 << 63, 1, -16, 10_000_000},
	} {
		if got := turned(c.atUs, c.seenUs, c.rate, c.next); got != c.want {
			t.Errorf("at %d, seen %d, from %g to %g times: it turns at %d, want %d", c.atUs, c.seenUs, c.rate, c.next, got, c.want)
		}
	}
}
