package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"holdfast/shared/id"
)

var update = flag.Bool("update", false, "write the golden files of the present version; never for a released one")

const (
	agentID   = id.Agent("agt-0123456789abcdefghjkmnpqrs")
	siteID    = id.Site("site-0123456789abcdefghjkmnpqrs")
	orgID     = id.Org("org-0123456789abcdefghjkmnpqrs")
	cameraID  = id.Camera("cam-0123456789abcdefghjkmnpqrs")
	clipID    = id.Clip("clip-0123456789abcdefghjkmnpqrs")
	sessionID = id.Session("ses-0123456789abcdefghjkmnpqrs")
	eventID   = id.Event("evt-0123456789abcdefghjkmnpqrs")
)

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func sampleCamera() CameraState {
	return CameraState{
		Camera: cameraID, Name: "Till 3", Channel: "D3", Streams: []StreamState{
			{
				Kind: id.Main, Record: true, Codec: "avc1.640028", Audio: "mp4a.40.2", Width: 1920, Height: 1080, FPS: 25,
				Kbps: 4000.5, BFrames: true, State: OK, DurableUs: nowUs, FirstUs: nowUs - 1000,
			},
			{Kind: id.Sub, State: Failing, Reason: AuthFailed, Text: "the recorder refuses the password: change it in holdfast.yml"},
		},
		Retention: &Retention{
			Bytes: 9000, HeldBytes: 100, DayBytes: 3000, Days: 2.5, KeepUs: 86_400_000_000, MaxBytes: 10_000,
			Due: &Shortening{DueUs: nowUs, KeepUs: 43_200_000_000, MaxBytes: 5000, LengthUs: 7, Bytes: 4000},
		},
		PTZ: true, Talk: true,
	}
}

func sampleHold() HoldDesire {
	return HoldDesire{
		Hold: "hold-0123456789abcdefghjkmnpqrs", Camera: cameraID, StartUs: 10, EndUs: 20, UntilUs: 30, Name: "Break-in", By: "Ada", Over: true,
	}
}

func sampleHoldState() HoldState {
	return HoldState{HoldDesire: sampleHold(), Site: true, State: HoldPartly, Bytes: 100, RecordedUs: 7, GoneUs: 3, Text: "the beginning had gone"}
}

func sampleCondition() ConditionFact {
	return ConditionFact{
		Name: "stream", Camera: cameraID, Kind: "sub", State: Failing, Reason: AuthFailed, Text: "wrong password", SinceUs: nowUs,
	}
}

