package wire

const windowBits = 1024

// Window admits each counter of a session's requests once. Requests run beside each other and may overtake one
// another, but not by more than 1,024. Its zero value admits any counter from 1 on. Not safe for concurrent use.
type Window struct {
	top  uint64
	seen [windowBits / 64]uint64
}

// Admit reports whether n was not seen before and does not lie too far back, and remembers it.
func (w *Window) Admit(n uint64) bool {
	if n == 0 || (w.top >= windowBits && n <= w.top-windowBits) {
		return false
	}
	if n > w.top {
		w.forget(n)
		w.top = n
	}
	word, bit := n/64%uint64(len(w.seen)), uint64(1)<<(n%64)
	if w.seen[word]&bit != 0 {
		return false
	}
	w.seen[word] |= bit
	return true
}

// forget clears the places of the counters from top+1 to n, which the window reuses.
func (w *Window) forget(n uint64) {
	if n-w.top >= windowBits {
		w.seen = [windowBits / 64]uint64{}
		return
	}
	for i := w.top + 1; i <= n; i++ {
		w.seen[i/64%uint64(len(w.seen))] &^= 1 << (i % 64)
	}
}
