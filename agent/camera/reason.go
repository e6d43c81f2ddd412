package camera

import (
	"context"
	"crypto/tls"
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
	errNoKey     = errors.New("no key frame with parameter sets")
	errUnwanted  = errors.New("nobody wants the stream any more")
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
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	host := s.address.Host
	switch {
	case errors.As(err, &status):
		return classifyStatus(status, s, setup)
	case errors.Is(err, errDowngrade):
		return failure{wire.AuthFailed, host + " used to ask for the password in a protected form and now asks for it in the clear. " +
			"Somebody may be posing as it: check the device, then restart the agent if the change was yours.", lockout}
	case errors.As(err, &authSetup):
		return failure{wire.AuthFailed, host + " asks for a kind of authentication that the agent does not know. Set it to digest authentication.", lockout}
	case errors.Is(err, errForbidden):
		return failure{wire.Unreachable, fmt.Sprintf("The agent may not connect to %s: %v. Add its network to camera_networks in holdfast.yaml if that is right.", host, err), lockout}
	case errors.Is(err, errStalled), errors.As(err, &tcpTimeout), errors.As(err, &udpTimeout):
		return failure{reason: wire.Stalled, text: host + " keeps the connection but sends no pictures. If this stays, restart the camera."}
	case errors.Is(err, errNoVideo):
		return failure{wire.DecodeError, host + " offers no H.264 or H.265 video at this address. Set the stream's codec on the camera.", 20 * time.Second}
	case errors.Is(err, errGarbled):
		return failure{wire.DecodeError, host + " sends video that can't be read. Set its stream to plain H.264 or H.265, or update its software.", 5 * time.Second}
	case errors.Is(err, errNoKey):
		return failure{reason: wire.NoKeyFrame, text: host + " sends video without key frames. Set the key frame interval (I-frame interval, GOP) to two seconds."}
	case errors.As(err, &sdp):
		return failure{wire.DecodeError, fmt.Sprintf("%s describes its stream in a way that can't be read (%s). Update the camera's software.", host, brief(fmt.Sprint(sdp.Err))), 20 * time.Second}
	case errors.As(err, &cert):
		return failure{wire.AuthFailed, host + " shows a certificate that this machine does not trust. Install the certificate authority here, or use rtsp:// inside your own network.", lockout}
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
	return failure{reason: wire.Unreachable, text: fmt.Sprintf("The stream of %s could not be opened: %s.", host, brief(err.Error()))}
}

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
	case e.Code == base.StatusNotEnoughBandwidth, e.Code == base.StatusServiceUnavailable,
		e.Code == base.StatusInternalServerError && setup:
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
