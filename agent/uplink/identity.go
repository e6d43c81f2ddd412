package uplink

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"holdfast/shared/atomicfile"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Names of the files in the data folder.
const (
	identityFile = "identity.json"
	pendingFile  = "identity.pending.json" // keys of an enrolment that is not finished
)

// ErrNotEnrolled says that the data folder holds no identity yet.
var ErrNotEnrolled = errors.New("this machine is not enrolled yet: make a code in the portal and run holdfast-agent enrol")

// Identity is who this machine is to its cloud. It prints as its agent ID: keys never reach a log.
type Identity struct {
	Agent    id.Agent
	Site     id.Site
	Org      id.Org
	SiteName string // as it was at enrolment
	OrgName  string
	CloudURL string
	CloudKey ed25519.PublicKey // pinned
	// Cameras are those that the site had before; they come with the grant of an enrolment and are not stored.
	Cameras []wire.CameraKey

	key      ed25519.PrivateKey
	seal     *ecdh.PrivateKey
	evidence ed25519.PrivateKey
	lookup   string // of the code that made it
	dir      string
}

// SealKey returns the X25519 key to which passwords typed in the portal are sealed.
func (i Identity) SealKey() *ecdh.PrivateKey { return i.seal }

// EvidenceKey returns the Ed25519 key that seals this site's segments.
func (i Identity) EvidenceKey() ed25519.PrivateKey { return i.evidence }

// String returns the agent's ID.
func (i Identity) String() string { return string(i.Agent) }

// GoString is String: %#v must not show keys either.
func (i Identity) GoString() string { return i.String() }

// LogValue shows the agent's ID.
func (i Identity) LogValue() slog.Value { return slog.StringValue(i.String()) }

// identityJSON is the file's content.
type identityJSON struct {
	Note     string   `json:"note"`
	Version  int      `json:"version"`
	Agent    id.Agent `json:"agent,omitempty"`
	Site     id.Site  `json:"site,omitempty"`
	Org      id.Org   `json:"org,omitempty"`
	SiteName string   `json:"site_name,omitempty"`
	OrgName  string   `json:"org_name,omitempty"`
	CloudURL string   `json:"cloud_url,omitempty"`
	CloudKey []byte   `json:"cloud_key,omitempty"` // Ed25519 public key
	Lookup   string   `json:"lookup,omitempty"`
	Key      []byte   `json:"key_seed"`      // Ed25519 seed
	Seal     []byte   `json:"seal_key"`      // X25519 private key
	Evidence []byte   `json:"evidence_seed"` // Ed25519 seed
	Sum      []byte   `json:"sum,omitempty"` // see sum
}

// sum is a SHA-256 over all the rest: a bit that turned in a key leaves a key, only not this machine's.
func (f identityJSON) sum() ([]byte, error) {
	f.Sum = nil
	raw, err := json.Marshal(f)
	sum := sha256.Sum256(raw)
	return sum[:], err
}

const identityNote = "Who this machine is to its Holdfast cloud. Keep it secret, and never copy it to another machine."

// newKeys returns an Identity that has keys and nothing else.
func newKeys() (Identity, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Identity{}, fmt.Errorf("make the agent's key: %w", err)
	}
	_, evidence, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Identity{}, fmt.Errorf("make the evidence key: %w", err)
	}
	seal, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return Identity{}, fmt.Errorf("make the seal key: %w", err)
	}
	return Identity{key: key, seal: seal, evidence: evidence}, nil
}

// LoadIdentity reads the identity from the data folder; ErrNotEnrolled if there is none.
func LoadIdentity(dir string) (Identity, error) {
	i, err := readIdentity(dir, identityFile)
	if errors.Is(err, os.ErrNotExist) {
		return Identity{}, ErrNotEnrolled
	}
	if err != nil {
		return Identity{}, err
	}
	if i.Agent == "" || i.Site == "" || i.CloudURL == "" || len(i.CloudKey) != ed25519.PublicKeySize {
		return Identity{}, damaged(dir, identityFile, errors.New("a part is missing"))
	}
	return i, nil
}

func damaged(dir, name string, err error) error {
	return fmt.Errorf("%s is damaged (%w): restore it from a backup of this machine, or enrol again with a new code and --replace",
		filepath.Join(dir, name), err)
}

func readIdentity(dir, name string) (Identity, error) {
	path := filepath.Join(dir, name)
	raw, err := os.ReadFile(path)
	if err != nil {
		return Identity{}, fmt.Errorf("read identity: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return Identity{}, fmt.Errorf("protect identity: %w", err)
	}
	var f identityJSON
	if err := json.Unmarshal(raw, &f); err != nil {
		return Identity{}, damaged(dir, name, err)
	}
	if sum, err := f.sum(); err != nil || f.Sum != nil && !bytes.Equal(sum, f.Sum) {
		return Identity{}, damaged(dir, name, errors.Join(errors.New("it is not as it was written"), err))
	}
	if f.Version != 1 {
		return Identity{}, fmt.Errorf("%s was written by a newer agent: start that one", path)
	}
	seal, err := ecdh.X25519().NewPrivateKey(f.Seal)
	if err != nil || len(f.Key) != ed25519.SeedSize || len(f.Evidence) != ed25519.SeedSize {
		return Identity{}, damaged(dir, name, errors.New("a key has the wrong length"))
	}
	return Identity{
		Agent: f.Agent, Site: f.Site, Org: f.Org, SiteName: f.SiteName, OrgName: f.OrgName, CloudURL: f.CloudURL,
		CloudKey: f.CloudKey, lookup: f.Lookup, dir: dir,
		key: ed25519.NewKeyFromSeed(f.Key), evidence: ed25519.NewKeyFromSeed(f.Evidence), seal: seal,
	}, nil
}

// write stores the identity under a name in its folder.
func (i Identity) write(name string) error {
	f := identityJSON{
		Note: identityNote, Version: 1, Agent: i.Agent, Site: i.Site, Org: i.Org, SiteName: i.SiteName, OrgName: i.OrgName,
		CloudURL: i.CloudURL, CloudKey: i.CloudKey, Lookup: i.lookup,
		Key: i.key.Seed(), Seal: i.seal.Bytes(), Evidence: i.evidence.Seed(),
	}
	var raw []byte
	var err error
	if f.Sum, err = f.sum(); err == nil {
		raw, err = json.MarshalIndent(f, "", "  ")
	}
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(i.dir, name), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("store identity: %w", err)
	}
	return nil
}

func public(key ed25519.PrivateKey) ed25519.PublicKey {
	pub, _ := key.Public().(ed25519.PublicKey)
	return pub
}
