package relay

// timing makes the times of a film out of RTP times, in ticks of 90 kHz. A picture is sent when it is there, and so before it
// is known when the next one comes; but a player takes a hole in time, or a picture that comes much later than the one before
// was said to end, for the loss of all that follows until the next key frame (W3C Media Source Extensions, "coded frame
// processing", step 1.6). So each picture begins where the one before was said to end, and lasts as long as brings the film
// back to the camera's time: what lies between two cameras' pictures is met to a fraction of a picture.
type timing struct {
	out  int64 // end of the last picture
	typ  int64 // how long a picture usually lasts; 0: not known
	last int64 // how long the one before took
	// The film's time of a moment of the stream.
	some     bool
	in, from int64 // RTP time, made long, and film time that belong together
	before   int64 // RTP time of the last picture, made long
}

const (
	leastTicks = videoClock / 1000 // a picture of a burst
	guessTicks = videoClock / 25
	offTicks   = videoClock / 2 // further away than this the film's time is set anew
)

// long makes an RTP time, which wraps, one that goes on from the last picture's.
func (t *timing) long(stamp uint32) int64 { return t.before + int64(int32(stamp-uint32(t.before))) }

// cut says that the next picture's RTP time has nothing to do with the last one's.
func (t *timing) cut() { t.some, t.last = false, 0 }

// place gives a picture its time in the film, and says how long it lasts. burst: it is one of many that come at once, before
// the one that is now. jump lets the film's time go on where it would be by the camera's, instead of waiting for that: only a
// key frame may, and only where sound goes on without pictures.
func (t *timing) place(stamp uint32, burst, jump bool) (at, lasts int64) {
	in := t.long(stamp)
	delta := in - t.before
	at = t.out
	switch {
	case burst:
		t.some, t.before = false, in
		t.out += leastTicks
		return at, leastTicks
	case !t.some:
		t.some, t.in, t.from = true, in, at
	case delta > 0:
		if t.last > 0 {
			t.typ = min(delta, t.last) // one that is missing makes the time between two others long: it is not usual
		}
		t.last = delta
	}
	t.before = in
	off := t.from + in - t.in - at // how far behind the camera's time the film is
	switch {
	case off > offTicks && jump:
		at, off = at+off, 0
	case off > offTicks || off < -offTicks:
		t.in, t.from, off = in, at, 0
	}
	typ := t.typ
	if typ == 0 {
		typ = guessTicks
	}
	lasts = max(leastTicks, min(max(typ+off, typ/2), 2*typ))
	t.out = at + lasts
	return at, lasts
}

// turn is after how many ticks an RTP time of any sound may be the same again: 1.6 hours, a part of what 32 bits hold at the
// clocks of 8, 48 and 90 kHz.
const turn = 1 << 29

// moment is the film's time, in ticks, of an RTP time of sound, whose clock has so many units per second and begins with that
// of the pictures; false while no picture says where that is.
func (t *timing) moment(stamp uint32, clock int64) (int64, bool) {
	off := (int64(stamp)*videoClock/clock - t.before) % turn
	switch {
	case off >= turn/2:
		off -= turn
	case off < -turn/2:
		off += turn
	}
	return t.from + t.before + off - t.in, t.some
}
