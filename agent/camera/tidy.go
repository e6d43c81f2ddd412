package camera

import (
	"mime"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
)

// tidy makes an answer one that the RTSP library can go by: a session's life leaves time for two keepalives, and a description
// is freed of what keeps it from being read. It returns the session that the answer names, and its life as the device meant
// it; nothing where it names none.
func tidy(res *base.Response) (id string, life time.Duration) {
	if v := res.Header["Session"]; len(v) > 0 {
		id, _, _ = strings.Cut(v[0], ";")
		res.Header["Session"], life = halve(v)
	}
	for _, v := range res.Header["Content-Type"] {
		if kind, _, _ := mime.ParseMediaType(v); kind == "application/sdp" {
			res.Body = repairSDP(res.Body)
			break
		}
	}
	return id, life
}

// maxQuestions is how many requests of its own a device may make in one session.
const maxQuestions = 1000

// questions counts the requests of a device: the RTSP library answers them all, without end.
type questions int

// asked takes one more; a device that asks too many loses its line.
func (q *questions) asked(l *line) {
	if *q++; *q > maxQuestions && l != nil {
		_ = l.broke(errEndless)
		l.abort()
	}
}
