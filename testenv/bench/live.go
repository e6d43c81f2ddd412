package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"holdfast/testenv/bench/look"
	"holdfast/testenv/house"
	"holdfast/testenv/longline"
)

// far is the round trip of a viewer who is not near.
const far = 80 * time.Millisecond

// pictureLimit is how long a picture may take before the run fails.
const pictureLimit = 20 * time.Second

// watched are the cameras that are looked at: one with a key frame every second, every 2 s and every 10 s each.
func watched() []house.CameraPlan {
	return []house.CameraPlan{
		{Key: "gop1", Name: "Shop", Place: "shop"}, {Key: "gop2", Name: "Car park", Place: "carpark"}, {Key: "gop10", Name: "Corridor", Place: "corridor"},
	}
}

// live measures how soon pictures are there on the machine itself: cold, over the connection that is there, by a click that
// changes the page, and after a seek; and the floor, the same with nothing but the WebRTC library.
//
// PEER_WHEP_URL names the WHEP endpoint of another server's camera, which the same browser looks at in the same way: the
// page is open, there is no connection. PEER_GOP says how many seconds its key frames are apart: 1, 2 or 10; 2 if it is not
// said. It has to answer a POST of an SDP offer with status 201 and the answer.
func (b *bench) live(ctx context.Context) (err error) {
	peer, err := otherServer()
	if err != nil {
		return err
	}
	h, order, err := b.watch(ctx, house.Setup{Dir: filepath.Join(b.dir, "live"), Branches: []house.BranchPlan{{Name: "Bench", Cameras: watched()}}})
	if h != nil {
		defer func() { _ = h.Close() }()
	}
	if err != nil {
		return err
	}
	floor, err := look.NewFloor(ctx, "carpark/main")
	if err != nil {
		return err
	}
	order.Floor = &look.Peer{URL: floor.URL(), GOP: 2}
	serve, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- floor.Run(serve) }()
	defer func() { stop(); err = errors.Join(err, <-ended) }()
	order.Parts = []string{look.Bare, look.Cold, look.Warm, look.Click, look.Seek}
	if order.Peer = peer; peer != nil {
		order.Parts = append(order.Parts, look.Other)
	}
	tries, err := look.Run(ctx, order)
	if err != nil {
		return err
	}
	f := figures{tries: tries}
	f.floor()
	f.pictures(order)
	f.say("live_click", look.Click, "", look.Painted, "ms from the press on the site's page, the change of the page in it")
	f.legs("live_click", look.Click)
	f.latency()
	f.say("seek", look.Seek, "", look.Painted, "ms from the order to a picture of the new place")
	f.say("seek_exact", look.Seek, "", look.Exact, "ms from the order to the picture of that very moment")
	f.say("seek_named", look.Seek, "", look.Place, "ms from the order until the site has found the place")
	f.peer(peer)
	return nil
}

// liveFar measures the same with a viewer whose round trip to cloud and site is 80 ms: with a cloud that helps through
// firewalls, as one with an address of its own does, and with one that does not.
func (b *bench) liveFar(ctx context.Context) error {
	if err := b.farFrom(ctx, "rtt80", "--turn", ":3478", "--turn-address", longline.NearAddr); err != nil {
		return err
	}
	return b.farFrom(ctx, "rtt80_no_turn", "--turn", "off")
}

