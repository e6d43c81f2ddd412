package wire

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"holdfast/shared/id"
)

// Direction says which way a frame goes; it keeps one side's frame from being played back to it.
type Direction string

// The two directions.
const (
	Up   Direction = "up"   // agent to cloud
	Down Direction = "down" // cloud to agent
)

const frameOverhead = ed25519.SignatureSize + 4

// frameHeader is the JSON part of a frame. A frame is 64 bytes of signature over everything after them, 4 bytes
// (big endian) with the header's length, the header, and the body.
type frameHeader struct {
	Session   id.Session      `json:"session"`
	Direction Direction       `json:"dir"`
	Counter   uint64          `json:"n"`
	ExpiresUs int64           `json:"exp_us"` // by the cloud's clock
	Type      FrameType       `json:"type"`
	Message   json.RawMessage `json:"msg"`
}

// Frame is one verified message of a session.
type Frame struct {
	Type    FrameType
	Message json.RawMessage // of the type that FrameType names
	Body    []byte
}

func frameText(rest []byte) []byte {
	return append([]byte("holdfast frame 1\n"), rest...)
}

// Sealer numbers and signs the frames of one direction of one session. Not safe for concurrent use: frames must
// be sent in the order of their sealing.
type Sealer struct {
	key       ed25519.PrivateKey
	session   id.Session
	direction Direction
	counter   uint64
}

// NewSealer returns a Sealer whose first frame has the counter 1.
func NewSealer(key ed25519.PrivateKey, session id.Session, direction Direction) *Sealer {
	return &Sealer{key: key, session: session, direction: direction}
}

// Seal returns a frame with a message and a body, accepted until expiresUs by the cloud's clock. A frame above
// MaxFrameBytes is an error and takes no number.
func (s *Sealer) Seal(typ FrameType, message any, body []byte, expiresUs int64) ([]byte, error) {
	msg, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode %s frame: %w", typ, err)
	}
	header, err := json.Marshal(frameHeader{
		Session: s.session, Direction: s.direction, Counter: s.counter + 1, ExpiresUs: expiresUs, Type: typ, Message: msg,
	})
	if err != nil {
		return nil, fmt.Errorf("encode %s frame: %w", typ, err)
	}
	size := frameOverhead + len(header) + len(body)
	if size > MaxFrameBytes {
		return nil, fmt.Errorf("the %s frame has %d bytes, the limit is %d", typ, size, MaxFrameBytes)
	}
	frame := make([]byte, ed25519.SignatureSize, size)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(header)))
	frame = append(append(frame, header...), body...)
	copy(frame, ed25519.Sign(s.key, frameText(frame[ed25519.SignatureSize:])))
	s.counter++
	return frame, nil
}

// Opener verifies the frames of one direction of one session. Not safe for concurrent use.
type Opener struct {
	key       ed25519.PublicKey
	session   id.Session
	direction Direction
	counter   uint64
}

// NewOpener returns an Opener that expects the counter 1 first.
func NewOpener(key ed25519.PublicKey, session id.Session, direction Direction) *Opener {
	return &Opener{key: key, session: session, direction: direction}
}

// Open verifies a frame: signature, session, direction, the very next counter, and expiry against the cloud's
// clock. The error is a Refusal; after any error the session must end. The frame's bytes are kept.
func (o *Opener) Open(frame []byte, nowUs int64) (Frame, error) {
	if len(frame) > MaxFrameBytes {
		return Frame{}, Refuse(RefusedTooLarge, "a frame of %d bytes came, the limit is %d", len(frame), MaxFrameBytes)
	}
	if len(frame) < frameOverhead {
		return Frame{}, Refuse(RefusedMalformed, "a frame of only %d bytes came", len(frame))
	}
	sig, rest := frame[:ed25519.SignatureSize], frame[ed25519.SignatureSize:]
	if len(o.key) != ed25519.PublicKeySize || !ed25519.Verify(o.key, frameText(rest), sig) {
		return Frame{}, Refuse(RefusedSignature, "a frame's signature does not hold")
	}
	length := binary.BigEndian.Uint32(rest)
	rest = rest[4:]
	if uint64(length) > uint64(len(rest)) {
		return Frame{}, Refuse(RefusedMalformed, "a frame's header is longer than the frame")
	}
	var h frameHeader
	if err := Decode(rest[:length], &h); err != nil {
		return Frame{}, Refuse(RefusedMalformed, "a frame's header cannot be read: %v", err)
	}
	switch {
	case h.Session != o.session || h.Direction != o.direction:
		return Frame{}, Refuse(RefusedReplay, "a frame of another session or direction came")
	case h.Counter != o.counter+1:
		return Frame{}, Refuse(RefusedReplay, "frame %d came where frame %d was due", h.Counter, o.counter+1)
	}
	o.counter = h.Counter
	if err := fresh("frame", h.ExpiresUs, nowUs); err != nil {
		return Frame{}, err
	}
	return Frame{Type: h.Type, Message: h.Message, Body: rest[length:]}, nil
}
