package agent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"holdfast/agent/uplink"
	"holdfast/shared/evidence"
	"holdfast/shared/mp4"
)

// Verdict is what Verify has to say about one file.
type Verdict struct {
	Path     string       `json:"path"`
	Kind     string       `json:"kind"`    // "segment" or "clip" (an export is one)
	Holds    bool         `json:"holds"`   // nothing was changed since it was recorded, and a key that was given signed it
	Intact   bool         `json:"intact"`  // nothing was changed since it was signed, by whomever
	Signed   bool         `json:"signed"`  // by one of the keys given
	Sealed   bool         `json:"sealed"`  // by anybody
	Signers  []string     `json:"signers"` // fingerprints of the keys that signed
	Site     string       `json:"site"`
	Camera   string       `json:"camera"`
	Stream   string       `json:"stream"`
	Origin   string       `json:"origin,omitempty"`  // where all of it was fetched; empty: some of it, or all, is from the camera itself
	Fetched  []Fetched    `json:"fetched,omitempty"` // of a clip: the ranges that were not recorded from the camera
	FromUs   int64        `json:"from_us"`
	ToUs     int64        `json:"to_us"`
	OffsetUs int64        `json:"offset_us"` // add it to the times to correct the site's clock, where Offset is true
	Offset   bool         `json:"offset_known"`
	Parts    int          `json:"parts"`
	Audio    string       `json:"audio,omitempty"`  // of a clip: original, replaced or none
	Damage   []mp4.Damage `json:"damage,omitempty"` // what is damaged, with its times
	Problems []string     `json:"problems,omitempty"`
}

// Fetched is a range that was fetched from elsewhere, by wall time.
type Fetched struct {
	FromUs int64  `json:"from_us"`
	ToUs   int64  `json:"to_us"`
	Origin string `json:"origin"`
}

// Verify checks a segment or a clip by itself against public evidence keys. The error is for files that can't be read
// or are neither.
func Verify(path string, keys []ed25519.PublicKey) (v Verdict, err error) {
	f, err := os.Open(path)
	if err != nil {
		return v, fmt.Errorf("verify: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return v, fmt.Errorf("verify: %w", err)
	}
	if info.IsDir() {
		return v, fmt.Errorf("verify %s: it is a folder: name the files in it", path)
	}
	v.Path = path
	if _, _, headErr := mp4.ReadHeader(f, info.Size()); headErr == nil {
		err = v.segment(f, info.Size(), keys)
	} else {
		err = v.clip(f, info.Size(), keys)
	}
	if errors.Is(err, mp4.ErrFormat) {
		return v, fmt.Errorf("%s is neither a segment nor a clip of Holdfast, or its beginning is destroyed (a file that another program has "+
			"rewritten can't be verified any more)", path)
	}
	return v, err
}

func (v *Verdict) segment(f *os.File, size int64, keys []ed25519.PublicKey) error {
	rep, err := mp4.VerifySegment(f, size, keys...)
	if err != nil {
		return err
	}
	h, st := rep.Header, rep.Statement
	v.Kind, v.Holds, v.Intact, v.Signed, v.Sealed = "segment", rep.OK, rep.Intact, rep.Signed, rep.Sealed
	v.Site, v.Camera, v.Stream, v.Origin = h.Site, h.Camera, h.Stream, h.Origin
	v.FromUs, v.ToUs, v.Parts, v.Damage, v.Problems = h.StartUs, st.EndUs, rep.Parts, rep.Damage, rep.Problems
	if rep.Sealed {
		v.sign(st)
		return nil
	}
	for part, err := range mp4.Parts(f, size) {
		if err != nil {
			return err
		}
		v.ToUs = part.Sum.EndUs
	}
	return nil
}

func (v *Verdict) clip(f *os.File, size int64, keys []ed25519.PublicKey) error {
	rep, err := mp4.VerifyClip(f, size, keys...)
	if err != nil {
		return err
	}
	v.Kind, v.Holds, v.Intact, v.Signed, v.Sealed = "clip", rep.OK, rep.Intact, rep.Signed, rep.Sealed
	v.FromUs, v.ToUs, v.Parts, v.Audio, v.Damage, v.Problems = rep.FromUs, rep.ToUs, rep.Parts, rep.Audio, rep.Damage, rep.Problems
	for _, st := range rep.Statements {
		if st.Parts > 0 {
			v.sign(st)
			v.fetch(st)
		}
	}
	// One origin stands for the whole clip only where nothing of it is from elsewhere.
	v.Origin = ""
	if len(v.Fetched) == 1 && !slices.ContainsFunc(rep.Statements, func(st evidence.Statement) bool { return st.Origin != v.Fetched[0].Origin }) {
		v.Origin = v.Fetched[0].Origin
	}
	return nil
}

// fetch notes what of the clip is from elsewhere, by a statement.
func (v *Verdict) fetch(st evidence.Statement) {
	f := Fetched{max(st.StartUs, v.FromUs), min(st.EndUs, v.ToUs), st.Origin}
	if st.Origin == "" || f.FromUs >= f.ToUs {
		return
	}
	if n := len(v.Fetched); n > 0 && v.Fetched[n-1].Origin == f.Origin && f.FromUs <= v.Fetched[n-1].ToUs+mp4.JoinToleranceUs {
		v.Fetched[n-1].ToUs = max(v.Fetched[n-1].ToUs, f.ToUs)
		return
	}
	v.Fetched = append(v.Fetched, f)
}

// sign notes what a statement says.
func (v *Verdict) sign(st evidence.Statement) {
	if who := st.KeyID.String(); !slices.Contains(v.Signers, who) {
		v.Signers = append(v.Signers, who)
	}
	v.Site, v.Camera, v.Stream, v.Origin = st.Site, st.Camera, st.Stream, st.Origin
	v.OffsetUs, v.Offset = st.WallOffsetUs, st.OffsetKnown
}

// String says in plain words what holds.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", v.Path, v.headline())
	if v.Camera != "" {
		fmt.Fprintf(&b, "  %s of camera %s (%s) of site %s\n", v.Kind, v.Camera, v.Stream, v.Site)
	}
	if v.FromUs != 0 {
		fmt.Fprintf(&b, "  %s (%s)%s\n", rangeText(v.FromUs, v.ToUs), lengthText(v.ToUs-v.FromUs), v.clockWords())
	}
	for _, f := range v.Fetched {
		if v.Origin == "" {
			fmt.Fprintf(&b, "  Of it %s was not recorded from the camera but fetched from: %s\n", rangeText(f.FromUs, f.ToUs), f.Origin)
		}
	}
	if v.Origin != "" {
		fmt.Fprintf(&b, "  It was not recorded from the camera but fetched from: %s\n", v.Origin)
	}
	if len(v.Signers) > 0 {
		fmt.Fprintf(&b, "  signed by key %s\n", strings.Join(v.Signers, ", "))
	}
	if v.Audio == mp4.AudioReplaced {
		fmt.Fprintln(&b, "  Its sound was converted for players and is not covered by the signature; the picture is.")
	}
	for _, d := range v.Damage {
		parts := fmt.Sprintf("part %d", d.First)
		if d.Last > d.First {
			parts = fmt.Sprintf("parts %d to %d", d.First, d.Last)
		}
		fmt.Fprintf(&b, "  DAMAGED: %s of segment %d, %s\n", parts, d.Segment, rangeText(d.FromUs, d.ToUs))
	}
	if !v.Holds {
		for _, p := range v.Problems {
			fmt.Fprintln(&b, "  -", p)
		}
	}
	return b.String()
}

