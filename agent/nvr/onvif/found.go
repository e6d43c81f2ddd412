package onvif

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// found is what is known of the device, and of the camera at it.
type found struct {
	media, ptz string // paths of the services; an empty ptz: there is none
	profiles   []profile
	profile    string                   // the camera's
	streams    map[id.StreamKind]string // profiles of its streams; nil: nobody has asked

	able      wire.PTZReply // without presets
	speed     [2]span       // of turning
	lens      span
	view      [2]span // of the field of view
	viewSpace string
}

// profile is one of the device's media profiles.
type profile struct {
	token  string
	source string // of the video
	node   string // of the head; empty: it does not move
	turns  bool   // by the profile's own word
	zooms  bool
}

const (
	// maxProfiles bounds the profiles that are looked at.
	maxProfiles = 256
	// maxAddresses bounds those whose stream's address is asked for.
	maxAddresses = 128
)

// manyError says that the device has several cameras and that nothing tells which of them is meant.
type manyError struct {
	wanted string   // a profile's name that is not there; empty: none was given
	have   []string // the first few
	all    int
}

// Error implements error.
func (e *manyError) Error() string {
	return fmt.Sprintf("the device has the profiles %s", strings.Join(e.have, ", "))
}

// look returns what is known of the device, and finds it out where nothing is.
func (d *Device) look(ctx context.Context) (*found, error) {
	if f := d.known(); f != nil {
		return f, nil
	}
	return d.anew(ctx, nil)
}

func (d *Device) known() *found {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.found
}

// anew finds out what the device is. One searches for all: whoever had to wait takes what was found meanwhile, if it is not what
// he knew before. Until then, and when the search fails, what is known stays.
func (d *Device) anew(ctx context.Context, before *found) (*found, error) {
	select {
	case d.searching <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-d.searching }()
	if f := d.known(); f != nil && f != before {
		return f, nil
	}
	f, err := d.search(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found = f
	return f, nil
}

func (d *Device) search(ctx context.Context) (*found, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	err := d.readClock(limited)
	cancel()
	if err != nil {
		return nil, err
	}
	f, err := d.services(ctx)
	if err != nil {
		return nil, err
	}
	if err = d.choose(ctx, f); err != nil {
		return nil, err
	}
	if err = d.head(ctx, f); err != nil {
		return nil, err
	}
	return f, nil
}

// services finds where the services are: by GetServices, and at old devices by GetCapabilities (ONVIF Core section 8.1). Of
// what the device says only the path counts: many name an address of theirs that can't be reached from here.
func (d *Device) services(ctx context.Context) (*found, error) {
	f := &found{}
	answer, err := d.ask(ctx, request{path: d.path, ns: deviceNS, action: "GetServices", body: element("IncludeCapability", "false")})
	var no *fault
	var odd *statusError
	switch {
	case err == nil, errors.Is(err, errLarge):
		for _, s := range answer.all("Service") {
			switch s.find("Namespace").text {
			case mediaNS:
				f.media = pathOf(s.find("XAddr").text)
			case ptzNS:
				f.ptz = pathOf(s.find("XAddr").text)
			}
		}
		return f, nil
	case !errors.As(err, &no) && !errors.As(err, &odd):
		return nil, err
	}
	answer, err = d.ask(ctx, request{path: d.path, ns: deviceNS, action: "GetCapabilities", body: element("Category", "All")})
	if err != nil {
		return nil, err
	}
	f.media = pathOf(answer.find("Capabilities", "Media", "XAddr").text)
	f.ptz = pathOf(answer.find("Capabilities", "PTZ", "XAddr").text)
	return f, nil
}

// pathOf takes the path of a service's address, empty when there is none.
func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || address == "" || u.Host == "" {
		return ""
	}
	return u.RequestURI()
}

