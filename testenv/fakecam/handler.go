package fakecam

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/pion/rtcp"
)

// session is one client's RTSP session.
type session struct {
	stream *Stream
	speech atomic.Pointer[speech] // nil until it is at the loudspeaker
	id     atomic.Pointer[string] // as the client knows it
	seenUs atomic.Int64           // when the client last showed that it is there
}

func (s *session) touch() { s.seenUs.Store(time.Now().UnixMicro()) }

// handler answers RTSP requests for the house.
type handler struct{ *Server }

// OnRequest implements gortsplib.ServerHandlerOnRequest.
func (h *handler) OnRequest(sc *gortsplib.ServerConn, req *base.Request) {
	n, ok := sc.NetConn().(*conn)
	if !ok {
		return
	}
	n.asked = req
	if s := h.session(sc.Session()); s != nil {
		if !isAlive(req) {
			s.touch()
		}
	}
	if req.URL == nil {
		return
	}
	if st := h.find(req.URL.Path); st != nil {
		st.camera.adopt(n)
	}
	if cam := n.camera.Load(); cam != nil {
		k := cam.Knobs()
		if k.Offline || k.Unplugged {
			n.reset()
		}
		if k.TalkAlways {
			offerAlways(req)
		}
	}
}

// isAlive says whether a request can only be meant to keep a session alive.
func isAlive(req *base.Request) bool {
	return len(req.Header["Session"]) > 0 && (req.Method == base.Options || req.Method == base.GetParameter)
}

// OnResponse implements gortsplib.ServerHandlerOnResponse: it adds what the server leaves out, and is the camera's
// own mind about what the server answers by itself.
func (h *handler) OnResponse(sc *gortsplib.ServerConn, res *base.Response) {
	if n, ok := sc.NetConn().(*conn); ok && n.asked != nil {
		h.amend(sc, n, res)
	}
	res.Header["Server"] = base.HeaderValue{"IP Camera"}
	var s headers.Session
	if v, ok := res.Header["Session"]; ok && s.Unmarshal(v) == nil {
		secs := uint(h.cfg.SessionTimeout / time.Second)
		s.Timeout = &secs
		res.Header["Session"] = s.Marshal()
		if had := h.session(sc.Session()); had != nil {
			had.id.Store(&s.Session)
		}
	}
}

// amend answers keepalives as the camera's knobs say, and TEARDOWN of a session whose connection is gone.
func (h *handler) amend(sc *gortsplib.ServerConn, n *conn, res *base.Response) {
	cam := n.camera.Load()
	if cam == nil {
		return
	}
	req, k := n.asked, cam.Knobs()
	if public := res.Header["Public"]; len(public) == 1 && k.HideGetParameter {
		res.Header["Public"] = base.HeaderValue{strings.Replace(public[0], "GET_PARAMETER, ", "", 1)}
	}
	var id string
	if v := req.Header["Session"]; len(v) > 0 {
		id, _, _ = strings.Cut(v[0], ";")
	}
	if req.Method == base.Teardown && id != "" && cam.login(req) == nil && cam.free(id) {
		res.StatusCode, res.StatusMessage = base.StatusOK, ""
	}
	s := h.session(sc.Session())
	if !isAlive(req) || s == nil {
		return
	}
	n.mum.Store(k.AliveMute)
	refusal := cam.login(req)
	counts := k.AliveMethod == "" || k.AliveMethod == string(req.Method)
	switch {
	case refusal != nil:
		res.StatusCode, res.StatusMessage = refusal.StatusCode, ""
		res.Header["WWW-Authenticate"] = refusal.Header["WWW-Authenticate"]
	case counts:
		s.touch()
	}
	if k.AliveStatus != 0 && (!counts || k.AliveMethod == "") {
		res.StatusCode, res.StatusMessage = base.StatusCode(k.AliveStatus), ""
	}
}

// OnDescribe implements gortsplib.ServerHandlerOnDescribe.
func (h *handler) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if st := h.find(ctx.Path); st != nil {
		st.camera.count(func(t *Tally) { t.Describes++ })
	}
	st, refusal := h.admit(ctx.Path, ctx.Request)
	if refusal != nil {
		return refusal, nil, nil
	}
	h.linger(st.camera)
	out := st.output()
	if out == nil {
		return answer(base.StatusServiceUnavailable), nil, nil
	}
	return answer(base.StatusOK), out.stream, nil
}

// OnSetup implements gortsplib.ServerHandlerOnSetup.
func (h *handler) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	st, refusal := h.admit(ctx.Path, ctx.Request)
	if refusal != nil {
		return refusal, nil, nil
	}
	// A session keeps the description that it began with.
	if had := ctx.Session.SetuppedStream(); had != nil {
		return answer(base.StatusOK), had, nil
	}
	out := st.output()
	if out == nil {
		return answer(base.StatusServiceUnavailable), nil, nil
	}
	if !h.begin(ctx.Session, st) {
		return answer(base.StatusNotEnoughBandwidth), nil, nil
	}
	return answer(base.StatusOK), out.stream, nil
}

