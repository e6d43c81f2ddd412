package wire

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// maxEpoch bounds the name of a ledger's epoch, in bytes.
const maxEpoch = 64

// BatchCoder turns batches into zstd-compressed JSON (RFC 8878, RFC 8259) and back, with limits on both sides.
// Safe for concurrent use; it keeps its buffers, so a program has one.
type BatchCoder struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// NewBatchCoder returns a BatchCoder that encodes and decodes up to parallel batches at once.
func NewBatchCoder(parallel int) (*BatchCoder, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(parallel), zstd.WithWindowSize(1<<20),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(parallel), zstd.WithDecoderMaxMemory(MaxBatchBytes),
		zstd.WithDecoderMaxWindow(MaxBatchBytes), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &BatchCoder{enc: enc, dec: dec}, nil
}

// Encode returns the body of a PathBatch request.
func (c *BatchCoder) Encode(b Batch) ([]byte, error) {
	if err := b.Check(); err != nil {
		return nil, fmt.Errorf("encode batch: %w", err)
	}
	packed, err := c.Pack(b)
	if err != nil {
		return nil, fmt.Errorf("encode batch: %w", err)
	}
	return packed, nil
}

// Pack returns any message as the body of a request that is packed like a batch.
func (c *BatchCoder) Pack(message any) ([]byte, error) {
	plain, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(plain) > MaxBatchBytes {
		return nil, fmt.Errorf("encode message: %d bytes, the limit is %d: send less at once", len(plain), MaxBatchBytes)
	}
	return c.enc.EncodeAll(plain, nil), nil
}

// Unpack is the reverse of Pack. The error is a Refusal: too_large or malformed.
func (c *BatchCoder) Unpack(body []byte, message any) error {
	plain, err := c.dec.DecodeAll(body, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || len(plain) > MaxBatchBytes {
		return Refuse(RefusedTooLarge, "the message is larger than %d bytes when unpacked", MaxBatchBytes)
	}
	if err != nil {
		return Refuse(RefusedMalformed, "the message cannot be unpacked: %v", err)
	}
	if err := Decode(plain, message); err != nil {
		return Refuse(RefusedMalformed, "the message cannot be read: %v", err)
	}
	return nil
}

// Decode is the reverse of Encode. The error is a Refusal: too_large or malformed. A fact that cannot be applied
// does not spoil its batch: Fact.Check finds it, so that it can be put aside.
func (c *BatchCoder) Decode(body []byte) (Batch, error) {
	var b Batch
	if err := c.Unpack(body, &b); err != nil {
		return Batch{}, err
	}
	if len(b.Facts) > MaxBatchFacts {
		return Batch{}, Refuse(RefusedTooLarge, "the batch has %d facts, the limit is %d", len(b.Facts), MaxBatchFacts)
	}
	if err := b.Check(); err != nil {
		return Batch{}, Refuse(RefusedMalformed, "the batch is not in order: %v", err)
	}
	return b, nil
}

// Check reports whether the batch can be applied as a whole: a named epoch, a known lane, and 1 to MaxBatchFacts
// facts whose seqs follow each other.
func (b Batch) Check() error {
	switch {
	case b.Epoch == "" || len(b.Epoch) > maxEpoch:
		return errors.New("the epoch is missing or too long")
	case b.Queue < 0:
		return errors.New("the queue is negative")
	case b.Lane != Urgent && b.Lane != Live && b.Lane != Backlog:
		return fmt.Errorf("there is no lane %q", b.Lane)
	case len(b.Facts) == 0:
		return errors.New("it holds no fact")
	case len(b.Facts) > MaxBatchFacts:
		return fmt.Errorf("it holds %d facts, the limit is %d", len(b.Facts), MaxBatchFacts)
	case b.Facts[0].Seq < 1:
		return errors.New("seqs begin at 1")
	}
	for i, f := range b.Facts {
		if f.Seq-int64(i) != b.Facts[0].Seq {
			return fmt.Errorf("seq %d comes where %d is due", f.Seq, b.Facts[0].Seq+int64(i))
		}
	}
	return nil
}

// Known reports whether k is in the list of kinds.
func (k FactKind) Known() bool {
	switch k {
	case KindRun, KindCoverage, KindGap, KindTrim, KindEvent, KindClip, KindCondition, KindOutage:
		return true
	}
	return false
}

// Check reports whether a fact by itself can be applied: a known kind and a body within MaxFactBytes.
func (f Fact) Check() error {
	if !f.Kind.Known() {
		return fmt.Errorf("there is no kind of fact %q", f.Kind)
	}
	if len(f.Body) == 0 || len(f.Body) > MaxFactBytes {
		return fmt.Errorf("the body of the fact has %d bytes, the limit is %d", len(f.Body), MaxFactBytes)
	}
	return nil
}