// choose finds the camera's profile: the one that the configuration names, else the one whose stream has the camera's address,
// else the only camera's first one, those that move before others.
func (d *Device) choose(ctx context.Context, f *found) error {
	if f.media == "" {
		return errors.New("the device has no media service of ONVIF")
	}
	answer, err := d.ask(ctx, request{path: f.media, ns: mediaNS, action: profilesAction})
	if err != nil && !errors.Is(err, errLarge) {
		return err
	}
	for _, n := range answer.all("Profiles") {
		if token := n.attr("token"); n.whole && token != "" && len(f.profiles) < maxProfiles {
			f.profiles = append(f.profiles, profileOf(n))
		}
	}
	if len(f.profiles) == 0 {
		return errors.New("the device lists no profile")
	}
	if d.cfg.Profile != "" {
		if !slices.ContainsFunc(f.profiles, func(p profile) bool { return p.token == d.cfg.Profile }) {
			return &manyError{wanted: d.cfg.Profile, have: f.tokens(), all: len(f.profiles)}
		}
		f.profile = d.cfg.Profile
		return nil
	}
	source := f.profiles[0].source
	if slices.ContainsFunc(f.profiles, func(p profile) bool { return p.source != source }) {
		if err := d.match(ctx, f); err != nil {
			return err
		}
		main, known := f.streams[id.Main]
		if !known {
			return &manyError{have: f.tokens(), all: len(f.profiles)}
		}
		source = f.of(main).source
	}
	f.profile = f.best(source).token
	return nil
}

func profileOf(n *node) profile {
	head := n.find("PTZConfiguration")
	return profile{
		token: n.attr("token"), source: n.find("VideoSourceConfiguration", "SourceToken").text, node: head.find("NodeToken").text,
		turns: head.find("DefaultContinuousPanTiltVelocitySpace").there(), zooms: head.find("DefaultContinuousZoomVelocitySpace").there(),
	}
}

func (f *found) of(token string) profile {
	i := slices.IndexFunc(f.profiles, func(p profile) bool { return p.token == token })
	return f.profiles[max(i, 0)]
}

// best returns the first profile of a camera that moves, or its first one.
func (f *found) best(source string) profile {
	same := func(p profile) bool { return p.source == source }
	if i := slices.IndexFunc(f.profiles, func(p profile) bool { return same(p) && p.node != "" }); i >= 0 {
		return f.profiles[i]
	}
	return f.profiles[max(slices.IndexFunc(f.profiles, same), 0)]
}

// tokens returns the first few profiles' names.
func (f *found) tokens() (out []string) {
	for _, p := range f.profiles[:min(len(f.profiles), 8)] {
		out = append(out, p.token)
	}
	return out
}

