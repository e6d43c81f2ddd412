package uplink

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzIdentity finds anything in the identity's file: an identity that is whole, or words.
func FuzzIdentity(f *testing.F) {
	me, err := newKeys()
	if err != nil {
		f.Fatal(err)
	}
	me.dir = f.TempDir()
	if err := me.write(identityFile); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(me.dir, identityFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, identityFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if who, err := LoadIdentity(dir); err == nil && (who.Agent == "" || len(who.CloudKey) != 32 || who.SealKey() == nil || len(who.EvidenceKey()) != 64) {
			t.Fatalf("%v was taken", who)
		}
	})
}
