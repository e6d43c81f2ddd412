package wire

import (
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

func FuzzParseCode(f *testing.F) {
	f.Add(NewCode().Text())
	f.Add("k7q2 9xhm-otda")
	f.Fuzz(func(t *testing.T, typed string) {
		c, err := ParseCode(typed)
		if err != nil {
			return
		}
		again, err := ParseCode(c.Text())
		if err != nil || again != c {
			t.Fatalf("ParseCode(%q) gave %v, whose text reads as %v, %v", typed, c, again, err)
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	f.Add("eyJ2IjoxfQ", "AAAA", "/agent/v1/batch")
	f.Fuzz(func(t *testing.T, claim, sig, target string) {
		req := httptest.NewRequest(http.MethodPost, "https://cloud.example.com/", nil)
		req.URL.Path = target
		req.Header.Set(HeaderClaim, claim)
		req.Header.Set(HeaderSignature, sig)
		s, err := ReadRequest(req)
		if err == nil && s.Verify(public(seedKey('a'))) {
			t.Fatal("a signature came out of nothing")
		}
		if _, err := VerifyReply(&http.Response{StatusCode: http.StatusOK, Header: req.Header}, nil, sig, public(seedKey('c'))); err == nil {
			t.Fatal("a reply's signature came out of nothing")
		}
	})
}

// FuzzOpenFrame signs what the fuzzer makes, so that the decoder behind the signature is reached.
func FuzzOpenFrame(f *testing.F) {
	frame, err := os.ReadFile(filepath.Join("testdata", "v1", "frame.bin"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame[64:])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Fuzz(func(t *testing.T, rest []byte) {
		signedFrame := append(signFrame(rest), rest...)
		got, err := NewOpener(public(seedKey('a')), sessionID, Up).Open(signedFrame, nowUs)
		if err == nil && len(got.Body) > len(rest) {
			t.Fatal("the body is longer than the frame")
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	packed, err := os.ReadFile(filepath.Join("testdata", "v1", "batch.zst"))
	if err != nil {
		f.Fatal(err)
	}
	c := coder(f)
	f.Add(packed)
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := c.Decode(body)
		if err == nil && b.Check() != nil {
			t.Fatal("a batch that is not in order was decoded")
		}
	})
}

func FuzzTidy(f *testing.F) {
	for _, name := range []string{"hello", "heartbeat"} {
		b, err := os.ReadFile(filepath.Join("testdata", "v1", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var hello Hello
		if Decode(b, &hello) == nil && hello.Tidy() == nil {
			checkCameras(t, hello.Cameras)
		}
		var beat Heartbeat
		if Decode(b, &beat) == nil && beat.Tidy() == nil {
			checkCameras(t, beat.Cameras)
		}
		var start EnrolStart
		if Decode(b, &start) == nil {
			_ = start.Check()
		}
	})
}

func checkCameras(t *testing.T, cameras []CameraState) {
	t.Helper()
	for _, c := range cameras {
		if utf8.RuneCountInString(c.Name) > MaxNameRunes || !utf8.ValidString(c.Name) {
			t.Fatalf("the name %q came through", c.Name)
		}
	}
}

func signFrame(rest []byte) []byte { return ed25519.Sign(seedKey('a'), frameText(rest)) }
