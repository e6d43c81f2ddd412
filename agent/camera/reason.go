package camera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"

	"holdfast/shared/wire"
)

// Ends of a session that only this package knows.
var (
	errStalled   = errors.New("no frame for ten seconds")
	errNoVideo   = errors.New("no H.264 or H.265 video offered")
	errDowngrade = errors.New("authentication downgraded from digest to basic")
	errGarbled   = errors.New("video that can't be read")
	errNoise     = fmt.Errorf("%w: nearly none of its packets", errGarbled)
	errNoKey     = errors.New("no key frame with parameter sets")
	errUnwanted  = errors.New("nobody wants the stream any more")
	errForgotten = errors.New("the device has forgotten the session")
	errNoSRTP    = errors.New("no encrypted video over UDP")
	errNoUDP     = errors.New("nothing arrives over UDP")
	errLate      = errors.New("no pictures in time")
	errReplaced  = errors.New("another source has taken over")
)

// failure is why a session ended, or never began: the closed reason, a sentence for a person, and the least
// time until the next try.
type failure struct {
	reason wire.Reason
	text   string
	wait   time.Duration
}

// classify is the one place that turns errors of the RTSP client and of the network into reasons. setup says
// that the session was being set up when the error came.
func classify(err error, s Source, setup bool) failure {
	var status liberrors.ErrClientBadStatusCode
	var authSetup liberrors.ErrClientAuthSetup
	var requestTimeout liberrors.ErrClientRequestTimedOut
	var sdp liberrors.ErrClientSDPInvalid
	var tcpTimeout liberrors.ErrClientTCPTimeout
	var udpTimeout liberrors.ErrClientUDPTimeout
	var unexpected liberrors.ErrClientUnexpectedFrame
	var dns *net.DNSError
	host := s.address.Host
	if f, ok := classifyTLS(err, host); ok {
		return f
	}
	if f, ok := classifyMalice(err, host); ok {
		return f
	}
	if f, ok := classifyUse(err, host); ok {
		return f
	}
	switch {
	case errors.As(err, &status):
		return classifyStatus(status, s, setup)
	case errors.Is(err, errDowngrade):
		return failure{wire.AuthFailed, host + " used to ask for the password in a protected form and now asks for it in the clear. " +
			"Somebody may be posing as it: check the device. If the change was yours, set  basic_login: true  for it in holdfast.yaml.", lockout}
	case errors.As(err, &authSetup):
		return failure{wire.AuthFailed, host + " asks for a kind of authentication that the agent does not know. Set it to digest authentication.", lockout}
	case errors.Is(err, errForbidden):
		return failure{wire.Unreachable, fmt.Sprintf("The agent may not connect to %s: %v. Add its network to camera_networks in holdfast.yaml if that is right.", host, err), lockout}
	case errors.Is(err, errLate) && !setup:
		return failure{reason: wire.Unreachable, text: host + " does not answer in time. Check its power, its cable and its address."}
	case errors.Is(err, errStalled), errors.Is(err, errLate), errors.As(err, &tcpTimeout), errors.As(err, &udpTimeout):
		return failure{reason: wire.Stalled, text: host + " keeps the connection but sends no pictures. If this stays, restart the camera."}
	case errors.Is(err, errNoVideo):
		return failure{wire.DecodeError, host + " offers no H.264 or H.265 video at this address. Set the stream's codec on the camera.", 20 * time.Second}
	case errors.Is(err, errGarbled), errors.As(err, &unexpected):
		// What gets through of it by chance looks like pictures: it must be silent for long enough to be said.
		return failure{wire.DecodeError, host + " sends video that can't be read. Set its stream to plain H.264 or H.265, or update its software.", 2 * quiet}
	case errors.Is(err, errNoKey):
		return failure{reason: wire.NoKeyFrame, text: host + " sends video without key frames. Set the key frame interval (I-frame interval, GOP) to two seconds."}
	case errors.As(err, &sdp):
		return failure{wire.DecodeError, fmt.Sprintf("%s describes its stream in a way that can't be read (%s). Update the camera's software.", host, brief(fmt.Sprint(sdp.Err))), 20 * time.Second}
	case errors.As(err, &dns):
		return failure{reason: wire.Unreachable, text: fmt.Sprintf("The name %s is not known to the network. Check the address, or write an IP address.", s.address.Hostname())}
	case errors.Is(err, syscall.ECONNREFUSED):
		return failure{reason: wire.Unreachable, text: host + " refuses the connection: nothing listens on that port. Check the port, and that RTSP is switched on."}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return failure{reason: wire.Unreachable, text: "There is no way to " + host + " in the network. Check its power and its cable."}
	case errors.As(err, &requestTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), timedOut(err):
		return failure{reason: wire.Unreachable, text: host + " does not answer. Check its power, its cable and its address."}
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrUnexpectedEOF):
		return failure{reason: wire.Unreachable, text: host + " closed the connection. It may be restarting; the agent tries again."}
	}
	return failure{wire.Unreachable, fmt.Sprintf("The stream of %s could not be opened: %s. Check its address; if that is right, restart the device or update its software.", host, brief(err.Error())), 5 * time.Second}
}