// farFrom measures with one cloud.
func (b *bench) farFrom(ctx context.Context, name string, cloud ...string) (err error) {
	line, err := longline.New(far)
	if err != nil {
		return fmt.Errorf("%w (it needs Linux, iproute2 and root)", err)
	}
	carry, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- line.Run(carry) }()
	defer func() { stop(); err = errors.Join(err, <-ended) }()
	h, order, err := b.watch(ctx, house.Setup{
		Dir: filepath.Join(b.dir, name), Listen: longline.NearAddr + ":443", TLS: true, Cloud: cloud, Place: line.Near,
		Branches: []house.BranchPlan{{Name: "Bench", Place: line.Near, Cameras: watched()[1:2]}},
	})
	if h != nil {
		defer func() { _ = h.Close() }()
	}
	if err != nil {
		return err
	}
	order.From, order.Insecure, order.Parts = line.Far, true, []string{look.Cold, look.Warm}
	tries, err := look.Run(ctx, order)
	if err != nil {
		return err
	}
	trip := func(trips int) string {
		limit := time.Duration(trips)*far + 100*time.Millisecond
		return fmt.Sprintf("ms; %d times the round trip and 100 ms are %d", trips, limit.Milliseconds())
	}
	f := figures{tries: tries, suffix: "_" + name}
	f.say("line", look.Line, "", look.RTT, "ms that a small request takes")
	f.say("live_first_frame", look.Cold, "", look.Painted, trip(5))
	f.legs("live_cold", look.Cold)
	f.say("live_warm", look.Warm, "", look.Painted, trip(1))
	f.legs("live_warm", look.Warm)
	f.latency()
	return nil
}

// watch starts a house and says what there is to look at.
func (b *bench) watch(ctx context.Context, setup house.Setup) (*house.House, look.Order, error) {
	h, err := house.Start(ctx, setup)
	if err != nil {
		return h, look.Order{}, err
	}
	s := h.Sites[0]
	if err := s.Recording(ctx, len(s.BranchPlan.Cameras), time.Minute); err != nil {
		return h, look.Order{}, err
	}
	ids, err := s.CameraIDs()
	if err != nil {
		return h, look.Order{}, err
	}
	o := look.Order{Portal: h.URL, Site: string(s.ID), Tries: b.tries, LimitMS: int(pictureLimit.Milliseconds())}
	for _, c := range s.BranchPlan.Cameras {
		gop, err := strconv.Atoi(c.Key[len("gop"):])
		if err != nil {
			return h, look.Order{}, err
		}
		o.Cameras = append(o.Cameras, look.Camera{ID: string(ids[c.Key]), Name: c.Key, GOP: gop})
	}
	o.GapUs, err = hole(ctx, h, o.Cameras)
	o.FromUs = time.Now().UnixMicro()
	return h, o, err
}

// hole stops the agent for a moment and returns one at which no camera has video, as the cloud knows: a camera's page that
// is opened there shows why and watches nothing.
func hole(ctx context.Context, h *house.House, cameras []look.Camera) (int64, error) {
	s := h.Sites[0]
	if err := s.Agent.Stop(30 * time.Second); err != nil {
		return 0, err
	}
	at := time.Now().Add(100 * time.Millisecond).UnixMicro() // the last picture lasts as long as pictures do
	if err := s.StartAgent(ctx); err != nil {
		return 0, err
	}
	if err := s.Recording(ctx, len(cameras), time.Minute); err != nil {
		return 0, err
	}
	for _, c := range cameras {
		path := fmt.Sprintf("/cameras/%s/coverage?stream=main&from_us=%d&to_us=%d", c.ID, at, at+1)
		err := house.Until(ctx, time.Minute, "the cloud knows why there is no video of "+c.Name, func(ctx context.Context) (bool, error) {
			var covered struct{ Ranges []struct{ State string } }
			err := h.Owner.Get(ctx, path, &covered)
			return len(covered.Ranges) == 1 && covered.Ranges[0].State == "gap", err
		})
		if err != nil {
			return 0, err
		}
	}
	return at, nil
}

// otherServer reads what the environment says of another server; nil when it says nothing.
func otherServer() (*look.Peer, error) {
	p := &look.Peer{URL: os.Getenv("PEER_WHEP_URL"), GOP: 2}
	if p.URL == "" {
		return nil, nil
	}
	switch gop := os.Getenv("PEER_GOP"); gop {
	case "", "2":
	case "1", "10":
		p.GOP, _ = strconv.Atoi(gop) // it is one of two numbers
	default:
		return nil, fmt.Errorf("PEER_GOP is %q: want 1, 2 or 10, as our own cameras have it", gop)
	}
	return p, nil
}

