package fakecam

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"
)

// state is a camera as the control API shows it.
type state struct {
	Name     string                 `json:"name"`
	Number   uint32                 `json:"number"`
	Sessions int                    `json:"sessions"`
	Knobs    Knobs                  `json:"knobs"`
	Tally    Tally                  `json:"tally"`
	Streams  map[string]streamState `json:"streams"`
}

type streamState struct {
	URL      string   `json:"url"`
	Loop     string   `json:"loop"`
	Codec    string   `json:"codec"`
	Width    int      `json:"width"`
	Height   int      `json:"height"`
	Counters Counters `json:"counters"`
}

// action is the body of a POST; each action uses the fields that it needs.
type action struct {
	Ms     int64  `json:"ms"`
	Stream string `json:"stream"`
	Loop   string `json:"loop"`
}

const maxBody = 64 << 10

// Control returns a small HTTP API for the house, without any login: serve it on loopback only.
//
//	GET   /cameras                          all cameras
//	GET   /cameras/{name}                   one
//	PATCH /cameras/{name}                   turn knobs: the fields of Knobs that should change
//	POST  /cameras/{name}/restore           all faults off
//	POST  /cameras/{name}/drop              cut connections and sessions
//	POST  /cameras/{name}/expire-nonce      make Digest logins stale
//	POST  /cameras/{name}/jump              {"ms": 5000} RTP clocks jump
//	POST  /cameras/{name}/outlier           {"ms": -9800000} one frame of each stream is stamped wrong
//	POST  /cameras/{name}/switch            {"stream": "main", "loop": "shop/sub"} other pictures
//	GET   /cameras/{name}/{stream}/sent     the log, ?first=&last= frame numbers
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cameras", func(w http.ResponseWriter, _ *http.Request) {
		all := []state{}
		for _, c := range s.cameras {
			all = append(all, c.state())
		}
		reply(w, all, nil)
	})
	s.handle(mux, "GET /cameras/{name}", func(c *Camera, _ *http.Request) (any, error) { return c.state(), nil })
	s.handle(mux, "PATCH /cameras/{name}", func(c *Camera, r *http.Request) (any, error) {
		var fault error
		err := c.Turn(func(k *Knobs) {
			next := *k
			if fault = read(r, &next); fault == nil {
				*k = next
			}
		})
		return c.state(), errors.Join(fault, err)
	})
	s.handle(mux, "POST /cameras/{name}/{action}", func(c *Camera, r *http.Request) (any, error) {
		var a action
		if err := read(r, &a); err != nil {
			return nil, err
		}
		return c.state(), c.act(r.PathValue("action"), a)
	})
	s.handle(mux, "GET /cameras/{name}/{stream}/sent", func(c *Camera, r *http.Request) (any, error) {
		st := c.Stream(r.PathValue("stream"))
		if st == nil {
			return nil, fmt.Errorf("camera %s has no stream %q; use main or sub", c.cfg.Name, r.PathValue("stream"))
		}
		first, last := number(r, "first", 0), number(r, "last", math.MaxUint64)
		sent := st.Log(first, last)
		if sent == nil {
			sent = []Sent{}
		}
		return sent, nil
	})
	return mux
}

func (c *Camera) act(what string, a action) error {
	d := time.Duration(a.Ms) * time.Millisecond
	switch what {
	case "restore":
		return c.Restore()
	case "drop":
		c.Drop()
	case "expire-nonce":
		return c.ExpireNonce()
	case "jump":
		c.Jump(d)
	case "outlier":
		c.Outlier(d)
	case "switch":
		return c.Switch(a.Stream, a.Loop)
	default:
		return fmt.Errorf("unknown action %q; use restore, drop, expire-nonce, jump, outlier or switch", what)
	}
	return nil
}

func (c *Camera) state() state {
	st := state{
		Name: c.cfg.Name, Number: c.cfg.Number, Sessions: c.Sessions(), Knobs: c.Knobs(), Tally: c.Tally(), Streams: map[string]streamState{},
	}
	for _, s := range c.streams {
		v := s.Loop().Video
		st.Streams[s.kind] = streamState{
			URL: c.URL(s.kind), Loop: s.Loop().Name, Codec: v.Codec.String(), Width: v.Width, Height: v.Height, Counters: s.Counters(),
		}
	}
	return st
}

func (s *Server) handle(mux *http.ServeMux, pattern string, do func(*Camera, *http.Request) (any, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c := s.Camera(r.PathValue("name"))
		if c == nil {
			http.Error(w, fmt.Sprintf("there is no camera %q", r.PathValue("name")), http.StatusNotFound)
			return
		}
		v, err := do(c, r)
		reply(w, v, err)
	})
}

func read(r *http.Request, into any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read request: %w", err)
	}
	return nil
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that went away has nobody to be told.
	_ = json.NewEncoder(w).Encode(v)
}

func number(r *http.Request, name string, otherwise uint64) uint64 {
	n, err := strconv.ParseUint(r.URL.Query().Get(name), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}
