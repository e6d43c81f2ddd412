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
		plan, err := r.plan(ctx, c)
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
		c.Upload = clips.Upload{SHA256: b.SHA256}
		c.Bytes = b.Bytes
		if err := r.verify(ctx, c); err != nil {
			return wire.ClipPlan{}, err
		}
		return wire.ClipPlan{Stored: true}, r.stored(ctx, c)
	}
	if err != nil {
		return wire.ClipPlan{}, err
	}
	c.Upload = clips.Upload{Handle: handle, PartBytes: b.PartBytes, SHA256: b.SHA256, Parts: b.Parts}
	c.Bytes = b.Bytes
	err = r.db.Tx(ctx, func(q store.Querier) error {
		return clips.SetUpload(ctx, q, ref.Scope(), c.ID, c.Upload, c.Bytes, time.Now().UnixMicro())
	})
	if err != nil {
		return wire.ClipPlan{}, errors.Join(err, r.blobs.Abort(ctx, key(c), handle))
	}
	r.changed(c.Org, c.Site, c.Camera, c.ID)
	return r.plan(ctx, c)
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

func (r *Room) plan(ctx context.Context, c clips.Clip) (wire.ClipPlan, error) {
	have, err := r.blobs.Parts(ctx, key(c), c.Upload.Handle)
	if err != nil {
		return wire.ClipPlan{}, err
	}
	sizes := map[int]int64{}
	for _, p := range have {
		sizes[p.Number] = p.Size
	}
	plan := wire.ClipPlan{Parts: []wire.PartPlan{}}
	for _, p := range announced(c) {
		if sizes[p.Number] == p.Size {
			continue
		}
		link, ok, err := r.blobs.Link(ctx, key(c), c.Upload.Handle, p, r.cfg.Link)
		if err != nil {
			return wire.ClipPlan{}, err
		}
		if !ok {
			link.URL = fmt.Sprintf("%s%s/parts/%d", wire.PathClips, c.ID, p.Number)
		}
		plan.Parts = append(plan.Parts, wire.PartPlan{Number: p.Number, URL: link.URL, Headers: link.Headers})
	}
	return plan, nil
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
	sent := min(c.Bytes, c.Sent+parts[number-1].Size)
	err = r.db.Tx(ctx, func(q store.Querier) error {
		return clips.SetSent(ctx, q, ref.Scope(), clip, sent, time.Now().UnixMicro())
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
		return clips.SetStored(ctx, q, store.Org(c.Org), c.ID, time.Now().UnixMicro())
	})
	if err != nil {
		return err
	}
	r.log.Info("clip stored", "clip", c.ID, "site", c.Site, "bytes", c.Bytes)
	r.changed(c.Org, c.Site, c.Camera, c.ID)
	return nil
}

// verify reads the whole object back. One that differs is removed, and the upload begins anew.
func (r *Room) verify(ctx context.Context, c clips.Clip) error {
	reader, size, err := r.blobs.Open(ctx, key(c))
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, reader)
	if err := errors.Join(err, reader.Close()); err != nil {
		return fmt.Errorf("verify clip: %w", err)
	}
	if size == c.Bytes && slices.Equal(sum.Sum(nil), c.Upload.SHA256) {
		return nil
	}
	r.log.Error("a clip differs from what its site announced; it is sent again", "clip", c.ID, "bytes", size, "announced", c.Bytes)
	err = r.db.Tx(ctx, func(q store.Querier) error {
		return clips.ResetUpload(ctx, q, store.Org(c.Org), c.ID, "What arrived differed from what was sent; it is sent again.", time.Now().UnixMicro())
	})
	return errors.Join(fmt.Errorf("verify clip: %w", blob.ErrMismatch), ignoreMissing(err), r.blobs.Delete(ctx, key(c)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
