package fakenvr

import (
	"cmp"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// clockSpan is how far a login's time may be off the device's own.
const clockSpan = 5 * time.Second

// admits checks the login of a request, and answers one that is wrong.
func (d *Device) admits(w http.ResponseWriter, r *http.Request, raw []byte, envelope *elem, k Knobs) bool {
	if d.cfg.User == "" {
		return true
	}
	if k.Digest {
		return d.admitsHTTP(w, r, raw, k)
	}
	token := envelope.find("Header", "Security", "UsernameToken")
	nonce, err := base64.StdEncoding.DecodeString(token.text("Nonce"))
	created := token.text("Created")
	at, err2 := time.Parse(time.RFC3339Nano, created)
	sum := sha1.Sum([]byte(string(nonce) + created + d.cfg.Password))
	good := !k.Locked && err == nil && err2 == nil && len(nonce) > 0 && at.Sub(time.Now().Add(k.Clock)).Abs() <= clockSpan &&
		token.text("Username") == d.cfg.User && token.text("Password") == base64.StdEncoding.EncodeToString(sum[:])
	if !good {
		d.refuse()
		writeFault(w, refusal{http.StatusBadRequest, "NotAuthorized", "Sender not authorized"})
	}
	return good
}

func (d *Device) refuse() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused++
}

// admitsHTTP checks a login by HTTP. A request without one is not refused but asked.
func (d *Device) admitsHTTP(w http.ResponseWriter, r *http.Request, raw []byte, k Knobs) bool {
	said := r.Header.Get("Authorization")
	part := func(name string) string {
		m := regexp.MustCompile(`[ ,]` + name + `="?([^",]*)`).FindStringSubmatch(said)
		if m == nil {
			return ""
		}
		return m[1]
	}
	sum := func(s string) string {
		if k.SHA256 {
			return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))
		}
		return fmt.Sprintf("%x", md5.Sum([]byte(s)))
	}
	nonce := part("nonce")
	d.mu.Lock()
	uses, known := d.nonces[nonce]
	d.nonces[nonce]++
	stale := said != "" && (!known || k.OneNonce && uses > 0)
	d.mu.Unlock()
	what := r.Method + ":" + r.URL.RequestURI()
	if part("qop") == "auth-int" {
		what += ":" + sum(string(raw))
	}
	want := sum(strings.Join([]string{
		sum(d.cfg.User + ":fake:" + d.cfg.Password), nonce, part("nc"), part("cnonce"), part("qop"), sum(what),
	}, ":"))
	right := !k.Locked && part("username") == d.cfg.User && part("uri") == r.URL.RequestURI() && part("response") == want
	if right && !stale {
		return true
	}
	if said != "" && !right {
		d.refuse()
	}
	var fresh [8]byte
	_, _ = rand.Read(fresh[:])
	name := hex.EncodeToString(fresh[:])
	d.mu.Lock()
	d.nonces[name] = 0
	d.mu.Unlock()
	challenge := fmt.Sprintf(`Digest realm="fake", qop="%s", nonce="%s"`, cmp.Or(k.QOP, "auth"), name)
	if k.SHA256 {
		challenge += `, algorithm=SHA-256`
	}
	if right {
		challenge += `, stale=true`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(http.StatusUnauthorized)
	return false
}
