// Package rtc is how Holdfast speaks WebRTC to whoever watches: the codecs, the one port, a connection with a place for
// each of several cameras, a connection over which somebody speaks, and the words over their control channels.
//
// It owns the answering end of a connection (RFC 8829) and all that a viewer may say on it. It promises that an offer can
// ask for nothing but video that it is sent, or over an Ear for one person to be heard, and that a connection leaves nothing
// behind when it ends. It never decides what is shown. It is shared because a viewer must not be able to tell the two ends apart that can serve it: a site's
// agent, and the cloud's relay for many viewers.
package rtc

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
	"golang.org/x/net/proxy"

	"holdfast/shared/mp4"
	"holdfast/shared/wire"
)

// MTU is the RTP payload that fits through every path with room for SRTP, UDP and IPv6 headers (RFC 8834).
const MTU = 1180

// Setup is what a connection is made with.
type Setup struct {
	Port    *Port
	Servers []wire.ICEServer // STUN and TURN servers for this end; none when Lite
	Dialer  proxy.Dialer     // makes connections to TURN servers over TCP; nil: the library does
	Near    interceptor.Factory
	// Lite has this end answer checks and never make any (RFC 8445 section 2.5): for a machine that everybody reaches.
	Lite     bool
	Receives bool // video, asks again for what is lost, and says what has come
	// Hears is the codec of an Ear, the only one then; 0: all that viewers are shown.
	Hears mp4.Codec
	// Film has the connection carry, beside what browsers take, AAC and pictures in another order than they are shown in: both
	// ends must be ours, and the receiving one makes MP4 of it.
	Film bool
	Log  *slog.Logger

	// calls has an answering end begin the handshake: it hears, or the other one will not.
	calls bool
	// arrivals numbers what is sent; nil: nobody asks what has come.
	arrivals *Arrivals
}

// resendPackets is how many packets of a stream are kept to be sent again: a burst of some megabytes fits.
const resendPackets = 4096

// API returns what makes connections. Near stands next to the network: all that is sent passes it last.
func (s Setup) API() (*webrtc.API, error) {
	engine := &webrtc.MediaEngine{}
	if err := registerCodecs(engine, s.Hears, s.Film); err != nil {
		return nil, fmt.Errorf("register codecs: %w", err)
	}
	registry := &interceptor.Registry{}
	if s.arrivals != nil { // nearest to the network: what waits before that is not on its way
		registry.Add(s.arrivals)
	}
	if s.Near != nil {
		registry.Add(s.Near)
	}
	resend, err := nack.NewResponderInterceptor(nack.ResponderSize(resendPackets))
	if err == nil {
		registry.Add(resend)
		err = webrtc.ConfigureRTCPReports(registry)
	}
	if err == nil && s.Receives {
		var again *nack.GeneratorInterceptorFactory
		if again, err = nack.NewGeneratorInterceptor(nack.GeneratorSize(resendPackets), nack.GeneratorInterval(20*time.Millisecond)); err == nil {
			registry.Add(again)
			var told *twcc.SenderInterceptorFactory
			if told, err = twcc.NewSenderInterceptor(twcc.SendInterval(50 * time.Millisecond)); err == nil {
				registry.Add(told)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("register interceptors: %w", err)
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(s.settings())), nil
}

func (s Setup) settings() webrtc.SettingEngine {
	out := webrtc.SettingEngine{LoggerFactory: chatter(s.Log)}
	out.SetICEUDPMux(s.Port)
	if s.Port.tcp != nil {
		out.SetICETCPMux(s.Port.tcp)
		out.SetNetworkTypes([]webrtc.NetworkType{
			webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6,
		})
	}
	out.SetIncludeLoopbackCandidate(s.Port.cfg.Loopback)
	// Browsers hide their address behind a name that only multicast DNS knows. It is not needed: their own checks
	// show where they are.
	out.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	// An offer must not make a program open TCP connections inside its own network.
	out.DisableActiveTCP(true)
	out.SetICETimeouts(7*time.Second, 25*time.Second, 2*time.Second)
	out.SetLite(s.Lite)
	if s.Dialer != nil {
		out.SetICEProxyDialer(s.Dialer)
	}
	// The end that waits may send as soon as it has the other's last word, the one that calls must wait for one more. So the
	// answering end waits where it has the pictures, and calls where it hears (RFC 8842 section 5.3): that spares a round trip.
	// Nor does it ask first whether the caller is where it says (RFC 6347 section 4.2.1), which is another one: nothing is taken
	// from an address that has not shown the password of the connection.
	role := webrtc.DTLSRoleServer
	if s.calls {
		role = webrtc.DTLSRoleClient
	}
	_ = out.SetAnsweringDTLSRole(role) // it refuses others than these two
	out.SetDTLSInsecureSkipHelloVerify(true)
	if s.Receives { // as in browsers: else what is sent again after a burst is refused
		out.SetSRTPReplayProtectionWindow(resendPackets)
	}
	out.SetSTUNGatherTimeout(2 * time.Second)
	return out
}

// chatter passes the warnings of the WebRTC library on to the log, for those who look for a fault: to a person they are
// never news by themselves.
func chatter(log *slog.Logger) logging.LoggerFactory {
	return &logging.DefaultLoggerFactory{
		Writer: slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer(), DefaultLogLevel: logging.LogLevelWarn,
	}
}