// samples is one value of every message, each with all its members set.
func samples() map[string]any {
	stream := id.Stream{Camera: cameraID, Kind: id.Main}
	gap := GapFact{ID: 9, Stream: stream, Run: 2, StartUs: 1, EndUs: 2, Reason: SlowDisk, Detail: "the disk took 3 s"}
	order := ClipOrder{Clip: clipID, Camera: cameraID, Stream: id.Main, StartUs: 10, EndUs: 20, Audio: true, Priority: PriorityHigh}
	desired := DesiredConfig{Version: 4, Cameras: []CameraDesire{{Camera: cameraID, Name: "Door", Disable: true, KeepUs: 86_400_000_000, SharePct: 20, StepDown: true}}, Holds: []HoldDesire{sampleHold()}}
	return map[string]any{
		"enrol_start": EnrolStart{
			Version: 1, Lookup: "K7Q2", Nonce: fill(1, 32), Key: fill(2, 32), SealKey: fill(3, 32), EvKey: fill(4, 32),
			Host: "till-3", OS: "linux/amd64",
		},
		"enrol_offer": EnrolOffer{
			Version: 1, Nonce: fill(5, 32), Key: fill(6, 32), Proof: fill(7, 32), Attempt: "abc.def", WallUs: nowUs,
		},
		"enrol_finish": EnrolFinish{Attempt: "abc.def", Proof: fill(8, 32), Sig: fill(9, 64)},
		"enrol_grant":  EnrolGrant{Agent: agentID, Site: siteID, Org: orgID, SiteName: "North", OrgName: "Acme", Cameras: []CameraKey{{Camera: cameraID, Channel: "till-3"}}},
		"refusal": Refusal{
			Code: RefusedClock, Text: "the request's time does not fit", WallUs: nowUs, RetryUs: 5_000_000, Oldest: 1, Newest: 1,
		},
		"hello": Hello{
			Version: 1, Agent: agentID, Site: siteID, Epoch: "e1", AgentVer: "1.0.0", OS: "linux/amd64", Host: "till-3",
			BootID: "b1", Run: 2, UpUs: 3, WallUs: nowUs, Cameras: []CameraState{sampleCamera()},
			Conditions: []ConditionFact{sampleCondition()}, Config: 4, Queues: []int64{0, 7}, LineGone: 5,
			EvKey: fill(4, 32), SealKey: fill(3, 32), Local: "http://192.168.1.9:8480", Holds: []HoldState{sampleHoldState()},
		},
		"welcome": Welcome{
			Version: 1, Session: sessionID, WallUs: nowUs, Marks: []Mark{{Queue: 7, Seq: 41}}, Heartbeat: 15_000_000,
			Config: &desired, CloudVer: "1.0.0", Clips: []ClipOrder{order}, CloudKey: fill(6, 32), KeySig: fill(9, 64),
		},
		"heartbeat": Heartbeat{
			WallUs: nowUs, MonoUs: 6, Cameras: []CameraState{sampleCamera()}, Durable: []int64{1100, -1},
			Conditions: []ConditionFact{sampleCondition()},
			Disk:       DiskState{TotalBytes: 100, FreeBytes: 40, VideoBytes: 50, DaysLeft: 12.5, HeldBytes: 5, CapacityBytes: 90},
			Queue: QueueState{
				Facts: 3, OldestUs: nowUs, Clips: 1, ClipBytes: 99, FactsMinute: 60, OldestClipUs: nowUs - 5, ClipRate: 7, Stills: 2, UpRate: 8,
				LineRate: 9, Cap: 6, CapText: "The cap at this hour.",
				Losses: []ClipLoss{{Camera: cameraID, StartUs: 1, EndUs: 2, DueUs: 3, More: 4, Bytes: 5, SubBytes: 6}},
			}, RTTUs: 31_000, OffsetUs: -1200,
			Live: []id.Session{sessionID}, Holds: []HoldState{sampleHoldState()},
		},
		"heartbeat_ack": HeartbeatAck{WallUs: nowUs, EchoUs: nowUs - 1},
		"bye":           Bye{Code: RefusedDuplicate, Text: "another machine uses this identity", RetryUs: 60_000_000},
		"payload":       Payload{ID: 12},
		"command":       Command{ID: 12, Type: CmdStill, ExpiresUs: expireUs, Body: json.RawMessage(`{"camera":"x"}`)},
		"reply":         Reply{ID: 12, Error: "no video", Code: "no_video", Body: json.RawMessage(`{}`)},
		"live_offer": LiveOffer{
			Session: sessionID, Camera: cameraID, Stream: id.Sub, Width: 640, SDP: "v=0\r\n", Codecs: []string{"h264"},
			ICE: []ICEServer{{URLs: []string{"turn:turn.example.com"}, Username: "u", Credential: "c"}}, FromUs: 7, View: sessionID,
			Silent: true, Relay: RelayNear, Restart: true, Trickle: true,
		},
		"live_answer": LiveAnswer{SDP: "v=0\r\n", Slots: 8, Stream: id.Sub, Codec: "avc1.42e01f", Audio: "opus", Note: "small stream", Relay: true, Reordered: true, Sound: []byte{0x14, 0x08}, Unheard: "mp4a.40.2", Unseen: "hvc1.1.6.L93.b0"},
		"live_paths":  LivePaths{Session: sessionID, Fragment: "a=ice-ufrag:x\r\n", Anew: true, ICE: []ICEServer{{URLs: []string{"stun:stun.example.com"}}}},
		"live_view": LiveView{
			Session: sessionID, Connection: sessionID, Slot: 2, Camera: cameraID, Stream: id.Main, Width: 1280, Codecs: []string{"h265"}, FromUs: 7,
			Silent: true, Film: true,
		},
		"live_close": LiveClose{Session: sessionID},
		"talk_offer": TalkOffer{
			Session: sessionID, Camera: cameraID, SDP: "v=0\r\n", ICE: []ICEServer{{URLs: []string{"stun:stun.example.com"}}}, Trickle: true, By: "Anna",
		},
		"talk_ask":    TalkAsk{Camera: cameraID},
		"talk_state":  TalkState{Text: "This camera has no loudspeaker.", Codec: "pcmu", By: "Anna", ForUs: 2_000_000},
		"still_order": StillOrder{Camera: cameraID, Stream: id.Main, AtUs: 8},
		"still_reply": StillReply{Codec: "avc1.640028", Width: 1920, Height: 1080, AtUs: 8},
		"clip_order":  order,
		"clip_drop":   ClipDrop{Clip: clipID},
		"clip_begin":  ClipBegin{Bytes: 10, SHA256: fill(1, 32), PartBytes: 8 << 20, Parts: [][]byte{fill(1, 32)}, Pieces: true},
		"clip_plan": ClipPlan{
			Stored: true, More: true, ValidUs: 900_000_000,
			Parts: []PartPlan{{Number: 1, URL: "/agent/v1/clips/x/parts/1", Headers: map[string]string{"A": "b"}, Pieces: []int{2, 3}, PieceBytes: 262_144}},
		},
		"clip_complete": ClipComplete{ETags: []string{"e"}},
		"ptz_order":     PTZOrder{Camera: cameraID, Act: PTZMove, Turn: 5, Number: 6, Pan: 0.5, Tilt: -0.5, Zoom: 1, Preset: "p3", Name: "Gate"},
		"ptz_reply":     PTZReply{Move: true, Zoom: true, Centre: true, Home: true, Save: true, Presets: []PTZPreset{{Token: "p3", Name: "Gate"}}},
		"config":        desired,
		"config_reply":  ConfigReply{Version: 4, Faults: []string{"keep: above the site's ceiling"}},
		"ack":           Ack{Queue: 7, Seq: 44, Parked: []int64{43}},
		"batch": Batch{Epoch: "e1", Queue: 7, Lane: Live, Facts: []Fact{
			{Seq: 42, Kind: KindGap, Body: mustJSON(gap)},
		}},
		"fact_run": RunFact{Run: 2, BootID: "b1", WallUs: nowUs, EndMono: 5, EndedBy: AgentCrashed, AgentVer: "1.0.0"},
		"fact_coverage": CoverageFact{
			Stream: stream, Run: 2, Segment: 77, StartUs: 1, EndUs: 2, Bytes: 3, Root: fill(1, 32), Recovered: true, Origin: "nvr",
		},
		"fact_gap":  gap,
		"fact_trim": TrimFact{Stream: stream, StartUs: 1, EndUs: 2, Reason: Expired},
		"fact_event": EventFact{
			ID: eventID, Camera: cameraID, Kind: "door_opened", Source: "local", AtUs: 1, EndUs: 2, Text: "back door",
			Data: json.RawMessage(`{"door":"back"}`),
		},
		"fact_clip": ClipFact{
			Clip: clipID, State: ClipUploading, AtUs: 1, Bytes: 2, Sent: 3, StartUs: 4, EndUs: 5, Codec: "avc1.640028",
			Gaps: []GapFact{gap}, Reason: "no video", NearestUs: 6, OrderStartUs: 3, OrderEndUs: 9, Stream: id.Sub,
		},
		"day_ask": DayAsk{
			Epoch: "e1", Days: []DayDigest{{Day: 20_000, Digest: Digest{Count: 3, Hash: 1 << 63}}}, Open: []int64{20_001},
			Facts: []DayItem{{Day: 20_000, Stream: id.Stream{Camera: cameraID}, Kind: KindEvent}},
		},
		"day_answer": DayAnswer{
			Days: []DayDigest{{Day: 20_000, Digest: Digest{Count: 2, Hash: 7}, Items: []ItemDigest{
				{DayItem: DayItem{Day: 20_000, Stream: stream, Kind: KindCoverage}, Digest: Digest{Count: 2, Hash: 8}},
			}}},
			Facts: [][]byte{fill(1, 16)}, Restated: 5,
		},
		"restatement": Restatement{
			Epoch: "e1", Seq: 6, Item: DayItem{Day: 20_000, Stream: stream, Kind: KindGap}, FromUs: 20_000 * DayUs, ToUs: 20_001 * DayUs, FirstUs: 3,
			Ranges: []Covered{{StartUs: 1, EndUs: 2, Origin: "nvr"}}, Gaps: []GapFact{gap},
			Events: []EventFact{{ID: eventID, Kind: "door_opened", Source: "local", AtUs: 1}},
			Clips:  []ClipFact{{Clip: clipID, State: ClipLost, AtUs: 1}},
		},
		"restated":       Restated{Seq: 6, Parked: 1},
		"fact_condition": sampleCondition(),
		"fact_outage":    OutageFact{StartUs: 1, EndUs: 2, Text: "the name is not known"},
	}
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// golden compares got with the file, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "v2", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s changed: a peer of version 2 would not understand it\n got %s\nwant %s", name, got, want)
	}
}