// match finds the profiles of the camera's streams by their addresses.
func (d *Device) match(ctx context.Context, f *found) error {
	streams := map[id.StreamKind]string{}
	for _, p := range f.profiles[:min(len(f.profiles), maxAddresses)] {
		const ask = `<StreamSetup><Stream xmlns="` + schemaNS + `">RTP-Unicast</Stream><Transport xmlns="` + schemaNS + `"><Protocol>RTSP</Protocol></Transport></StreamSetup>`
		answer, err := d.ask(ctx, request{path: f.media, ns: mediaNS, action: "GetStreamUri", body: ask + element("ProfileToken", p.token)})
		var no *fault
		if errors.As(err, &no) {
			continue // a profile without a stream
		}
		if err != nil {
			return err
		}
		for kind, address := range d.cfg.Streams {
			if _, have := streams[kind]; !have && sameStream(answer.find("MediaUri", "Uri").text, address) {
				streams[kind] = p.token
			}
		}
		if len(streams) == len(d.cfg.Streams) {
			break
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f.streams = streams
	return nil
}

// sameStream compares two addresses by path and query: a device may tell another host than the one that it is reached by.
func sameStream(told, ours string) bool {
	a, err1 := url.Parse(told)
	b, err2 := url.Parse(ours)
	if err1 != nil || err2 != nil || a.Host == "" {
		return false
	}
	return strings.Trim(a.Path, "/") == strings.Trim(b.Path, "/") && (a.RawQuery == b.RawQuery || b.RawQuery == "")
}

// profileOf returns the profile of a stream.
func (d *Device) profileOf(ctx context.Context, f *found, kind id.StreamKind) (string, error) {
	d.mu.Lock()
	streams := f.streams
	d.mu.Unlock()
	if streams == nil {
		if err := d.match(ctx, f); err != nil {
			return "", err
		}
		d.mu.Lock()
		streams = f.streams
		d.mu.Unlock()
	}
	switch token := streams[kind]; {
	case token != "":
		return token, nil
	case kind == id.Main:
		return f.profile, nil
	}
	return "", fmt.Errorf("no profile of the device has the address of the %s stream", kind)
}

// head asks what the camera's head can do (ONVIF PTZ section 5.2). The word of the profile counts where the device does not
// answer that.
func (d *Device) head(ctx context.Context, f *found) error {
	p := f.of(f.profile)
	if f.ptz == "" || p.node == "" {
		return nil
	}
	one := span{-1, 1}
	f.speed, f.lens, f.view = [2]span{one, one}, one, [2]span{one, one}
	answer, err := d.ask(ctx, request{path: f.ptz, ns: ptzNS, action: "GetNode", body: element("NodeToken", p.node)})
	var no *fault
	switch {
	case errors.As(err, &no):
		f.able = wire.PTZReply{Move: p.turns, Zoom: p.zooms}
		return nil
	case err != nil && !errors.Is(err, errLarge):
		return err
	}
	n := answer.find("PTZNode")
	spaces := n.find("SupportedPTZSpaces")
	if turning := spaces.find("ContinuousPanTiltVelocitySpace"); turning.there() {
		f.able.Move = true
		f.speed = [2]span{rangeOf(turning.find("XRange")), rangeOf(turning.find("YRange"))}
	}
	if lens := spaces.find("ContinuousZoomVelocitySpace"); lens.there() {
		f.able.Zoom = true
		f.lens = rangeOf(lens.find("XRange"))
	}
	for _, way := range spaces.all("RelativePanTiltTranslationSpace") {
		// Only a way that is measured in the field of view can bring a point of the picture into its middle.
		if uri := way.find("URI").text; strings.HasSuffix(uri, "/TranslationSpaceFov") {
			f.able.Centre, f.viewSpace = f.able.Move, uri
			f.view = [2]span{rangeOf(way.find("XRange")), rangeOf(way.find("YRange"))}
		}
	}
	most, _ := strconv.Atoi(n.find("MaximumNumberOfPresets").text) // none when it is not told
	f.able.Save = most > 0
	f.able.Home = n.find("HomeSupported").text == "true"
	return nil
}

// rangeOf reads a range of numbers; what makes no sense is -1 to 1.
func rangeOf(n *node) span {
	least, err1 := strconv.ParseFloat(n.find("Min").text, 64)
	most, err2 := strconv.ParseFloat(n.find("Max").text, 64)
	if err1 == nil && err2 == nil && least < 0 && most > 0 && !math.IsInf(least, 0) && !math.IsInf(most, 0) {
		return span{least, most}
	}
	return span{-1, 1}
}

// presets asks for the positions that the camera keeps.
func (d *Device) presets(ctx context.Context, f *found) ([]wire.PTZPreset, error) {
	answer, err := d.ask(ctx, request{path: f.ptz, ns: ptzNS, action: "GetPresets", body: element("ProfileToken", f.profile)})
	var no *fault
	switch {
	case errors.As(err, &no):
		return nil, nil // it keeps none
	case err != nil && !errors.Is(err, errLarge):
		return nil, err
	}
	var out []wire.PTZPreset
	for _, n := range answer.all("Preset") {
		if token := n.attr("token"); n.whole && token != "" && len(out) < wire.MaxPresets {
			out = append(out, wire.PTZPreset{Token: token, Name: n.find("Name").text})
		}
	}
	return out, nil
}
