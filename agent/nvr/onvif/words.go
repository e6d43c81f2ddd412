package onvif

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"holdfast/shared/wire"
)

// skewed is how far a clock may be off before it is worth a word.
const skewed = 5 * time.Second

// inWords says what is wrong, and what to do. A nil error stays nil.
func (d *Device) inWords(err error) error {
	var f *fault
	var many *manyError
	var status *statusError
	var cert *tls.CertificateVerificationError
	var offline net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errWait):
		return wire.Fail(wire.FailedRefused, "The camera at %s has refused the ONVIF login of user %s, so it is tried again once a minute only. %s", d.host, d.cfg.User, d.loginHint())
	case errors.Is(err, errTurn):
		return wire.Fail(wire.FailedBusy, "The device at %s answers slowly, and other cameras of it are asked first. Try again in a moment.", d.host)
	case errors.Is(err, errRefused) && d.cfg.User == "":
		return wire.Fail(wire.FailedRefused, "The camera at %s asks for a login by ONVIF. Give it user and password under onvif: in holdfast.yaml.", d.host)
	case errors.Is(err, errRefused):
		return wire.Fail(wire.FailedRefused, "The camera at %s does not take the ONVIF login of user %s. %s", d.host, d.cfg.User, d.loginHint())
	case errors.As(err, &f) && denies(f.code):
		return wire.Fail(wire.FailedRefused, "The camera at %s does not let user %s do this. Give this user the right to it in the camera, or name one that has it "+
			"under onvif: in holdfast.yaml.", d.host, d.cfg.User)
	case errors.As(err, &f):
		return wire.Fail(wire.FailedOtherwise, "The camera refuses to do this%s.", because(f))
	case errors.As(err, &many) && many.wanted != "":
		return wire.Fail(wire.FailedRefused, "The device at %s has no profile %s. Name one of these under onvif: profile: in holdfast.yaml: %s.",
			d.host, many.wanted, list(many.have))
	case errors.As(err, &many) && many.all > maxAddresses:
		return wire.Fail(wire.FailedRefused, "The device at %s has more than %d profiles, and none of the first %d has this camera's address. Name the "+
			"camera's profile under onvif: profile: in holdfast.yaml; the first are %s.", d.host, maxAddresses, maxAddresses, list(many.have))
	case errors.As(err, &many):
		return wire.Fail(wire.FailedRefused, "The device at %s serves several cameras, and none of its streams has this camera's address. Name its "+
			"profile under onvif: profile: in holdfast.yaml, one of: %s.", d.host, list(many.have))
	case errors.Is(err, errForbidden):
		return wire.Fail(wire.FailedRefused, "The ONVIF address %s is outside camera_networks in holdfast.yaml, so it is not dialled.", d.host)
	case errors.Is(err, errPin), errors.As(err, &cert):
		return wire.Fail(wire.FailedOtherwise, "The camera at %s shows a certificate that this site does not trust. Name its authority in "+
			"camera_ca_file, or pin it with fingerprint in holdfast.yaml.", d.host)
	case errors.As(err, &status):
		return wire.Fail(wire.FailedOtherwise, "There is no ONVIF service at %s (HTTP status %d). Switch ONVIF on in the camera, and compare the "+
			"address under onvif: in holdfast.yaml.", d.base+d.path, status.status)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &offline):
		return wire.Fail(wire.FailedOtherwise, "The camera does not answer to ONVIF at %s. Is it there, and is ONVIF switched on in it?", d.base)
	case errors.Is(err, context.Canceled):
		return err
	}
	return wire.Fail(wire.FailedOtherwise, "The camera's ONVIF service at %s can't be used: %s.", d.base, brief(err.Error()))
}

// loginHint says what may be wrong with a login.
func (d *Device) loginHint() string {
	hint := "Compare user and password under onvif: in holdfast.yaml with the camera: many keep users of their own for ONVIF, and each user needs the right to move it."
	d.mu.Lock()
	defer d.mu.Unlock()
	switch l := &d.login; {
	case l.challenge != nil:
	case !l.offKnow && !l.offAt.IsZero():
		hint += " It does not tell its time either, and refuses every login when its clock is off: set it."
	case l.offset.Abs() > skewed:
		hint += fmt.Sprintf(" Its clock is off by %s, for which some refuse every login: set it.", l.offset.Abs().Round(time.Second))
	}
	return hint
}

// because is a device's own reason.
func because(f *fault) string {
	switch {
	case f.reason != "":
		return ": " + brief(f.reason)
	case f.code != "":
		return " (" + brief(f.code) + ")"
	}
	return ""
}

func list(tokens []string) string { return brief(strings.Join(tokens, ", ")) }

// brief makes a device's words short and harmless.
func brief(s string) string { return strings.TrimRight(wire.CleanText(s, 160), ". ") }
