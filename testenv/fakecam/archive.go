package fakecam

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	rtspconn "github.com/bluenviron/gortsplib/v4/pkg/conn"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
)

// archive is the port at which all cameras replay their cards: RTSP over TCP, by range of time. Those that speak TLS have a
// port each.
type archive struct {
	server *Server
	ln     net.Listener
	secure map[*tls.Certificate]net.Listener
	wg     sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{}
	shut bool
}

func newArchive(s *Server) (*archive, error) {
	a := &archive{server: s, secure: map[*tls.Certificate]net.Listener{}, open: map[net.Conn]struct{}{}}
	var err error
	a.ln, err = a.listen()
	return a, err
}

func (a *archive) listen() (net.Listener, error) {
	host, _, err := net.SplitHostPort(a.server.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("read address %q: %w", a.server.cfg.Listen, err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen for replays: %w", err)
	}
	return ln, nil
}

// lock opens a port for the cameras that show a certificate.
func (a *archive) lock(cert *tls.Certificate) error {
	if cert == nil || a.secure[cert] != nil {
		return nil
	}
	ln, err := a.listen()
	if err == nil {
		a.secure[cert] = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12})
	}
	return err
}

// serve takes connections until close.
func (a *archive) serve() {
	var ports sync.WaitGroup
	for cert, ln := range a.secure {
		ports.Go(func() { a.accept(ln, cert) })
	}
	a.accept(a.ln, nil)
	ports.Wait()
}

func (a *archive) accept(ln net.Listener, cert *tls.Certificate) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		if a.shut {
			_ = c.Close()
			a.mu.Unlock()
			return
		}
		a.open[c] = struct{}{}
		a.wg.Go(func() {
			r := &replay{archive: a, cert: cert, nc: c, c: rtspconn.NewConn(c), over: make(chan struct{})}
			r.serve()
			a.mu.Lock()
			defer a.mu.Unlock()
			delete(a.open, c)
		})
		a.mu.Unlock()
	}
}

// close ends all replays. Safe to call twice.
func (a *archive) close() {
	_ = a.ln.Close()
	for _, ln := range a.secure {
		_ = ln.Close()
	}
	a.mu.Lock()
	a.shut = true
	for c := range a.open {
		_ = c.Close()
	}
	a.mu.Unlock()
	a.wg.Wait()
}

// replay is one client of the archive.
type replay struct {
	archive *archive
	cert    *tls.Certificate // of the port; nil when it is not encrypted
	nc      net.Conn
	c       *rtspconn.Conn
	stream  *Stream // of the first request that named one
	out     *output // what is described
	session string
	chans   [2]int // of video and sound; -1 when not set up
	over    chan struct{}
	players sync.WaitGroup
	ended   atomic.Bool

	write sync.Mutex
	buf   []byte
}

// serve answers requests until the client goes.
func (r *replay) serve() {
	r.chans = [2]int{-1, -1}
	defer func() {
		close(r.over)
		_ = r.nc.Close()
		r.players.Wait()
		if r.session != "" {
			r.stream.camera.replays.Add(-1)
			if !r.ended.Load() {
				r.stream.camera.count(func(t *Tally) { t.Lost++ })
			}
		}
	}()
	for {
		got, err := r.c.Read()
		if err != nil {
			return
		}
		req, ok := got.(*base.Request)
		if !ok {
			continue // the client's RTCP
		}
		if req.URL != nil && r.stream == nil {
			r.stream = (&handler{r.archive.server}).find(req.URL.Path)
			if r.stream != nil && r.stream.camera.cfg.TLS != r.cert {
				r.stream = nil // it is at another port
			}
		}
		if r.stream != nil {
			switch k := r.stream.camera.Knobs(); {
			case k.Offline || k.Unplugged:
				abort(r.nc)
				return
			case k.Silent:
				continue
			}
		}
		res, then := r.answer(req)
		if r.reply(req, res) != nil {
			return
		}
		if then != nil {
			r.players.Go(then)
		}
		if r.ended.Load() {
			return
		}
	}
}

