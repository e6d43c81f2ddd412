package gateway

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"holdfast/shared/atomicfile"
	"holdfast/shared/wire"
)

// Keys are the cloud's Ed25519 keys: the present one and, after a rotation, those that agents may still have
// pinned. They are as precious as the database and belong into its backup: without them every agent must be
// enrolled again.
type Keys struct {
	path  string
	newer []ed25519.PrivateKey // newest first
	file  keyFile
}

type keyFile struct {
	Note string    `json:"note"`
	Keys []keyLine `json:"keys"` // newest first
}

type keyLine struct {
	Seed   []byte `json:"seed"` // 32 bytes
	MadeUs int64  `json:"made_us"`
}

const keyNote = "The keys that prove this cloud to its agents. Keep them secret, and keep them in your backup."

// LoadKeys reads the key file at path (mode 0600) and makes it, with a first key, if there is none.
func LoadKeys(path string) (*Keys, error) {
	k := &Keys{path: path, file: keyFile{Note: keyNote}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return k, k.Rotate()
	}
	if err != nil {
		return nil, fmt.Errorf("read the cloud's key file: %w", err)
	}
	if err := json.Unmarshal(raw, &k.file); err != nil {
		return nil, fmt.Errorf("the cloud's key file %s is damaged: restore it from your backup (%w)", path, err)
	}
	for _, line := range k.file.Keys {
		if len(line.Seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("the cloud's key file %s is damaged: restore it from your backup", path)
		}
		k.newer = append(k.newer, ed25519.NewKeyFromSeed(line.Seed))
	}
	if len(k.newer) == 0 {
		return nil, fmt.Errorf("the cloud's key file %s holds no key: restore it from your backup", path)
	}
	return k, nil
}

// Rotate makes a new key and stores it. Agents learn it, signed by the key they have pinned, when they next open
// a session; the older keys stay until then. Not to be called while a Gateway uses the Keys.
func (k *Keys) Rotate() error {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never returns an error since Go 1.24
	file := k.file
	file.Keys = append([]keyLine{{Seed: seed, MadeUs: time.Now().UnixMicro()}}, file.Keys...)
	raw, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the cloud's key file: %w", err)
	}
	if err := atomicfile.Write(k.path, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("store the cloud's key: %w", err)
	}
	k.file = file
	k.newer = append([]ed25519.PrivateKey{ed25519.NewKeyFromSeed(seed)}, k.newer...)
	return nil
}

// Public returns the present public key.
func (k *Keys) Public() ed25519.PublicKey { return public(k.present()) }

func (k *Keys) present() ed25519.PrivateKey { return k.newer[0] }

func public(key ed25519.PrivateKey) ed25519.PublicKey {
	pub, _ := key.Public().(ed25519.PublicKey)
	return pub
}

// pinned returns the key with a print; the present one if there is none.
func (k *Keys) pinned(print string) ed25519.PrivateKey {
	for _, key := range k.newer {
		if wire.KeyPrint(public(key)) == print {
			return key
		}
	}
	return k.present()
}

// secret derives a key for the cloud's own use, so that what it hands out and gets back needs no memory.
func (k *Keys) secret(purpose string) []byte {
	out, err := hkdf.Key(sha256.New, k.present().Seed(), nil, purpose, sha256.Size)
	if err != nil {
		panic("gateway: derive a key: " + err.Error()) // only for lengths above 255 hashes
	}
	return out
}

// LogValue shows the present key's print and nothing secret.
func (k *Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// String is the present key's print.
func (k *Keys) String() string { return "cloud key " + wire.KeyPrint(k.Public()) }
