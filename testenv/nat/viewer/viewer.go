// Package viewer watches a camera as the portal does, without a browser: it signs in, asks for ICE servers, makes an offer
// for one video and posts it to the site, and counts the pictures that come.
//
// It is a program: Main runs in a process of its own, so that all of it is on the machine that its starter chooses. What
// it is to do comes in an environment variable and what it saw goes out as JSON. It promises to count as a picture only
// what a decoder could show. It trusts the authorities that its system does (SSL_CERT_FILE).
package viewer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"holdfast/testenv/house"
)

// Env is the variable that makes a program the viewer; it holds an Order as JSON.
const Env = "HOLDFAST_NAT_VIEWER"

// Order is what the viewer is to do.
type Order struct {
	Cloud    string // URL
	Email    string
	Password string
	Site     string
	Camera   string
	Pictures int           // in a row from a key frame on; then it ends
	Limit    time.Duration // from the click to the last of them
	Crowd    *Crowd        // many viewers; the camera above and the number of pictures do not count then
	Gather   time.Duration // how long it looks for its own addresses at most before it asks
}

// Sight is what it saw.
type Sight struct {
	Pictures  int
	KeyFrames int
	First     time.Duration // from the click to the first picture
	All       time.Duration // from the click to the last one
	Local     End
	Remote    End
	Offered   []string // candidates of both sides as they were signalled: type, transport and address
	Answered  []string
	Notes     []string // that the site sent, as JSON
	State     string   // of the connection
	Error     string   // empty: it has seen what it was to see
}

// End is one end of the selected pair of candidates, as this side knows it.
type End struct {
	Type      string // host, srflx, prflx or relay
	Address   string
	Transport string // udp or tcp
	Relay     string // how a local relay is reached: udp, tcp or tls
}

// Path says how the pictures come: "direct", or "direct/tcp" over TCP; "relay/udp", "relay/tcp" or "relay/tls" over a relay of the viewer's own, by
// how it is reached; "relay of the site" when the site alone uses one, which is at one of the addresses.
func (s Sight) Path(relays ...string) string {
	switch {
	case s.Local.Type == "":
		return "none"
	case s.Local.Type == "relay":
		return "relay/" + s.Local.Relay
	case s.Remote.Type == "relay":
		return "relay of the site"
	}
	for _, r := range relays {
		if s.Remote.Address == r {
			return "relay of the site" // the checks came before the answer that names it
		}
	}
	if s.Local.Transport == "tcp" {
		return "direct/tcp"
	}
	return "direct"
}

// Main does what the environment orders and writes the Sight, or for a crowd a list of what each has Seen. It returns the exit code.
func Main(out io.Writer) int {
	var o Order
	var s Sight
	err := json.Unmarshal([]byte(os.Getenv(Env)), &o)
	if err == nil && o.Crowd != nil {
		return mainCrowd(out, o)
	}
	if err == nil {
		err = watch(context.Background(), o, &s)
	}
	if err != nil {
		s.Error = err.Error()
	}
	if err := json.NewEncoder(out).Encode(s); err != nil {
		return 1
	}
	return 0
}

// watch signs in, and from the click on has so long as the order says. It leaves the connection to the end of the process:
// to close it would wait, for minutes, for servers that a firewall hides.
func watch(ctx context.Context, o Order, s *Sight) (err error) {
	browser := house.NewClient(o.Cloud)
	if err := browser.SignIn(ctx, o.Email, o.Password); err != nil {
		return err
	}
	click := time.Now()
	ctx, cancel := context.WithTimeout(ctx, o.Limit)
	defer cancel()
	var ice struct {
		Servers []webrtc.ICEServer `json:"servers"`
	}
	if err := browser.Get(ctx, "/live/ice", &ice); err != nil {
		return err
	}
	v, err := newView(ice.Servers)
	if err != nil {
		return err
	}
	offer, err := v.offer(ctx, o.Gather)
	if err != nil {
		return err
	}
	s.Offered = candidates(offer)
	answer, connection, err := post(ctx, browser, o, ice.Servers, offer, url.Values{"camera": {o.Camera}, "width": {"640"}, "codecs": {"h264"}})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, browser.Delete(context.WithoutCancel(ctx), strings.TrimPrefix(connection, "/api/v1")))
	}()
	s.Answered = candidates(answer)
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	err = v.tally.until(ctx, o.Pictures)
	v.report(s, click)
	return err
}

