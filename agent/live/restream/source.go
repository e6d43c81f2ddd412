package restream

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"

	"holdfast/agent/media"
)

func errUnauthorized() error { return liberrors.ErrServerAuth{} }

// source serves one stream of a camera for as long as programs watch it.
type source struct {
	hub   *media.Hub
	ready chan struct{} // closed when out is there, or why not is known
	over  chan struct{} // closed by end
	once  sync.Once
	said  sync.Once

	out *gortsplib.ServerStream // before ready is closed nobody else reads it
	err error

	params *media.Params
	tracks []*outgoing

	// Under Server.mu.
	readers int
	idleAt  time.Time
}

func newSource(hub *media.Hub) *source {
	return &source{hub: hub, ready: make(chan struct{}), over: make(chan struct{}), idleAt: time.Now()}
}

func (src *source) end() { src.once.Do(func() { close(src.over) }) }

// fail says why there is no stream, if there is none yet.
func (src *source) fail(why string) {
	src.said.Do(func() {
		src.err = errors.New(why)
		close(src.ready)
	})
}

// await returns the stream once it is there.
func (src *source) await() (*gortsplib.ServerStream, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-src.ready:
		return src.out, src.err
	case <-limit.C:
		return nil, errors.New("the camera has sent no video yet")
	}
}

// run pulls the stream until nobody watches it, its parameters change, or ctx ends. Programs then connect anew.
func (src *source) run(ctx context.Context, s *Server) {
	reader := src.hub.Reader(media.Limit{Frames: 600, Bytes: 8 << 20})
	defer reader.Close()
	defer s.forget(src)
	idle := time.NewTicker(time.Second)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-src.over:
			return
		case now := <-idle.C:
			if s.unwatched(src, now) {
				return
			}
		case <-reader.Ready():
			for {
				it, ok := reader.Try()
				if !ok {
					break
				}
				if it.Break == nil && !src.frame(s, &it.Frame) {
					return
				}
			}
		}
	}
}

// unwatched says whether nobody has watched for long; it is forgotten then, so that nobody else finds it.
func (s *Server) unwatched(src *source, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if src.readers > 0 || now.Sub(src.idleAt) < linger {
		return false
	}
	if s.sources[src.hub.Stream()] == src {
		delete(s.sources, src.hub.Stream())
	}
	return true
}

func (s *Server) forget(src *source) {
	s.mu.Lock()
	if s.sources[src.hub.Stream()] == src {
		delete(s.sources, src.hub.Stream())
	}
	s.mu.Unlock()
	src.fail("the camera has sent no video yet")
	if src.out != nil {
		src.out.Close()
	}
}

// frame sends a frame; false when the stream can't go on with it.
func (src *source) frame(s *Server, f *media.Frame) bool {
	switch {
	case src.params == f.Params:
	case src.params == nil:
		if f.Params.Video() == nil {
			return true
		}
		if err := src.open(s, f.Params); err != nil {
			s.log.Warn("a camera can't be served by RTSP", "stream", src.hub.Stream(), "err", err)
			src.fail(err.Error())
			return false
		}
	case !same(src.params, f.Params):
		s.log.Info("a camera changed its way of coding: programs that watch it by RTSP connect anew", "stream", src.hub.Stream())
		return false
	default:
		src.params = f.Params // as before, after another connection
	}
	if f.Track < len(src.tracks) && src.tracks[f.Track] != nil {
		src.tracks[f.Track].send(src.out, f, s.deps.Wall)
	}
	return true
}

func same(a, b *media.Params) bool {
	return a.Run == b.Run && slices.EqualFunc(a.Tracks, b.Tracks, func(x, y track) bool { return x.Equal(&y) })
}

// open makes the server's stream for parameters.
func (src *source) open(s *Server, p *media.Params) error {
	desc := &description.Session{Title: "Holdfast"}
	for i := range p.Tracks {
		t, err := newOutgoing(&p.Tracks[i])
		if err != nil {
			return err
		}
		src.tracks = append(src.tracks, t)
		if t != nil {
			desc.Medias = append(desc.Medias, t.media)
		}
	}
	s.mu.Lock()
	server := s.rtsp
	s.mu.Unlock()
	if server == nil {
		return errors.New("the server ends")
	}
	out := &gortsplib.ServerStream{Server: server, Desc: desc}
	if err := out.Initialize(); err != nil {
		return err
	}
	src.params = p
	src.said.Do(func() {
		src.out = out
		close(src.ready)
	})
	return nil
}
