package camera

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"

	"holdfast/agent/media"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// ErrNoFootage is wrapped by what Archive.Fetch returns when the device holds no video of the time.
var ErrNoFootage = errors.New("no video of that time")

// ErrBusy is wrapped by what Archive.Fetch returns when the device has no session to spare, or needed it back for
// something more important: another try in some minutes may find one.
var ErrBusy = errors.New("no session to spare")

// ArchiveConfig says where a device replays what it keeps of a stream.
type ArchiveConfig struct {
	// Source is its address. Where it holds {start} and {end}, the times of the range are put there; else the device is
	// asked by Range: clock= (RFC 2326 section 3.7), with the extensions of ONVIF (Streaming Specification, replay).
	Source Source
	Camera id.Camera      // whose pictures it holds
	Zone   *time.Location // of the times in the address; nil means UTC
	Rate   int64          // bytes a second that are fetched at most; 0 means 5 MB
}

// Archive is a place from which footage of the past is fetched, over one session of the lowest class at a time: a
// recorder's disks, or the card in a camera.
type Archive struct {
	owner *Cameras
	cfg   ArchiveConfig
	tap   *tap
	plain bool // the device knows nothing of ONVIF's replay: it is asked without
	// aside is how far the device's clock is ahead, by the Date of its answers.
	aside time.Duration
}

// NewArchive prepares an archive; nothing is dialled before Fetch.
func (c *Cameras) NewArchive(cfg ArchiveConfig) *Archive {
	if cfg.Rate == 0 {
		cfg.Rate = 5 << 20
	}
	if cfg.Zone == nil {
		cfg.Zone = time.UTC
	}
	t := &tap{
		source: cfg.Source, dial: dialer{host: cfg.Source.address.Hostname(), networks: c.cfg.Networks, lookup: c.lookup},
		name: "login.archive." + cfg.Source.device(),
	}
	t.digest = c.cfg.Recall != nil && c.cfg.Recall(t.name) == digestKnown
	return &Archive{owner: c, cfg: cfg, tap: t}
}

// patience is how long a fetch waits for a session and for its account: gaps have time.
const patience = 10 * time.Second

// Fetch hands footage of [fromUs, toUs) wall time to take, in decoding order and from the key frame at or before fromUs
// on, if the device has it; what it sends beyond toUs ends the fetch. wallUs is when the frame was captured, by the
// site's clock; guessed says that the device did not tell, and that the first frame was taken to be of fromUs. An error of
// take ends the fetch and is returned. Other errors are sentences for a person; they wrap ErrNoFootage or ErrBusy where
// that is what they mean. For one goroutine at a time.
func (a *Archive) Fetch(ctx context.Context, fromUs, toUs int64, take func(f media.Frame, wallUs int64, guessed bool) error) error {
	err := a.try(ctx, fromUs, toUs, take)
	var status liberrors.ErrClientBadStatusCode
	if !a.plain && errors.As(err, &status) && status.Code == base.StatusOptionNotSupported {
		a.plain = true
		err = a.try(ctx, fromUs, toUs, take)
	}
	var ours *takeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ours):
		return ours.err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return a.inWords(err)
}

// takeError is an error of the one who takes the frames.
type takeError struct{ err error }

func (e *takeError) Error() string { return e.err.Error() }

// try fetches once, with leave to use the account and a session of the device.
func (a *Archive) try(ctx context.Context, fromUs, toUs int64, take func(media.Frame, int64, bool) error) error {
	t, source := a.tap, a.cfg.Source
	var why failure
	waits := func(f failure) { why = f }
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	try, err := a.owner.gate.await(wait, source.account(), t.heard, waits)
	switch {
	case err != nil && why.text == "": // the device is just being connected to for its recording
		return &told{err: errors.Join(err, ErrBusy)}
	case err != nil:
		return &told{failure: why, err: err}
	}
	defer func() { try.leave(failure{}) }()
	slot, err := a.owner.budget.take(wait, source.device(), filling, t.nth, waits)
	if err != nil {
		return &told{failure: why, err: errors.Join(err, ErrBusy)}
	}
	defer slot.release()
	session, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		select {
		case <-slot.evicted:
			end(errEvicted)
		case <-session.Done():
		}
	}()
	r := newReplay(a, slot, fromUs, toUs, take)
	err = r.run(session, try)
	switch {
	case r.accepted:
		t.heard = accepted
	case unauthorized(err):
		try.fail(classify(err, source, r.setup))
		if t.heard != accepted {
			t.heard = denied
		}
	}
	if noSession(err, r.setup) {
		t.nth = slot.refuse(t.nth)
	} else if r.playing {
		t.nth = 0
	}
	return err
}

// told is an error for which there are words already; it may be none of the device's.
type told struct {
	failure
	err error
}

func (e *told) Error() string { return e.text }
func (e *told) Unwrap() error { return e.err }

// inWords turns an error into one whose text a person understands.
func (a *Archive) inWords(err error) error {
	host := a.cfg.Source.address.Host
	say := func(kind error, format string, args ...any) error {
		return &told{failure{text: fmt.Sprintf(format, args...)}, errors.Join(kind, err)}
	}
	var status liberrors.ErrClientBadStatusCode
	var have *told
	switch {
	case errors.As(err, &have) && have.text != "":
		return have
	case errors.Is(err, ErrBusy):
		return say(ErrBusy, "%s has no session to spare now; recording goes first, and the agent asks again.", host)
	case errors.Is(err, errEvicted):
		return say(ErrBusy, "%s was needed for something that goes first; the agent asks again.", host)
	case errors.As(err, &status):
		return a.statusInWords(status, say)
	}
	return say(nil, "%s", classify(err, a.cfg.Source, true).text)
}

