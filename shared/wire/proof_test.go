package wire

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
)

func enrolment(t *testing.T) (EnrolStart, EnrolOffer, ed25519.PrivateKey, ed25519.PrivateKey) {
	t.Helper()
	agentPub, agent, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	cloudPub, cloud, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	start := EnrolStart{
		Version: 1, Lookup: "K7Q2", Nonce: NewNonce(), Key: agentPub, SealKey: NewNonce(), EvKey: NewNonce(),
		Host: "till-3", OS: "windows/amd64",
	}
	return start, EnrolOffer{Version: 1, Nonce: NewNonce(), Key: cloudPub}, agent, cloud
}

func TestTranscriptBindsEverything(t *testing.T) {
	start, offer, _, _ := enrolment(t)
	base := EnrolTranscript(start, offer)
	changes := map[string]func(*EnrolStart, *EnrolOffer){
		"agent version": func(s *EnrolStart, _ *EnrolOffer) { s.Version = 2 },
		"cloud version": func(_ *EnrolStart, o *EnrolOffer) { o.Version = 2 },
		"lookup":        func(s *EnrolStart, _ *EnrolOffer) { s.Lookup = "K7Q3" },
		"agent nonce":   func(s *EnrolStart, _ *EnrolOffer) { s.Nonce = NewNonce() },
		"cloud nonce":   func(_ *EnrolStart, o *EnrolOffer) { o.Nonce = NewNonce() },
		"agent key":     func(s *EnrolStart, _ *EnrolOffer) { s.Key = NewNonce() },
		"cloud key":     func(_ *EnrolStart, o *EnrolOffer) { o.Key = NewNonce() },
		"seal key":      func(s *EnrolStart, _ *EnrolOffer) { s.SealKey = NewNonce() },
		"evidence key":  func(s *EnrolStart, _ *EnrolOffer) { s.EvKey = NewNonce() },
		"host":          func(s *EnrolStart, _ *EnrolOffer) { s.Host = "till-4" },
		"moved border":  func(s *EnrolStart, _ *EnrolOffer) { s.Host, s.OS = s.Host+"w", s.OS[1:] },
	}
	for name, change := range changes {
		s, o := start, offer
		change(&s, &o)
		if EnrolTranscript(s, o) == base {
			t.Errorf("a changed %s does not change the transcript", name)
		}
	}
}

func TestProofs(t *testing.T) {
	start, offer, agent, cloud := enrolment(t)
	tr, code := EnrolTranscript(start, offer), NewCode()
	proof := tr.Prove(code.Key(), AsCloud)
	if !tr.Proven(code.Key(), AsCloud, proof) {
		t.Fatal("a right proof was refused")
	}
	if tr.Proven(code.Key(), AsAgent, proof) {
		t.Fatal("the cloud's proof passes as the agent's")
	}
	if tr.Proven(NewCode().Key(), AsCloud, proof) {
		t.Fatal("a proof by another code passes")
	}
	other := EnrolTranscript(start, EnrolOffer{Version: 1, Nonce: NewNonce(), Key: offer.Key})
	if other.Proven(code.Key(), AsCloud, proof) || other.Signed(start.Key, tr.Sign(agent)) {
		t.Fatal("a proof passes for another exchange")
	}
	if !tr.Signed(start.Key, tr.Sign(agent)) || tr.Signed(start.Key, tr.Sign(cloud)) || tr.Signed(nil, tr.Sign(agent)) {
		t.Fatal("the key's signature is not judged rightly")
	}
	body := []byte(`{"agent":"x"}`)
	sig := tr.SignGrant(cloud, body)
	if !tr.GrantSigned(offer.Key, body, sig) || tr.GrantSigned(offer.Key, append(body, ' '), sig) || other.GrantSigned(offer.Key, body, sig) {
		t.Fatal("the grant's signature is not judged rightly")
	}
}

func TestEnrolCheck(t *testing.T) {
	start, offer, _, _ := enrolment(t)
	offer.Proof = make([]byte, 32)
	if err := start.Check(); err != nil {
		t.Fatal(err)
	}
	if err := offer.Check(); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]func(*EnrolStart){
		"version": func(s *EnrolStart) { s.Version = 0 },
		"lookup":  func(s *EnrolStart) { s.Lookup = "k7q2" },
		"nonce":   func(s *EnrolStart) { s.Nonce = nil },
		"key":     func(s *EnrolStart) { s.Key = s.Key[:31] },
		"host":    func(s *EnrolStart) { s.Host = strings.Repeat("x", 129) },
		"bidi":    func(s *EnrolStart) { s.Host = "a\u202eb" },
		"utf-8":   func(s *EnrolStart) { s.Host = "a\xff" },
	} {
		s := start
		bad(&s)
		if s.Check() == nil {
			t.Errorf("a start with a bad %s passes", name)
		}
	}
	offer.Proof = bytes.Repeat([]byte{1}, 31)
	if offer.Check() == nil {
		t.Error("an offer with a short proof passes")
	}
}

func TestRotation(t *testing.T) {
	_, offer, agent, cloud := enrolment(t)
	next := agent.Public().(ed25519.PublicKey)
	sig := SignRotation(cloud, next)
	if !RotationSigned(offer.Key, next, sig) || RotationSigned(next, next, sig) || RotationSigned(offer.Key, offer.Key, sig) {
		t.Fatal("a rotation is not judged rightly")
	}
}
