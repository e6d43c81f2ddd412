package local

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
)

//go:embed page.html
var pageHTML string

// page is the status page with the policy that lets only its own style and script run.
type page struct {
	html   []byte
	policy string
}

func loadPage() page {
	return page{
		html: []byte(pageHTML),
		policy: "default-src 'none'; connect-src 'self'; img-src data:; style-src " + hashOf("style") + "; script-src " +
			hashOf("script") + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
}

// hashOf returns the source expression of the page's only element of that name (CSP level 3, section 2.3.1).
func hashOf(element string) string {
	_, rest, _ := strings.Cut(pageHTML, "<"+element+">")
	text, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (l *Local) getPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", l.page.policy)
	_, _ = w.Write(l.page.html) // the caller has gone: nothing is left to tell it
}
