package wire

import "holdfast/shared/id"

// EnrolStart is the agent's first word. Nothing in it depends on the code's secret.
type EnrolStart struct {
	Version int    `json:"version"`
	Lookup  string `json:"lookup"` // the first four characters of the code: finds it, proves nothing
	Nonce   []byte `json:"nonce"`  // 32 random bytes
	Key     []byte `json:"key"`    // the agent's Ed25519 public key, made on site
	SealKey []byte `json:"seal_key"`
	EvKey   []byte `json:"evidence_key"`
	Host    string `json:"host"`
	OS      string `json:"os"`
}

// EnrolOffer is the cloud's answer: it proves the secret first, so a rogue cloud is refused before the agent
// proves anything.
type EnrolOffer struct {
	Version int    `json:"version"`
	Nonce   []byte `json:"nonce"` // 32 random bytes
	Key     []byte `json:"key"`   // the cloud's Ed25519 public key, to be pinned
	Proof   []byte `json:"proof"` // HMAC-SHA-256 over the transcript, as the cloud
	Attempt string `json:"attempt"`
	WallUs  int64  `json:"wall_us"` // the cloud's clock
}

// EnrolFinish is the agent's proof over the same transcript.
type EnrolFinish struct {
	Attempt string `json:"attempt"`
	Proof   []byte `json:"proof"`
	Sig     []byte `json:"sig"` // Ed25519 over the transcript by the key that the agent named
}

// EnrolGrant is the identity; the reply that carries it is signed by the cloud's key (header Holdfast-Signature).
type EnrolGrant struct {
	Agent    id.Agent `json:"agent"`
	Site     id.Site  `json:"site"`
	Org      id.Org   `json:"org"`
	SiteName string   `json:"site_name"`
	OrgName  string   `json:"org_name"`
	// Cameras are those that the site had before, so that a machine that replaces another goes on with them.
	Cameras []CameraKey `json:"cameras,omitempty"`
}

// CameraKey is a camera's identity and the site's own word for it.
type CameraKey struct {
	Camera  id.Camera `json:"camera"`
	Channel string    `json:"channel"`
}
