package agent

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"
)

// What an identity signed that this machine had before is still verified when it has another.
func TestKeysOfEarlierIdentitiesStay(t *testing.T) {
	data := t.TempDir()
	var keys []ed25519.PublicKey
	for range 3 {
		k, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
		for range 2 { // twice is once
			if err := keepEvidenceKeys(data, keys); err != nil {
				t.Fatal(err)
			}
		}
	}
	path := filepath.Join(data, evidenceFile)
	text, err := os.ReadFile(path)
	if err != nil || bytes.Count(text, []byte("\n")) != 3 {
		t.Fatalf("%q, %v", text, err)
	}
	if err := os.WriteFile(path, append([]byte("damaged\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	got := evidenceKeys(data)
	if len(got) != 3 || !got[0].Equal(keys[0]) || !got[2].Equal(keys[2]) {
		t.Errorf("%d keys come back", len(got))
	}
}