// figures says what tries have in common.
type figures struct {
	tries  look.Tries
	suffix string // of every name
}

// say prints the middle and the worst but one in twenty of a moment.
func (f figures) say(name, kind, camera, moment, unit string) {
	times := f.tries.Of(kind, camera, moment)
	tail := f.suffix
	if camera != "" {
		tail = "_" + camera + tail
	}
	say(name+"_p50"+tail, times.At(0.5), unit)
	say(name+"_p95"+tail, times.At(0.95), unit)
}

// pictures prints how soon the first picture is there, cold at each camera and warm at all.
func (f figures) pictures(o look.Order) {
	for _, c := range o.Cameras {
		f.say("live_first_frame", look.Cold, c.Name, look.Painted, fmt.Sprintf("ms from the press, without a connection, key frames %d s apart", c.GOP))
	}
	f.legs("live_cold", look.Cold)
	f.say("live_warm", look.Warm, "", look.Painted, "ms from the press, over the connection that is there")
	f.legs("live_warm", look.Warm)
}

// latency prints how old pictures are on the screen.
func (f figures) latency() {
	f.say("live_latency", look.Cold, "", look.Latency, "ms from a picture's arrival at the site to the screen, a second after the first")
	f.say("live_latency_page", look.Cold, "", look.Shown, "ms that the page says it is")
}

// legs prints when a picture has come how far, since the press.
func (f figures) legs(name, kind string) {
	for _, l := range [...][2]string{
		{look.Page, "until the video element is there"},
		{look.ICEAsked, "until the ICE servers are asked for"},
		{look.ICE, "until they are known"},
		{look.Asked, "until the site is asked, the offer made"},
		{look.Answer, "until its answer is there"},
		{look.Joined, "until the connection is there"},
		{look.Packet, "until the first packet is there"},
		{look.Whole, "until the first picture is there, all of it"},
		{look.Decoded, "until it is decoded"},
		{look.Painted, "until it is painted"},
	} {
		if times := f.tries.Every(kind, l[0]); times != nil {
			say(name+"_leg_"+l[0]+"_p50"+f.suffix, times.At(0.5), "ms "+l[1])
			say(name+"_leg_"+l[0]+"_p95"+f.suffix, times.At(0.95), "ms "+l[1])
		}
	}
}

// floor prints how soon a picture of the bare library is there, and how many times that ours takes. Times on two machines have
// little in common, these have.
func (f figures) floor() {
	f.say("floor_first_frame", look.Bare, "", look.Painted, "ms from the press, without a connection, of the WebRTC library alone")
	bare := f.tries.Of(look.Bare, "", look.Painted)
	for _, kind := range []string{look.Cold, look.Warm} {
		ours := f.tries.Of(kind, "", look.Painted)
		say("live_"+kind+"_vs_floor", ours.At(0.5)/bare.At(0.5), "times, both p50")
		say("live_"+kind+"_vs_floor_p95", ours.At(0.95)/bare.At(0.5), "times, our p95 and its p50")
	}
}

// peer prints how soon another server's picture is there, and how much of that time ours takes.
func (f figures) peer(p *look.Peer) {
	if p == nil {
		return
	}
	f.say("peer_first_frame", look.Other, "", look.Painted, fmt.Sprintf("ms from the press, without a connection, key frames %d s apart", p.GOP))
	f.legs("peer", look.Other)
	ours, theirs := f.tries.Of(look.Cold, fmt.Sprintf("gop%d", p.GOP), look.Painted), f.tries.Of(look.Other, "", look.Painted)
	say("live_vs_peer", ours.At(0.5)/theirs.At(0.5), fmt.Sprintf("times, both p50 at key frames %d s apart", p.GOP))
	say("live_vs_peer_p95", ours.At(0.95)/theirs.At(0.95), "times, both p95")
}
