package live

import "testing"

func TestTurned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		atUs, seenUs int64
		times        float64
		want         int64
	}{
		{10_000_000, 9_700_000, -1, 9_400_000},
		{10_000_000, 9_700_000, -4, 8_500_000}, // 4 times as fast the other way
		{10_000_000, 9_200_000, -0.25, 9_000_000},
		{10_000_000, 0, -1, 10_000_000},          // an older viewer
		{10_000_000, 10_200_000, -1, 10_000_000}, // nobody sees what was not sent
		{10_000_000, 1, -1, 10_000_000},
		{10_000_000, -1 << 63, -16, 10_000_000},
	} {
		if got := turned(c.atUs, c.seenUs, c.times); got != c.want {
			t.Errorf("at %d, seen %d, %g times as fast: it turns at %d, want %d", c.atUs, c.seenUs, c.times, got, c.want)
		}
	}
}
