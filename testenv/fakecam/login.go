package fakecam

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/auth"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
)

const (
	realm     = "IP Camera"
	keptNonce = 8
)

// ExpireNonce makes every Digest login so far stale: the next request, a keepalive say, gets 401 and a new nonce.
func (c *Camera) ExpireNonce() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.renewNonce()
}

// renewNonce runs with c.mu held.
func (c *Camera) renewNonce() error {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return fmt.Errorf("make nonce: %w", err)
	}
	if c.nonce != "" {
		c.old = append(c.old, c.nonce)
		c.old = c.old[max(0, len(c.old)-keptNonce):]
	}
	c.nonce, c.born = hex.EncodeToString(b[:]), time.Now()
	return nil
}

// login returns nil when the request may pass, else the answer to it. A login with a nonce that has grown old is
// answered with "stale" and is not counted as a wrong one (RFC 2617 section 3.2.1).
func (c *Camera) login(req *base.Request) *base.Response {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.knobs
	if life := time.Duration(k.NonceLifeMs) * time.Millisecond; life > 0 && time.Since(c.born) > life {
		if err := c.renewNonce(); err != nil {
			return answer(base.StatusInternalServerError)
		}
	}
	methods := c.cfg.Auth
	if k.BasicOnly {
		methods = []auth.VerifyMethod{auth.VerifyMethodBasic}
	}
	header := req.Header["Authorization"]
	if len(header) > 0 && strings.HasPrefix(header[0], "Basic ") {
		c.tally.Basics++
	}
	if c.cfg.User == "" && !k.RejectLogin {
		return nil
	}
	password := cmp.Or(k.Password, c.cfg.Password)
	fits := func(nonce string) bool {
		return !k.RejectLogin && auth.Verify(req, c.cfg.User, password, methods, realm, nonce) == nil
	}
	if fits(c.nonce) {
		return nil
	}
	challenge := auth.GenerateWWWAuthenticate(methods, realm, c.nonce)
	if len(header) > 0 {
		if slices.ContainsFunc(c.old, fits) {
			for i, v := range challenge {
				if strings.HasPrefix(v, "Digest ") {
					challenge[i] = v + `, stale="true"`
				}
			}
		} else {
			c.tally.BadLogins++
		}
	}
	return &base.Response{StatusCode: base.StatusUnauthorized, Header: base.Header{"WWW-Authenticate": challenge}}
}
