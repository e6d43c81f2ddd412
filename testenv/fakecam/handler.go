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
	seenUs atomic.Int64 // when the client last showed that it is there
}

func (s *session) touch() { s.seenUs.Store(time.Now().UnixMicro()) }

// handler answers RTSP requests for the house.
type handler struct{ *Server }

// OnRequest implements gortsplib.ServerHandlerOnRequest.
func (h *handler) OnRequest(sc *gortsplib.ServerConn, req *base.Request) {
	if ss := sc.Session(); ss != nil {
		if s := h.session(ss); s != nil {
			s.touch()
		}
	}
	n, ok := sc.NetConn().(*conn)
	if !ok || req.URL == nil {
		return
	}
	if st := h.find(req.URL.Path); st != nil {
		st.camera.adopt(n)
	}
	if cam := n.camera.Load(); cam != nil && cam.Knobs().Offline {
		n.reset()
	}
}

// OnResponse implements gortsplib.ServerHandlerOnResponse: it adds what the server leaves out.
func (h *handler) OnResponse(sc *gortsplib.ServerConn, res *base.Response) {
	res.Header["Server"] = base.HeaderValue{"IP Camera"}
	var s headers.Session
	if v, ok := res.Header["Session"]; ok && s.Unmarshal(v) == nil {
		secs := uint(h.cfg.SessionTimeout / time.Second)
		s.Timeout = &secs
		res.Header["Session"] = s.Marshal()
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
	}
	st.report.Store(true)
	return answer(base.StatusOK), nil
}

// OnPause implements gortsplib.ServerHandlerOnPause.
func (h *handler) OnPause(*gortsplib.ServerHandlerOnPauseCtx) (*base.Response, error) {
	return answer(base.StatusOK), nil
}

// OnGetParameter implements gortsplib.ServerHandlerOnGetParameter: clients use it to stay alive.
func (h *handler) OnGetParameter(ctx *gortsplib.ServerHandlerOnGetParameterCtx) (*base.Response, error) {
	st := h.find(ctx.Path)
	if st == nil && ctx.Session != nil {
		if s := h.session(ctx.Session); s != nil {
			st = s.stream
		}
	}
	if st == nil {
		return answer(base.StatusNotFound), nil
	}
	if status := st.camera.Knobs().AliveStatus; status != 0 {
		return answer(base.StatusCode(status)), nil
	}
	if refusal := st.camera.login(ctx.Request); refusal != nil {
		return refusal, nil
	}
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
	var torn liberrors.ErrServerSessionTornDown
	if errors.As(ctx.Error, &torn) {
		s.stream.camera.count(func(t *Tally) { t.Teardowns++ })
	} else {
		s.stream.camera.lost(time.Now())
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
	if h.cfg.MaxSessions > 0 && len(h.sessions) >= h.cfg.MaxSessions || !st.camera.room(n, time.Now()) {
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

// Sessions returns how many sessions the camera has now.
func (c *Camera) Sessions() int { return len(c.server.sessionsOf(c)) }

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
