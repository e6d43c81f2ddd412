package clip

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"holdfast/cloud/blob"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// Sizes of a part. The smallest is S3's own for all parts but the last.
const (
	minPart = 5 << 20
	maxSize = 64 << 30
	// planned bounds the parts of one plan, so that a long clip's links are not all signed at once, only to end unused.
	planned = 64
)

// gone tells the agent to drop the clip.
func gone() error { return wire.Refuse(wire.RefusedGone, "the clip is not wanted any more") }

func malformed(format string, args ...any) error {
	return wire.Refuse(wire.RefusedMalformed, format, args...)
}

// own returns a clip of the agent's own site; another site's is as unknown as none.
func (r *Room) own(ctx context.Context, ref agents.Ref, clip id.Clip) (clips.Clip, error) {
	c, err := clips.Get(ctx, r.db.Read(), ref.Scope(), clip)
	if errors.Is(err, store.ErrNotFound) || (err == nil && c.Site != ref.Site) {
		return c, gone()
	}
	if err == nil && (c.State == wire.ClipUnavailable || c.State == wire.ClipLost) {
		return c, gone()
	}
	return c, err
}

func checkBegin(b wire.ClipBegin) error {
	parts := (b.Bytes + b.PartBytes - 1) / max(b.PartBytes, 1)
	switch {
	case b.Bytes <= 0 || b.Bytes > maxSize:
		return malformed("clip of %d bytes: want 1 to %d", b.Bytes, int64(maxSize))
	case b.PartBytes < minPart || b.PartBytes > wire.MaxClipPartBytes:
		return malformed("parts of %d bytes: want %d to %d", b.PartBytes, minPart, wire.MaxClipPartBytes)
	case len(b.SHA256) != sha256.Size:
		return malformed("the SHA-256 of the clip is missing")
	case int64(len(b.Parts)) != parts || parts > 10000:
		return malformed("%d parts announced, %d needed", len(b.Parts), parts)
	case slices.ContainsFunc(b.Parts, func(p []byte) bool { return len(p) != sha256.Size }):
		return malformed("the SHA-256 of a part is missing")
	}
	return nil
}

func same(u clips.Upload, bytes int64, b wire.ClipBegin) bool {
	return u.Handle != "" && bytes == b.Bytes && u.PartBytes == b.PartBytes && slices.Equal(u.SHA256, b.SHA256) &&
		slices.EqualFunc(u.Parts, b.Parts, slices.Equal[[]byte])
}

// Begin starts the upload of a cut clip, or says what is still missing of one that was interrupted.
func (r *Room) Begin(ctx context.Context, ref agents.Ref, clip id.Clip, b wire.ClipBegin) (wire.ClipPlan, error) {
	c, err := r.own(ctx, ref, clip)
	if err != nil {
		return wire.ClipPlan{}, err
	}
	if c.State == wire.ClipStored {
		return wire.ClipPlan{Stored: true}, nil
	}
	if err := checkBegin(b); err != nil {
		return wire.ClipPlan{}, err
	}
	if same(c.Upload, c.Bytes, b) {
		plan, err := r.plan(ctx, c, b.Pieces)
		if !errors.Is(err, blob.ErrUpload) {
			return plan, err
		}
	} else if c.Upload.Handle != "" {
		if err := r.blobs.Abort(ctx, key(c), c.Upload.Handle); err != nil {
			return wire.ClipPlan{}, err
		}
	}
	return r.begin(ctx, ref, c, b)
}

func (r *Room) begin(ctx context.Context, ref agents.Ref, c clips.Clip, b wire.ClipBegin) (wire.ClipPlan, error) {
	handle, err := r.blobs.Begin(ctx, key(c))
	if errors.Is(err, blob.ErrExists) {
		// The object was completed, but the cloud stopped before it said so.
		c.Upload = clips.Upload{PartBytes: b.PartBytes, SHA256: b.SHA256, Parts: b.Parts}
		c.Bytes = b.Bytes
		if err := r.verify(ctx, c); err != nil {
			return wire.ClipPlan{}, refused(err)
		}
		return wire.ClipPlan{Stored: true}, r.stored(ctx, c)
	}
	if err != nil {
		return wire.ClipPlan{}, err
	}
	c.Upload = clips.Upload{Handle: handle, PartBytes: b.PartBytes, SHA256: b.SHA256, Parts: b.Parts}
	c.Bytes = b.Bytes
	err = r.db.Tx(ctx, func(q store.Querier) error {
		return errors.Join(clips.DropPieces(ctx, q, ref.Scope(), c.ID, 0),
			clips.SetUpload(ctx, q, ref.Scope(), c.ID, c.Upload, c.Bytes, time.Now().UnixMicro()))
	})
	if err != nil {
		return wire.ClipPlan{}, errors.Join(err, r.blobs.Abort(ctx, key(c), handle))
	}
	r.changed(c.Org, c.Site, c.Camera, c.ID)
	return r.plan(ctx, c, b.Pieces)
}

// announced returns the parts of an upload as the agent announced them.
func announced(c clips.Clip) []blob.Part {
	out := make([]blob.Part, len(c.Upload.Parts))
	for i, sum := range c.Upload.Parts {
		size := min(c.Upload.PartBytes, c.Bytes-int64(i)*c.Upload.PartBytes)
		out[i] = blob.Part{Number: i + 1, Size: size, SHA256: [32]byte(sum)}
	}
	return out
}