func (r *replay) reply(req *base.Request, res *base.Response) error {
	if res.Header == nil {
		res.Header = base.Header{}
	}
	res.Header["CSeq"] = req.Header["CSeq"]
	if r.stream != nil {
		clock := time.Now().Add(time.Duration(r.stream.camera.Knobs().NTPOffsetMs) * time.Millisecond)
		res.Header["Date"] = base.HeaderValue{clock.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
	}
	if r.session != "" {
		res.Header["Session"] = base.HeaderValue{r.session + ";timeout=60"}
	}
	r.write.Lock()
	defer r.write.Unlock()
	return r.c.WriteResponse(res)
}

// answer does what a request asks for; then is to be run once the answer has been sent.
func (r *replay) answer(req *base.Request) (res *base.Response, then func()) {
	if req.Method == base.Options {
		return &base.Response{StatusCode: base.StatusOK, Header: base.Header{
			"Public": base.HeaderValue{"OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"},
		}}, nil
	}
	if r.stream == nil || r.stream.card.keep == 0 {
		return answer(base.StatusNotFound), nil
	}
	cam := r.stream.camera
	if refusal := cam.login(req); refusal != nil {
		return refusal, nil
	}
	k := cam.Knobs()
	if k.ArchiveRefuse != 0 && k.ArchiveRefuseAt == string(req.Method) {
		return answer(base.StatusCode(k.ArchiveRefuse)), nil
	}
	if k.ArchivePlain && len(req.Header["Require"]) > 0 {
		res := answer(base.StatusOptionNotSupported)
		res.Header["Unsupported"] = req.Header["Require"]
		return res, nil
	}
	switch req.Method {
	case base.Describe:
		return r.describe(req), nil
	case base.Setup:
		return r.setup(req), nil
	case base.Play:
		return r.play(req, k)
	case base.GetParameter:
		return answer(base.StatusOK), nil
	case base.Teardown:
		if r.session != "" && !r.ended.Swap(true) {
			cam.count(func(t *Tally) { t.Teardowns++ })
		}
		return answer(base.StatusOK), nil
	}
	return answer(base.StatusNotImplemented), nil
}

func (r *replay) describe(req *base.Request) *base.Response {
	cam := r.stream.camera
	cam.count(func(t *Tally) { t.Describes++ })
	out, err := newOutput(r.stream.Loop(), cam.cfg, 0)
	if err != nil {
		return answer(base.StatusInternalServerError)
	}
	r.out = out
	desc := description.Session{Title: "IP Camera", Medias: []*description.Media{out.video.media}}
	out.video.media.Control = "trackID=0"
	if out.audio.media != nil {
		out.audio.media.Control = "trackID=1"
		desc.Medias = append(desc.Medias, out.audio.media)
	}
	body, err := desc.Marshal(false)
	if err != nil {
		return answer(base.StatusInternalServerError)
	}
	res := answer(base.StatusOK)
	res.Header["Content-Base"] = base.HeaderValue{req.URL.String() + "/"}
	res.Header["Content-Type"] = base.HeaderValue{"application/sdp"}
	res.Body = body
	return res
}

func (r *replay) setup(req *base.Request) *base.Response {
	var t headers.Transport
	if r.out == nil || t.Unmarshal(req.Header["Transport"]) != nil || t.Protocol != headers.TransportProtocolTCP || t.InterleavedIDs == nil {
		return answer(base.StatusUnsupportedTransport)
	}
	cam := r.stream.camera
	if r.session == "" {
		if !cam.room(cam.Sessions(), time.Now()) {
			return answer(base.StatusNotEnoughBandwidth)
		}
		var b [8]byte
		_, _ = rand.Read(b[:])
		r.session = hex.EncodeToString(b[:])
		cam.replays.Add(1)
	}
	track := 0
	if strings.HasSuffix(req.URL.Path, "trackID=1") {
		track = 1
	}
	r.chans[track] = t.InterleavedIDs[0]
	res := answer(base.StatusOK)
	res.Header["Transport"] = base.HeaderValue{fmt.Sprintf("RTP/AVP/TCP;unicast;interleaved=%d-%d", t.InterleavedIDs[0], t.InterleavedIDs[0]+1)}
	return res
}
