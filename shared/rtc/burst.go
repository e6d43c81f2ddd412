package rtc

import "time"

// A burst brings a newcomer to the live edge, from the site and from the relay alike. Sent at once it would overrun the socket
// buffers on the way, so it pauses after so many bytes: about 85 Mbit/s.
const (
	BurstBytes = 32 << 10
	BurstPause = 3 * time.Millisecond
	// FirstAlone is how much time the key frame at its beginning has for itself: a browser that has pictures after it at hand
	// shows none before the last of them is decoded.
	FirstAlone = 60 * time.Millisecond
	// CatchMost is how long a burst may take to catch up: one that would take longer is not worth it.
	CatchMost = time.Second
)

// OnWire is what RTP, SRTP, UDP and IP make of the bytes of frames.
const OnWire = 1.07