func (v *Verdict) headline() string {
	switch {
	case v.Holds:
		return fmt.Sprintf("HOLDS. All %d parts are exactly as the site recorded and signed them.", v.Parts)
	case v.Intact && v.Sealed:
		return "NOT PROVEN. Nothing was changed since it was signed, but not by a key that was given. " +
			"Get the site's key from the site itself ( holdfast-agent key ) and name it with --key."
	case len(v.Problems) > 0 && !v.Sealed && len(v.Damage) == 0:
		return "NOT SIGNED. It was still being written when it was copied or cut; its sums tell nothing about who made it."
	}
	return "DOES NOT HOLD. It was damaged or changed since it was recorded."
}

func (v *Verdict) clockWords() string {
	if !v.Offset {
		return ", by the site's clock, which was not compared with another"
	}
	return fmt.Sprintf(", by the site's clock, which was %+.3f s off at that time", -float64(v.OffsetUs)/1e6)
}

// SiteKeys returns the public evidence keys of this machine's site; none before enrolment.
func SiteKeys(cfg Config) []ed25519.PublicKey { return evidenceKeys(cfg.Data) }

// PublicKey prints this site's public evidence key: a line for people, then PEM (RFC 8410).
func PublicKey(cfg Config) (string, error) {
	me, err := uplink.LoadIdentity(cfg.Data)
	if err != nil {
		return "", err
	}
	public, ok := me.EvidenceKey().Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("the evidence key is of another kind than Ed25519")
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("encode evidence key: %w", err)
	}
	return fmt.Sprintf("Evidence key of %s (%s), fingerprint %s\n%s", me.SiteName, me.Site, evidence.KeyIDOf(public),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// ParseKey reads a public evidence key: a file that PublicKey's output was written into, or a file or text with 32 bytes
// in hexadecimal or base64.
func ParseKey(text string) (ed25519.PublicKey, error) {
	content, err := os.ReadFile(text)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err != nil && strings.ContainsAny(text, "\n=") || len(text) > 200:
		content = []byte(text)
	case err != nil:
		return nil, fmt.Errorf("read key: %w", err)
	}
	if block, _ := pem.Decode(content); block != nil {
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		public, ok := key.(ed25519.PublicKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("%s holds no Ed25519 public key", text)
		}
		return public, nil
	}
	if len(content) == ed25519.PublicKeySize {
		return content, nil
	}
	trimmed := string(bytes.TrimSpace(content))
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawURLEncoding.DecodeString} {
		if key, err := decode(trimmed); err == nil && len(key) == ed25519.PublicKeySize {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%q is no public key and no file with one: want what  holdfast-agent key  prints, or 32 bytes in hexadecimal", text)
}
