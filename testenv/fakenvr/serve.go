package fakenvr

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// elem is any element of a request.
type elem struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Text    string     `xml:",chardata"`
	Kids    []elem     `xml:",any"`
}

// find returns the first element at the end of a path.
func (e *elem) find(path ...string) *elem {
	for _, name := range path {
		next := (*elem)(nil)
		for i := range e.Kids {
			if e.Kids[i].XMLName.Local == name {
				next = &e.Kids[i]
				break
			}
		}
		if next == nil {
			return &elem{}
		}
		e = next
	}
	return e
}

func (e *elem) text(path ...string) string { return strings.TrimSpace(e.find(path...).Text) }

func (e *elem) number(attr string) float64 {
	for _, a := range e.Attrs {
		if a.Name.Local == attr {
			v, _ := strconv.ParseFloat(a.Value, 64)
			return v
		}
	}
	return 0
}

// refusal is a SOAP fault.
type refusal struct {
	status       int
	code, reason string
}

func (d *Device) serve(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var envelope elem
	if err == nil {
		err = xml.NewDecoder(bytes.NewReader(raw)).Decode(&envelope)
	}
	body := envelope.find("Body")
	if err != nil || len(body.Kids) == 0 || r.Method != http.MethodPost {
		http.Error(w, "want SOAP", http.StatusBadRequest)
		return
	}
	ask := &body.Kids[0]
	action := ask.XMLName.Local
	d.mu.Lock()
	k := d.knobs
	d.busy++
	d.crowd = max(d.crowd, d.busy)
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.busy--
	}()
	if k.Slow > 0 {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(k.Slow):
		}
	}
	if k.Stuck == action {
		d.hold(r.Context())
		return
	}
	if d.odd(w, k) {
		return
	}
	if open := action == "GetSystemDateAndTime" && !k.Digest; !open && !d.admits(w, r, raw, &envelope, k) {
		return
	}
	if k.Deny == action {
		writeFault(w, refusal{http.StatusBadRequest, "NotAuthorized", "Sender not authorized"})
		return
	}
	answer, no := d.answer(r.URL.Path, action, ask, k)
	if no != nil {
		writeFault(w, *no)
		return
	}
	write(w, http.StatusOK, "<"+action+"Response>"+answer+"</"+action+"Response>")
}

// hold answers nothing until whoever asks has gone.
func (d *Device) hold(ctx context.Context) {
	d.mu.Lock()
	d.stuck++
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stuck--
}

// odd answers as no device should.
func (d *Device) odd(w http.ResponseWriter, k Knobs) bool {
	switch {
	case k.Html:
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><body><p>Welcome<br></body></html>")
	case k.Laughs:
		_, _ = io.WriteString(w, `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">`)
		for c := 'b'; c < 'l'; c++ {
			_, _ = fmt.Fprintf(w, `<!ENTITY %c "%s">`, c, strings.Repeat("&"+string(c-1)+";", 10))
		}
		_, _ = io.WriteString(w, `]><Envelope><Body><X>&k;</X></Body></Envelope>`)
	case k.Deep:
		_, _ = io.WriteString(w, strings.Repeat("<a>", 200_000))
	case k.Endless:
		for {
			if _, err := io.WriteString(w, strings.Repeat("<Envelope><Body></Body></Envelope> ", 1000)); err != nil {
				return true
			}
		}
	default:
		return false
	}
	return true
}

const (
	soapNS   = "http://www.w3.org/2003/05/soap-envelope"
	schemaNS = "http://www.onvif.org/ver10/schema"
)

func write(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/soap+xml; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<SOAP-ENV:Envelope xmlns:SOAP-ENV="`+soapNS+`" xmlns:tt="`+schemaNS+`"><SOAP-ENV:Body>`+
		body+`</SOAP-ENV:Body></SOAP-ENV:Envelope>`)
}

func writeFault(w http.ResponseWriter, f refusal) {
	write(w, f.status, `<SOAP-ENV:Fault><SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:Sender</SOAP-ENV:Value><SOAP-ENV:Subcode><SOAP-ENV:Value>ter:`+f.code+
		`</SOAP-ENV:Value></SOAP-ENV:Subcode></SOAP-ENV:Code><SOAP-ENV:Reason><SOAP-ENV:Text xml:lang="en">`+escaped(f.reason)+
		`</SOAP-ENV:Text></SOAP-ENV:Reason></SOAP-ENV:Fault>`)
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a builder takes everything
	return b.String()
}
