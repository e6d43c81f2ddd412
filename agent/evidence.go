package agent

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/agent/uplink"
	"holdfast/shared/atomicfile"
)

// evidenceFile holds the public keys of the identities that this machine had before: what they signed is still its
// footage. One a line, in hexadecimal.
const evidenceFile = "evidence.keys"

// evidenceKeys returns the keys that the site's segments were signed with, the present one first; none before enrolment.
// A damaged line is left out, which costs the proof of what that key signed and nothing else.
func evidenceKeys(data string) (keys []ed25519.PublicKey) {
	if me, err := uplink.LoadIdentity(data); err == nil {
		if public, ok := me.EvidenceKey().Public().(ed25519.PublicKey); ok {
			keys = append(keys, public)
		}
	}
	text, err := os.ReadFile(filepath.Join(data, evidenceFile))
	if err != nil {
		return keys
	}
	for line := range strings.Lines(string(text)) {
		key, err := hex.DecodeString(strings.TrimSpace(line))
		if err == nil && len(key) == ed25519.PublicKeySize && !contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func contains(keys []ed25519.PublicKey, key ed25519.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return bytes.Equal(k, key) })
}

// keepEvidenceKeys notes keys, besides the present one, for later.
func keepEvidenceKeys(data string, keys []ed25519.PublicKey) error {
	known := evidenceKeys(data)
	if !slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return !contains(known, k) }) {
		return nil
	}
	path := filepath.Join(data, evidenceFile)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the keys of earlier identities: %w", err)
	}
	for _, k := range keys {
		if !contains(known, k) {
			text = append(text, hex.EncodeToString(k)+"\n"...)
		}
	}
	if err := atomicfile.Write(path, text, 0o600); err != nil {
		return fmt.Errorf("keep the keys of earlier identities: %w", err)
	}
	return nil
}