// plan says where the missing parts go. Links are made anew at every asking: one that was refused or has ended is never
// handed out again.
func (r *Room) plan(ctx context.Context, c clips.Clip, inPieces bool) (wire.ClipPlan, error) {
	have, err := r.blobs.Parts(ctx, key(c), c.Upload.Handle)
	if err != nil {
		return wire.ClipPlan{}, err
	}
	stored := map[int]blob.Part{}
	for _, p := range have {
		stored[p.Number] = p
	}
	kept, err := clips.Pieces(ctx, r.db.Read(), store.Org(c.Org), c.ID)
	if err != nil {
		return wire.ClipPlan{}, err
	}
	plan := wire.ClipPlan{Parts: []wire.PartPlan{}}
	for _, p := range announced(c) {
		if isStored(stored[p.Number], p) {
			continue
		}
		if len(plan.Parts) == planned {
			plan.More = true
			break
		}
		next := wire.PartPlan{Number: p.Number, URL: fmt.Sprintf("%s%s/parts/%d", wire.PathClips, c.ID, p.Number)}
		switch {
		case inPieces && !whole(p, kept[p.Number]):
			next.PieceBytes, next.Pieces = wire.MaxClipPieceBytes, missingPieces(p, kept[p.Number])
		case inPieces:
			// All pieces are here, and the cloud stopped before it had put them together.
			if err := r.join(ctx, c, p); err != nil {
				return wire.ClipPlan{}, refused(err)
			}
			continue
		default:
			link, ok, err := r.blobs.Link(ctx, key(c), c.Upload.Handle, p, r.cfg.Link)
			if err != nil {
				return wire.ClipPlan{}, err
			}
			if ok {
				next.URL, next.Headers, plan.ValidUs = link.URL, link.Headers, r.cfg.Link.Microseconds()
			}
		}
		plan.Parts = append(plan.Parts, next)
	}
	return plan, nil
}

// isStored reports whether what the store has of a part is what was announced. A store that does not tell sums is
// asked for the whole at the end.
func isStored(have, want blob.Part) bool {
	return have.Size == want.Size && (have.SHA256 == [32]byte{} || have.SHA256 == want.SHA256)
}

// Part receives one part through the cloud.
func (r *Room) Part(ctx context.Context, ref agents.Ref, clip id.Clip, number int, body io.Reader) error {
	c, err := r.own(ctx, ref, clip)
	if err != nil {
		return err
	}
	parts := announced(c)
	if c.Upload.Handle == "" || number < 1 || number > len(parts) {
		return again("part %d was not announced", number)
	}
	if err := r.blobs.PutPart(ctx, key(c), c.Upload.Handle, parts[number-1], body); err != nil {
		return refused(err)
	}
	return r.arrived(ctx, c, parts[number-1].Size)
}

// arrived counts bytes, for people.
func (r *Room) arrived(ctx context.Context, c clips.Clip, bytes int64) error {
	err := r.db.Tx(ctx, func(q store.Querier) error {
		return clips.SetSent(ctx, q, store.Org(c.Org), c.ID, min(c.Bytes, c.Sent+bytes), time.Now().UnixMicro())
	})
	if err == nil {
		r.changed(c.Org, c.Site, c.Camera, c.ID)
	}
	return err
}

// Complete joins the parts, verifies the whole and says "stored". It answers nil again when it is asked again.
func (r *Room) Complete(ctx context.Context, ref agents.Ref, clip id.Clip, _ wire.ClipComplete) error {
	c, err := r.own(ctx, ref, clip)
	if err != nil {
		return err
	}
	if c.State == wire.ClipStored {
		return nil
	}
	if c.Upload.Handle == "" {
		return again("no upload was begun")
	}
	if err := r.blobs.Complete(ctx, key(c), c.Upload.Handle, announced(c)); err != nil {
		return refused(err)
	}
	if err := r.verify(ctx, c); err != nil {
		return refused(err)
	}
	return r.stored(ctx, c)
}

// again tells the agent to begin the upload anew.
func again(format string, args ...any) error {
	return wire.Refuse(wire.RefusedConflict, format+": begin the upload again", args...)
}

// refused turns what the agent can mend by beginning anew into a refusal that says so.
func refused(err error) error {
	if errors.Is(err, blob.ErrMismatch) || errors.Is(err, blob.ErrUpload) {
		return again("%v", err)
	}
	return err
}

func (r *Room) stored(ctx context.Context, c clips.Clip) error {
	err := r.db.Tx(ctx, func(q store.Querier) error {
		return errors.Join(clips.DropPieces(ctx, q, store.Org(c.Org), c.ID, 0),
			clips.SetStored(ctx, q, store.Org(c.Org), c.ID, time.Now().UnixMicro()))
	})
	if err != nil {
		return err
	}
	r.log.Info("clip stored", "clip", c.ID, "site", c.Site, "bytes", c.Bytes)
	r.changed(c.Org, c.Site, c.Camera, c.ID)
	return nil
}

// verify has the store prove the whole object. One that differs is removed, and the upload begins anew.
func (r *Room) verify(ctx context.Context, c clips.Clip) error {
	err := r.blobs.Verify(ctx, key(c), announced(c))
	if err == nil {
		return nil
	}
	if errors.Is(err, blob.ErrNotFound) {
		err = fmt.Errorf("%w: %w", err, blob.ErrMismatch) // it was completed a moment ago
	}
	if !errors.Is(err, blob.ErrMismatch) {
		return fmt.Errorf("verify clip: %w", err)
	}
	r.log.Error("a clip differs from what its site announced; it is sent again", "clip", c.ID, "error", err)
	again := r.db.Tx(ctx, func(q store.Querier) error {
		return clips.ResetUpload(ctx, q, store.Org(c.Org), c.ID, "What arrived differed from what was sent; it is sent again.", time.Now().UnixMicro())
	})
	return errors.Join(fmt.Errorf("verify clip: %w", err), ignoreMissing(again), r.blobs.Delete(ctx, key(c)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