// view is a connection with a place for one video.
type view struct {
	pc    *webrtc.PeerConnection
	tally *tally
	there chan struct{} // closed when it is connected
}

// connected waits until there is a path.
func (v *view) connected(ctx context.Context) error {
	select {
	case <-v.there:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the connection: %w", ctx.Err())
	}
}

func newView(servers []webrtc.ICEServer) (*view, error) {
	engine, reports := &webrtc.MediaEngine{}, &interceptor.Registry{}
	err := errors.Join(engine.RegisterDefaultCodecs(), webrtc.ConfigureNack(engine, reports), webrtc.ConfigureRTCPReports(reports))
	if err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetSRTPReplayProtectionWindow(1024) // as in browsers: else what is sent again after a burst is refused
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(reports))
	pc, err := api.NewPeerConnection(webrtc.Configuration{ICEServers: servers, BundlePolicy: webrtc.BundlePolicyMaxBundle})
	if err != nil {
		return nil, fmt.Errorf("make peer connection: %w", err)
	}
	v := &view{pc: pc, tally: newTally(), there: make(chan struct{})}
	_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err != nil {
		return nil, errors.Join(err, pc.Close())
	}
	control, err := pc.CreateDataChannel("control", nil)
	if err != nil {
		return nil, errors.Join(err, pc.Close())
	}
	control.OnMessage(func(m webrtc.DataChannelMessage) { v.tally.note(string(m.Data)) })
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { v.tally.read(track) })
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(v.there) })
		}
		if s == webrtc.PeerConnectionStateFailed {
			v.tally.fail(errors.New("the connection has failed: no pair of candidates works"))
		}
	})
	return v, nil
}

// afterRelay is how much longer it looks once it has a relay: from then on a firewall keeps silent what has not answered.
const afterRelay = 50 * time.Millisecond

// offer returns the offer with the candidates that were found in time.
func (v *view) offer(ctx context.Context, limit time.Duration) (string, error) {
	gathered := webrtc.GatheringCompletePromise(v.pc)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	v.pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil && c.Typ == webrtc.ICECandidateTypeRelay {
			timer.Reset(afterRelay)
		}
	})
	offer, err := v.pc.CreateOffer(nil)
	if err == nil {
		err = v.pc.SetLocalDescription(offer)
	}
	if err != nil {
		return "", fmt.Errorf("make the offer: %w", err)
	}
	select {
	case <-gathered:
	case <-timer.C:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return v.pc.LocalDescription().SDP, nil
}

// report fills in what came, and how.
func (v *view) report(s *Sight, click time.Time) {
	v.tally.report(s, click)
	s.State = v.pc.ConnectionState().String()
	pair, ok := v.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	if !ok {
		return
	}
	stats := v.pc.GetStats()
	s.Local, s.Remote = endOf(stats[pair.LocalCandidateID]), endOf(stats[pair.RemoteCandidateID])
}

func endOf(s webrtc.Stats) End {
	c, ok := s.(webrtc.ICECandidateStats)
	if !ok {
		return End{}
	}
	return End{Type: c.CandidateType.String(), Address: c.IP, Transport: c.Protocol, Relay: c.RelayProtocol}
}

// candidates picks the candidates out of an SDP.
func candidates(sdp string) (out []string) {
	for line := range strings.Lines(sdp) {
		c, ok := strings.CutPrefix(strings.TrimSpace(line), "a=candidate:")
		f := strings.Fields(c) // RFC 8839 section 5.1
		if ok && len(f) >= 8 && f[1] == "1" {
			out = append(out, fmt.Sprintf("%s %s %s:%s", f[7], strings.ToLower(f[2]), f[4], f[5]))
		}
	}
	return out
}