// classifyUse names what lies in the way the agent uses the device; ok is false when it is something else.
func classifyUse(err error, host string) (f failure, ok bool) {
	switch {
	case errors.Is(err, errEvicted):
		return failure{wire.SessionLimit, host + " has no session to spare: recording goes first. Raise its limit of viewers, or watch the main stream.", 5 * time.Second}, true
	case errors.Is(err, errSwept):
		return failure{reason: wire.SessionLimit, text: host + " still counted a session that had been lost. It has been torn down; the agent begins another one."}, true
	case errors.Is(err, errNoSRTP):
		return failure{wire.Unreachable, host + " offers no encrypted video over UDP. Set  transport: tcp  for this camera: it is encrypted then.", lockout}, true
	case errors.Is(err, errNoUDP):
		return failure{reason: wire.Stalled, text: host + " answers, but its video does not arrive over UDP. Set  transport: tcp  for this camera, or let UDP from it through the firewall."}, true
	case errors.Is(err, errForgotten):
		return failure{reason: wire.Stalled, text: host + " has ended the session by itself. The agent begins another one."}, true
	}
	return failure{}, false
}

// classifyMalice names what no sound device does; ok is false when it is something else.
func classifyMalice(err error, host string) (f failure, ok bool) {
	const check = " Check what is at that address; if it is the camera, restart it and update its software."
	switch {
	case errors.Is(err, errEndless):
		return failure{wire.DecodeError, host + " gives answers that have no end." + check, maliceWait}, true
	case errors.Is(err, errFlood):
		return failure{wire.DecodeError, fmt.Sprintf("%s sends more than any camera should (%d Mbit/s, or %d pictures a second). Lower its bitrate and frame rate.",
			host, maxRate*8>>20, maxFrames), maliceWait}, true
	case errors.Is(err, errCircles):
		return failure{wire.Unreachable, host + " sends the agent from one address to the next without end." + check, maliceWait}, true
	case errors.Is(err, errSilent):
		return failure{reason: wire.Stalled, text: host + " keeps the connection and says nothing any more. If this stays, restart it."}, true
	}
	return failure{}, false
}

// maliceWait is the time between two tries of a device that does what no camera does.
const maliceWait = 20 * time.Second

// brief cuts what a device may have had a hand in.
func brief(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > 200 {
		return string(runes[:200]) + "..."
	}
	return s
}

func timedOut(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// noRoom says whether a status means that the device takes no more sessions.
func noRoom(code base.StatusCode, setup bool) bool {
	return code == base.StatusNotEnoughBandwidth || code == base.StatusServiceUnavailable || code == base.StatusInternalServerError && setup
}

func classifyStatus(e liberrors.ErrClientBadStatusCode, s Source, setup bool) failure {
	host := s.address.Host
	switch {
	case e.Code == base.StatusUnauthorized && s.user == "":
		return failure{wire.AuthFailed, host + " asks for a user name and a password. Set user and password of this camera in holdfast.yaml.", lockout}
	case e.Code == base.StatusUnauthorized, e.Code == base.StatusForbidden:
		return failure{wire.AuthFailed, fmt.Sprintf("%s refuses user %q (%d). Check user and password in holdfast.yaml, and that this user may see live video. "+
			"The agent tries once a minute, so that the account does not get locked.", host, s.user, e.Code), lockout}
	case e.Code == base.StatusNotFound:
		return failure{wire.Unreachable, fmt.Sprintf("%s has no stream at %s (404). Check path and channel.", host, s.address.Path), 5 * time.Second}
	case noRoom(e.Code, setup):
		return failure{wire.SessionLimit, fmt.Sprintf("%s takes no more viewers (%d %s). Close other programs that watch it, or raise its limit.", host, e.Code, brief(e.Message)), 10 * time.Second}
	case e.Code == base.StatusUnsupportedTransport:
		other := "udp"
		if s.udp {
			other = "tcp"
		}
		return failure{wire.Unreachable, fmt.Sprintf("%s refuses this way of transport (461). Set transport: %s for this camera.", host, other), 20 * time.Second}
	}
	return failure{wire.Unreachable, fmt.Sprintf("%s answers with an error: %d %s.", host, e.Code, brief(e.Message)), 5 * time.Second}
}
