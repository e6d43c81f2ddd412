package onvif

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"holdfast/shared/wire"
)

// FuzzAnswer reads anything as a device's answer: it is taken within its limits, or refused.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0"?><s:Envelope xmlns:s="x"><s:Body><t:GetProfilesResponse xmlns:t="y"><t:Profiles token="main"><a/></t:Profiles></t:GetProfilesResponse></s:Body></s:Envelope>`))
	f.Add([]byte(`<Envelope><Body><Fault><Code><Value>a:Sender</Value><Subcode><Value>ter:NotAuthorized</Value></Subcode></Code><Reason><Text>no</Text></Reason></Fault></Body></Envelope>`))
	f.Add([]byte(`<!DOCTYPE x [<!ENTITY a "b">]><Envelope><Body>&a;</Body></Envelope>`))
	f.Add([]byte(`<SystemDateAndTime><UTCDateTime><Date><Year>99999999999</Year></Date></UTCDateTime></SystemDateAndTime>`))
	f.Add([]byte(strings.Repeat("<a>", 60)))
	f.Add([]byte("<Envelope><Header>" + strings.Repeat("<a/>", maxNodes)))
	f.Add([]byte("<Envelope><Body>" + strings.Repeat("<!---->", maxParts+1)))
	f.Add([]byte("<Envelope><Body><GetServicesResponse><Service><Namespace>" + strings.Repeat("x<!---->", maxText+1)))
	far, err := New(Config{Address: "http://192.0.2.1/onvif/device_service"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		root, err := parse(bytes.NewReader(b))
		if err != nil && !errors.Is(err, errLarge) {
			return
		}
		nodes := 0
		var walk func(n *node, depth int)
		walk = func(n *node, depth int) {
			if nodes++; depth > maxDepth || nodes > maxNodes+1 {
				t.Fatalf("%d elements, %d deep", nodes, depth)
			}
			if len(n.text) > maxText {
				t.Fatalf("a text of %d bytes", len(n.text))
			}
			for _, k := range n.kids {
				walk(k, depth+1)
			}
		}
		walk(root, 0)
		answer, _ := unpack(200, bytes.NewReader(b))
		_ = profileOf(answer)
		if at, ok := timeOf(answer); ok && (at.Year() < 1969 || at.Year() > 2300) {
			t.Fatalf("a time of the year %d", at.Year())
		}
		if s := rangeOf(answer); s.least >= 0 || s.most <= 0 {
			t.Fatalf("a range of %v", s)
		}
		for _, status := range []int{200, 400} {
			far.http = &http.Client{Transport: parrot{status, b}}
			everyQuestion(t, far)
		}
	})
}

// everyQuestion puts each question to a device that says the same to all of them.
func everyQuestion(t *testing.T, far *Device) {
	ctx := t.Context()
	at := func() *found {
		return &found{media: "/m", ptz: "/p", profile: "main", profiles: []profile{{token: "main", node: "n"}}}
	}
	_ = far.readClock(ctx) // any answer and any error is right, so long as it comes
	if f, err := far.services(ctx); f == nil && err == nil {
		t.Fatal("neither services nor an error")
	}
	_ = far.choose(ctx, at())
	_ = far.match(ctx, at())
	_ = far.head(ctx, at())
	if presets, _ := far.presets(ctx, at()); len(presets) > wire.MaxPresets {
		t.Fatalf("%d presets", len(presets))
	}
	if f, err := far.anew(ctx, far.known()); f == nil && err == nil {
		t.Fatal("neither a device nor an error")
	}
}

// parrot is a device that says the same to everything.
type parrot struct {
	status int
	text   []byte
}

// RoundTrip implements http.RoundTripper.
func (p parrot) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: p.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(p.text))}, nil
}