// OnPlay implements gortsplib.ServerHandlerOnPlay.
func (h *handler) OnPlay(ctx *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	st, refusal := h.admit(ctx.Path, ctx.Request)
	if refusal != nil {
		return refusal, nil
	}
	h.linger(st.camera)
	if s := h.session(ctx.Session); s != nil {
		ctx.Session.OnPacketRTCPAny(func(*description.Media, rtcp.Packet) {
			if !st.camera.Knobs().StrictAlive {
				s.touch()
			}
		})
		s.listen(ctx.Session)
	}
	st.report.Store(true)
	return answer(base.StatusOK), nil
}

// OnPause implements gortsplib.ServerHandlerOnPause.
func (h *handler) OnPause(*gortsplib.ServerHandlerOnPauseCtx) (*base.Response, error) {
	return answer(base.StatusOK), nil
}

// OnGetParameter implements gortsplib.ServerHandlerOnGetParameter: clients use it to stay alive.
func (h *handler) OnGetParameter(*gortsplib.ServerHandlerOnGetParameterCtx) (*base.Response, error) {
	return answer(base.StatusOK), nil
}

// OnSessionClose implements gortsplib.ServerHandlerOnSessionClose.
func (h *handler) OnSessionClose(ctx *gortsplib.ServerHandlerOnSessionCloseCtx) {
	h.mu.Lock()
	s := h.sessions[ctx.Session]
	delete(h.sessions, ctx.Session)
	h.mu.Unlock()
	if s == nil {
		return
	}
	s.hush()
	var torn liberrors.ErrServerSessionTornDown
	if errors.As(ctx.Error, &torn) {
		s.stream.camera.count(func(t *Tally) { t.Teardowns++ })
	} else {
		id := ""
		if p := s.id.Load(); p != nil {
			id = *p
		}
		s.stream.camera.lost(id, time.Now())
	}
	h.log.Debug("session ended", "camera", s.stream.camera.cfg.Name, "stream", s.stream.kind, "why", ctx.Error)
}

// OnStreamWriteError implements gortsplib.ServerHandlerOnStreamWriteError: a client reads too slowly.
func (h *handler) OnStreamWriteError(ctx *gortsplib.ServerHandlerOnStreamWriteErrorCtx) {
	if s := h.session(ctx.Session); s != nil {
		s.stream.overflow.Add(1)
	}
}

// admit finds the stream of a request and says why the client may not have it, if so.
func (h *handler) admit(path string, req *base.Request) (*Stream, *base.Response) {
	st := h.find(path)
	if st == nil {
		return nil, answer(base.StatusNotFound)
	}
	if refusal := st.camera.login(req); refusal != nil {
		return nil, refusal
	}
	k := st.camera.Knobs()
	if k.Refuse != 0 && k.refusesAt() == string(req.Method) {
		return nil, answer(base.StatusCode(k.Refuse))
	}
	if k.TalkRefuse != 0 && requires(req) {
		return nil, answer(base.StatusCode(k.TalkRefuse))
	}
	return st, nil
}

// find returns the stream of a path such as /cam1/main/trackID=0.
func (h *handler) find(path string) *Stream {
	name, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	kind, _, _ := strings.Cut(rest, "/")
	if cam := h.Camera(name); cam != nil {
		return cam.Stream(kind)
	}
	return nil
}

// linger is a slow camera thinking.
func (h *handler) linger(c *Camera) {
	wait := c.Knobs().slowStart()
	if wait == 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-h.done:
	}
}

// begin counts a new session in, if there is room.
func (h *handler) begin(ss *gortsplib.ServerSession, st *Stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, s := range h.sessions {
		if s.stream.camera == st.camera {
			n++
		}
	}
	n += int(st.camera.replays.Load())
	if !st.camera.room(n, time.Now()) {
		return false
	}
	if h.cfg.MaxSessions > 0 && len(h.sessions) >= h.cfg.MaxSessions {
		st.camera.count(func(t *Tally) { t.Refused++ })
		return false
	}
	s := &session{stream: st}
	s.touch()
	h.sessions[ss] = s
	return true
}

func answer(code base.StatusCode) *base.Response {
	return &base.Response{StatusCode: code, Header: base.Header{}}
}

func (s *Server) session(ss *gortsplib.ServerSession) *session {
	if ss == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[ss]
}

func (s *Server) sessionsOf(c *Camera) []*gortsplib.ServerSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*gortsplib.ServerSession
	for ss, x := range s.sessions {
		if x.stream.camera == c {
			all = append(all, ss)
		}
	}
	return all
}

// Sessions returns how many sessions the camera has now, replays of its card included.
func (c *Camera) Sessions() int { return len(c.server.sessionsOf(c)) + int(c.replays.Load()) }

// expire ends sessions whose client has not been heard of for longer than the session timeout.
func (s *Server) expire() {
	t := time.NewTicker(min(s.cfg.SessionTimeout/4, time.Second))
	defer t.Stop()
	for {
		select {
		case <-s.done:
			return
		case now := <-t.C:
			s.mu.Lock()
			var dead []*gortsplib.ServerSession
			for ss, x := range s.sessions {
				if now.UnixMicro()-x.seenUs.Load() > s.cfg.SessionTimeout.Microseconds() {
					dead = append(dead, ss)
				}
			}
			s.mu.Unlock()
			for _, ss := range dead {
				ss.Close()
			}
		}
	}
}