func TestGoldenMessages(t *testing.T) {
	for name, v := range samples() {
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", append(b, '\n'))
		raw, err := os.ReadFile(filepath.Join("testdata", "v2", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			t.Fatal(err)
		}
		back := reflect.New(reflect.TypeOf(v))
		if err := Decode(compact.Bytes(), back.Interface()); err != nil || !reflect.DeepEqual(back.Elem().Interface(), v) {
			t.Errorf("%s is not read back as it was: %v", name, err)
		}
		assertFilled(t, name, reflect.ValueOf(v))
	}
}

// TestMessagesOfVersion1: everything that a peer of version 1 says is read, member by member.
func TestMessagesOfVersion1(t *testing.T) {
	for name, v := range samples() {
		switch name {
		case "day_ask", "day_answer", "restatement", "restated", "live_view", "live_paths", "ptz_order", "ptz_reply", "talk_offer", "talk_ask", "talk_state":
			continue // since version 2
		}
		raw, err := os.ReadFile(filepath.Join("testdata", "v1", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		back := reflect.New(reflect.TypeOf(v))
		if err := json.Unmarshal(raw, back.Interface()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var was, is any
		if err := errors.Join(json.Unmarshal(raw, &was), json.Unmarshal(mustJSON(back.Interface()), &is)); err != nil {
			t.Fatal(err)
		}
		if at := missing(name, was, is); at != "" {
			t.Errorf("%s of version 1 is lost", at)
		}
	}
	c := coder(t)
	packed, err := os.ReadFile(filepath.Join("testdata", "v1", "batch.zst"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := c.Decode(packed); err != nil || b.Facts[0].Seq != 42 {
		t.Errorf("the batch of version 1 reads as %+v, %v", b, err)
	}
	for _, name := range []string{"frame.bin", "signatures.txt", "enrolment.txt"} {
		was, err1 := os.ReadFile(filepath.Join("testdata", "v1", name))
		is, err2 := os.ReadFile(filepath.Join("testdata", "v2", name))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(was, is) {
			t.Errorf("%s has changed since version 1, %v", name, err)
		}
	}
}

// missing names the first member of was that is not in is with the same value.
func missing(path string, was, is any) string {
	switch was := was.(type) {
	case map[string]any:
		is, _ := is.(map[string]any)
		for k, v := range was {
			if at := missing(path+"."+k, v, is[k]); at != "" {
				return at
			}
		}
	case []any:
		is, _ := is.([]any)
		if len(is) != len(was) {
			return path
		}
		for i := range was {
			if at := missing(path, was[i], is[i]); at != "" {
				return at
			}
		}
	default:
		if !reflect.DeepEqual(was, is) {
			return path
		}
	}
	return ""
}

// assertFilled keeps the samples honest: a member that nobody set would not be in the golden file.
func assertFilled(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		if f := v.Field(i); f.IsZero() {
			t.Errorf("%s.%s is not set in the sample", path, v.Type().Field(i).Name)
		}
	}
}

func TestGoldenBatch(t *testing.T) {
	c, b := coder(t), samples()["batch"].(Batch)
	if *update {
		packed, err := c.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "batch.zst", packed)
	}
	packed, err := os.ReadFile(filepath.Join("testdata", "v2", "batch.zst"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Decode(packed)
	if err != nil || !reflect.DeepEqual(got, b) {
		t.Fatalf("the batch of version 2 reads as %+v, %v", got, err)
	}
}

func TestGoldenFrame(t *testing.T) {
	f := seal(t, NewSealer(seedKey('a'), sessionID, Up), FrameReply, Reply{ID: 12}, []byte("payload"))
	golden(t, "frame.bin", f)
}

func TestGoldenSignatures(t *testing.T) {
	req := httptest.NewRequest(http.MethodPut, "https://cloud.example.com/agent/v1/clips/x/parts/1", nil)
	SignRequest(req, seedKey('a'), RequestClaim{
		Version: 1, Agent: agentID, Cloud: KeyPrint(public(seedKey('c'))), Session: sessionID, Counter: 3,
		ExpiresUs: expireUs, Digest: fill(1, 32),
	})
	reply := http.Header{}
	SignReply(reply, seedKey('c'), req.Header.Get(HeaderSignature), ReplyClaim{
		Version: 1, Status: 200, Session: sessionID, WallUs: nowUs, Digest: fill(1, 32),
	})
	var b bytes.Buffer
	for _, h := range []http.Header{req.Header, reply} {
		b.WriteString(h.Get(HeaderClaim) + "\n" + h.Get(HeaderSignature) + "\n")
	}
	golden(t, "signatures.txt", b.Bytes())
}

func TestGoldenEnrolment(t *testing.T) {
	start, offer := samples()["enrol_start"].(EnrolStart), samples()["enrol_offer"].(EnrolOffer)
	code := Code{lookup: "K7Q2", secret: "9XHM0TDAWR5EV"}
	tr := EnrolTranscript(start, offer)
	var b bytes.Buffer
	for _, v := range [][]byte{
		[]byte(code.Text()), tr[:], code.Key(), tr.Prove(code.Key(), AsCloud), tr.Prove(code.Key(), AsAgent),
		tr.Sign(seedKey('a')),
	} {
		b.WriteString(encode64(v) + "\n")
	}
	b.WriteString(tr.SignGrant(seedKey('c'), []byte("grant")) + "\n")
	golden(t, "enrolment.txt", b.Bytes())
}
