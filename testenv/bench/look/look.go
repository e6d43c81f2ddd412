// Package look measures in a real Chromium how soon live view and playback are there, and sums up what it has seen.
//
// It owns the browser, which testenv/e2e/live.mjs drives through the portal as a person does. Each try gives the moments
// between a press and the picture, in milliseconds since the press. It promises that a try without a picture is an error
// that says which one and how far it came, never a figure that is left out.
package look

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"holdfast/testenv/house"
)

// Order says what is measured.
type Order struct {
	Portal   string      `json:"-"` // address of the cloud; empty when only another server is measured
	From     house.Place `json:"-"` // where the browser is
	Insecure bool        `json:"insecure"`
	Site     string      `json:"site"`
	Cameras  []Camera    `json:"cameras"`
	Parts    []string    `json:"parts"`    // kinds of tries, in this order
	Tries    int         `json:"tries"`    // of each kind; cold: at each camera
	GapUs    int64       `json:"gap_us"`   // a moment without video, which all cameras' pages can be opened at
	FromUs   int64       `json:"from_us"`  // all cameras have video from then on
	LimitMS  int         `json:"limit_ms"` // how long a picture may take before the run fails
	Peer     *Peer       `json:"peer,omitempty"`
	Floor    *Peer       `json:"floor,omitempty"`
}

// Camera is a camera that is looked at.
type Camera struct {
	ID   string `json:"id"`
	Name string `json:"name"` // in figures
	GOP  int    `json:"gop"`  // seconds from key frame to key frame
}

// Peer is another server's camera.
type Peer struct {
	URL string `json:"url"` // WHEP endpoint
	GOP int    `json:"gop"` // seconds
}

// Kinds of tries.
const (
	Line  = "line"  // round trips of a small request to the cloud
	Click = "click" // from the site's page, over its connection, the change of the page in it
	Cold  = "cold"  // on the camera's page, without a connection
	Warm  = "warm"  // on the camera's page, over the connection that is there
	Seek  = "seek"  // to another moment of a recording that plays
	Other = "peer"  // at another server, without a connection
	Bare  = "floor" // at a Floor, in the same way
)

// Moments of a try.
const (
	RTT      = "rtt"          // of a line
	Page     = "page"         // the video element is there
	ICEAsked = "ice_asked"    // the ICE servers are asked for
	ICE      = "ice"          // and known
	Asked    = "asked"        // the offer is made, or the view asked for, and sent
	Answer   = "answer"       // the answer is there
	Joined   = "connected"    // ICE and DTLS are done
	Packet   = "packet"       // the first packet of video is there
	Whole    = "whole"        // all packets of the first picture are
	Decoded  = "decoded"      // the first picture is decoded and on its way to the screen
	Painted  = "painted"      // and on it
	Latency  = "latency"      // no moment: how old the picture is on the screen, a second after the first
	Shown    = "latency_page" // and how old the page says it is
	Sent     = "order"        // a seek is sent; the other moments of a seek count from here
	Place    = "place"        // the site has named the new place
	Exact    = "exact"        // the picture of the very moment is on the screen, after those that lead to it
)

// Try is one press and what followed it, in milliseconds.
type Try struct {
	Kind   string             `json:"kind"`
	Camera string             `json:"camera"`
	MS     map[string]float64 `json:"ms"`
}

// Run measures. What fails in the browser comes back in its words.
func Run(ctx context.Context, o Order) (Tries, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "node", filepath.Join(house.Root(), "testenv", "e2e", "live.mjs"))
	cmd.Env = append(os.Environ(), "ORDER="+string(text), "PORTAL="+o.Portal, "OWNER="+house.OwnerEmail, "PASSWORD="+house.OwnerPassword)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	cmd.WaitDelay = 10 * time.Second
	if o.From == nil {
		err = cmd.Start()
	} else {
		err = o.From(cmd.Start)
	}
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("look at pictures: %w: %s", err, strings.TrimSpace(words.String()))
	}
	tries, err := parse(out.Bytes())
	if err != nil {
		return nil, err
	}
	return tries, tries.complete(o)
}