func (a *Archive) statusInWords(status liberrors.ErrClientBadStatusCode, say func(error, string, ...any) error) error {
	host := a.cfg.Source.address.Host
	switch code := status.Code; {
	case code == base.StatusInvalidRange:
		return say(ErrNoFootage, "%s keeps no video of that time (457).", host)
	case noRoom(code, true):
		return say(ErrBusy, "%s takes no more viewers (%d). Recording goes first; the agent asks again.", host, code)
	case code == base.StatusSessionNotFound:
		return say(nil, "%s has forgotten the session (454); the agent asks again.", host)
	case code == base.StatusNotFound:
		return say(nil, "%s has no archive at %s (404). Check archive in holdfast.yaml.", host, a.cfg.Source.address.Path)
	case code == base.StatusNotImplemented, code == base.StatusMethodNotAllowed, code == base.StatusOptionNotSupported,
		code == base.StatusHeaderFieldNotValidForResource:
		return say(nil, "%s can't replay by time at this address (%d). Check archive in holdfast.yaml, or leave it out.", host, code)
	}
	return say(nil, "%s", classifyStatus(status, a.cfg.Source, true).text)
}

// clockAhead returns by how much the device's clock is ahead of the run's timeline: by its reports while it was watched
// live, else by the dates of its answers; 0 when it never told, or when its clock is none.
func (a *Archive) clockAhead() time.Duration {
	c := a.owner
	host := a.cfg.Source.device()
	drift := time.Duration(c.clock.Drift()) * time.Microsecond
	best := a.aside
	for _, s := range c.streams {
		s.mu.Lock()
		ours := s.active != nil && s.active.tap.source.device() == host
		ahead, known := s.health.clock.offset()
		s.mu.Unlock()
		switch {
		case !ours || !known:
		case s.id.Camera == a.cfg.Camera: // behind one address there may be several devices
			return ahead + drift
		default:
			best = ahead
		}
	}
	return best + drift
}

// heardDate learns the device's clock from an answer (RFC 2326 section 12.18). Its seconds are whole.
func (a *Archive) heardDate(res *base.Response) {
	v := res.Header["Date"]
	if len(v) == 0 {
		return
	}
	at, err := time.Parse(time.RFC1123, v[0])
	if err != nil {
		return
	}
	a.aside = time.Until(at.Add(500 * time.Millisecond))
	if a.aside.Abs() < 1500*time.Millisecond || a.aside.Abs() > skewNone {
		a.aside = 0
	}
}

// dated says that the address itself holds the times.
func (s Source) dated() bool { return strings.Contains(s.address.Path+s.address.RawQuery, "{start") }

// at returns the address for a range on the device's clock.
func (a *Archive) at(from, to time.Time) *base.URL {
	u := a.cfg.Source.url()
	u.Path = putTime(putTime(u.Path, "start", from.In(a.cfg.Zone)), "end", to.In(a.cfg.Zone))
	u.RawPath = ""
	u.RawQuery = putTime(putTime(u.RawQuery, "start", from.In(a.cfg.Zone)), "end", to.In(a.cfg.Zone))
	return u
}

// putTime replaces {name} by a time as RTSP writes it, and {name:YYYY-MM-DD hh:mm:ss} by one of that shape.
func putTime(s, name string, at time.Time) string {
	at = at.Truncate(time.Second)
	shape := "20060102T150405"
	if at.Location() == time.UTC {
		shape += "Z"
	}
	s = strings.ReplaceAll(s, "{"+name+"}", at.Format(shape))
	for {
		begin := strings.Index(s, "{"+name+":")
		if begin < 0 {
			return s
		}
		end := strings.IndexByte(s[begin:], '}')
		if end < 0 {
			return s
		}
		layout := strings.NewReplacer("YYYY", "2006", "MM", "01", "DD", "02", "hh", "15", "mm", "04", "ss", "05").
			Replace(s[begin+len(name)+2 : begin+end])
		s = s[:begin] + strings.ReplaceAll(url.QueryEscape(at.Format(layout)), "+", "%20") + s[begin+end+1:]
	}
}

// CheckArchive says what is wrong with the address of an archive, nil when nothing is.
func CheckArchive(s Source) error {
	text := s.address.Path + s.address.RawQuery
	if strings.Contains(text, "{start") != strings.Contains(text, "{end") {
		return errors.New("the address holds one of {start} and {end}: write both, or none")
	}
	if strings.Contains(text, "{") && putTime(putTime(text, "start", time.Now()), "end", time.Now()) == text {
		return errors.New("the address holds a bracket that is neither {start} nor {end}, nor one with a shape like {start:YYYYMMDDhhmmss}")
	}
	if s.udp {
		return errors.New("footage is fetched over TCP alone: leave transport: udp out for this source")
	}
	return nil
}

// elsewhen says that a device sends another time than the one that was asked for.
func (a *Archive) elsewhen(askedUs, gotUs int64) error {
	const shape = "2006-01-02 15:04:05"
	return &told{failure{wire.DecodeError, fmt.Sprintf("%s was asked for %s and sends %s UTC. Check its clock, and archive in holdfast.yaml.", a.cfg.Source.address.Host,
		time.UnixMicro(askedUs).UTC().Format(shape), time.UnixMicro(gotUs).UTC().Format(shape)), 0}, nil}
}
