package viewer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"holdfast/shared/backoff"
	"holdfast/testenv/house"
)

// Crowd orders many viewers at once instead of one. They come one after the other, each as the portal does: it makes a
// connection to the site, asks for its camera over it, and goes over to the relay when it is told to.
type Crowd struct {
	Viewers int
	Cameras []string      // the first viewer watches the first one, and so on, again and again
	Every   time.Duration // between two that come
	Settle  time.Duration // from when the last one has its picture: who is to go over to the relay does so
	Hold    time.Duration // they watch together from then on
}

// Seen is what one viewer of a crowd saw.
type Seen struct {
	Camera   string
	Ways     []string      // what served it: "site", "relay", in their order
	First    time.Duration // from the click to the first picture
	Pictures int           // in the time in which all watched
	Missing  int           // pictures that did not come in that time, by the camera's numbers
	Pause    time.Duration // the longest between two pictures in that time
	From, To time.Time     // that time
	Error    string
}

// watchers are the viewers of a crowd on their machine.
type watchers struct {
	order   Order
	browser *house.Client
}

// crowd has them watch.
func crowd(ctx context.Context, o Order) ([]Seen, error) {
	w := &watchers{order: o, browser: house.NewClient(o.Cloud)}
	if err := w.browser.SignIn(ctx, o.Email, o.Password); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Limit)
	defer cancel()
	seen := make([]Seen, o.Crowd.Viewers)
	all, over := make(chan struct{}), make(chan struct{})
	var there, running sync.WaitGroup
	for i := range seen {
		seen[i].Camera = o.Crowd.Cameras[i%len(o.Crowd.Cameras)]
		there.Add(1)
		var once sync.Once
		arrived := func() { once.Do(there.Done) }
		running.Go(func() {
			defer arrived()
			if err := w.one(ctx, &seen[i], arrived, all, over); err != nil {
				seen[i].Error = err.Error()
			}
		})
		if err := backoff.Sleep(ctx, o.Crowd.Every); err != nil {
			break
		}
	}
	there.Wait()
	err := backoff.Sleep(ctx, o.Crowd.Settle)
	close(all)
	err = errors.Join(err, backoff.Sleep(ctx, o.Crowd.Hold))
	close(over)
	running.Wait()
	return seen, err
}

// one is one viewer. It says when it has its picture, counts from when all have theirs, and stays until it is over.
func (w *watchers) one(ctx context.Context, s *Seen, arrived func(), all, over <-chan struct{}) (err error) {
	click := time.Now()
	now, err := w.begin(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, now.leave(w.browser)) }()
	if err := now.view.tally.until(ctx, 1); err != nil {
		return fmt.Errorf("watch through the %s: %w", s.Ways[len(s.Ways)-1], err)
	}
	s.First = time.Since(click)
	arrived()
	told := now.view.tally.told(sentOn)
	for {
		select {
		case <-all:
			all = nil
			now.view.tally.begin()
			continue
		case <-over:
			now.view.tally.sum(s)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-told:
		}
		next, err := w.relayed(ctx, s)
		if err != nil {
			return err
		}
		if err := next.view.tally.until(ctx, 1); err != nil {
			return errors.Join(fmt.Errorf("go over to the relay: %w", err), next.leave(w.browser))
		}
		if all == nil {
			next.view.tally.begin()
		}
		if err := now.leave(w.browser); err != nil {
			return errors.Join(err, next.leave(w.browser))
		}
		now, told = next, next.view.tally.told(sentOn)
	}
}

// sentOn is how the site sends a viewer on to the relay.
const sentOn = `"type":"relay"`

// begin makes the connection to the site and asks for the camera, as a page does whose connection is there before the click.
func (w *watchers) begin(ctx context.Context, s *Seen) (*seat, error) {
	out, err := w.connect(ctx, "either", "")
	if err != nil {
		return nil, err
	}
	s.Ways = append(s.Ways, "site")
	if err := out.view.connected(ctx); err != nil {
		return nil, errors.Join(err, out.leave(w.browser))
	}
	var got struct {
		Relay bool `json:"relay"`
	}
	query := url.Values{"connection": {out.path[strings.LastIndexByte(out.path, '/')+1:]}, "slot": {"0"}, "width": {"1920"}, "codecs": {"h264"}}
	if err := w.browser.Post(ctx, "/cameras/"+url.PathEscape(s.Camera)+"/view?"+query.Encode(), nil, &got); err != nil {
		return nil, errors.Join(err, out.leave(w.browser))
	}
	if !got.Relay {
		return out, nil
	}
	s.Ways = s.Ways[:0]
	if err := out.leave(w.browser); err != nil {
		return nil, err
	}
	return w.relayed(ctx, s)
}

func (w *watchers) relayed(ctx context.Context, s *Seen) (*seat, error) {
	s.Ways = append(s.Ways, "relay")
	return w.connect(ctx, "relay", s.Camera)
}

// seat is a connection and its path at the door.
type seat struct {
	view *view
	path string
}

// leave ends the connection at the far end. Its own end is closed behind that: it may wait for servers that a firewall
// hides, until the process ends.
func (s *seat) leave(browser *house.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go func() { _ = s.view.pc.Close() }()
	return browser.Delete(ctx, strings.TrimPrefix(s.path, "/api/v1"))
}

// connect makes a connection one way, and has a camera shown on it if one is named.
func (w *watchers) connect(ctx context.Context, way, camera string) (*seat, error) {
	var ice struct {
		Servers []webrtc.ICEServer `json:"servers"`
	}
	if err := w.browser.Get(ctx, "/live/ice", &ice); err != nil {
		return nil, err
	}
	v, err := newView(ice.Servers)
	if err != nil {
		return nil, err
	}
	offer, err := v.offer(ctx, w.order.Gather)
	if err != nil {
		return nil, err
	}
	query := url.Values{"through": {way}, "width": {"1920"}, "codecs": {"h264"}}
	if camera != "" {
		query.Set("camera", camera)
	}
	answer, path, err := post(ctx, w.browser, w.order, ice.Servers, offer, query)
	if err == nil {
		err = v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
	}
	if err != nil {
		return nil, errors.Join(err, v.pc.Close())
	}
	return &seat{view: v, path: path}, nil
}

// post sends an offer as the portal does and returns the answer and the path of the connection.
func post(ctx context.Context, browser *house.Client, o Order, servers []webrtc.ICEServer, offer string, query url.Values) (answer, path string, err error) {
	if i := slices.IndexFunc(servers, func(s webrtc.ICEServer) bool { return s.Username != "" }); i >= 0 {
		query.Set("relay", servers[i].Username)
	}
	at := fmt.Sprintf("%s/api/v1/sites/%s/live?%s", o.Cloud, url.PathEscape(o.Site), query.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(offer))
	if err != nil {
		return "", "", err
	}
	req.Header.Set("Content-Type", "application/sdp")
	resp, err := browser.HTTP.Do(req)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("the offer is answered with %s: %s", resp.Status, text)
	}
	return string(text), resp.Header.Get("Location"), err
}

// mainCrowd is Main for a crowd: it writes what each of its viewers saw.
func mainCrowd(out io.Writer, o Order) int {
	seen, err := crowd(context.Background(), o)
	if err != nil {
		seen = append(seen, Seen{Error: err.Error()})
	}
	if err := json.NewEncoder(out).Encode(seen); err != nil {
		return 1
	}
	return 0
}
