package clip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"holdfast/cloud/blob"
	"holdfast/cloud/store"
	"holdfast/cloud/store/agents"
	"holdfast/cloud/store/clips"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// pieceOf returns the size of a piece of a part, 0 for one that it does not have.
func pieceOf(p blob.Part, piece int) int64 {
	at := int64(piece-1) * wire.MaxClipPieceBytes
	return max(min(wire.MaxClipPieceBytes, p.Size-at), 0)
}

// missingPieces returns the numbers of the pieces that are not kept.
func missingPieces(p blob.Part, kept map[int]int64) []int {
	var out []int
	for n := 1; pieceOf(p, n) > 0; n++ {
		if kept[n] != pieceOf(p, n) {
			out = append(out, n)
		}
	}
	return out
}

func whole(p blob.Part, kept map[int]int64) bool { return len(missingPieces(p, kept)) == 0 }

// Piece receives one piece of a part, keeps it until all are here, and then stores the part.
func (r *Room) Piece(ctx context.Context, ref agents.Ref, clip id.Clip, number, piece int, body io.Reader) error {
	c, err := r.own(ctx, ref, clip)
	if err != nil {
		return err
	}
	parts := announced(c)
	if c.Upload.Handle == "" || number < 1 || number > len(parts) || piece < 1 {
		return again("part %d was not announced", number)
	}
	p := parts[number-1]
	size := pieceOf(p, piece)
	raw, err := io.ReadAll(io.LimitReader(body, wire.MaxClipPieceBytes+1))
	switch {
	case err != nil:
		return fmt.Errorf("receive piece: %w", err)
	case int64(len(raw)) != size || size == 0:
		return malformed("piece %d of part %d has %d bytes, want %d", piece, number, len(raw), size)
	}
	var kept map[int]map[int]int64
	err = r.db.Tx(ctx, func(q store.Querier) (err error) {
		if err := clips.PutPiece(ctx, q, c, number, piece, raw, time.Now().UnixMicro()); err != nil {
			return err
		}
		kept, err = clips.Pieces(ctx, q, store.Org(c.Org), c.ID)
		return err
	})
	if err != nil {
		return err
	}
	if !whole(p, kept[number]) {
		return r.arrived(ctx, c, size)
	}
	if err := r.join(ctx, c, p); err != nil {
		return refused(err)
	}
	return r.arrived(ctx, c, size)
}

// join puts a part together of its pieces and stores it. Pieces of other bytes than the part are forgotten: the agent
// sends them again.
func (r *Room) join(ctx context.Context, c clips.Clip, p blob.Part) error {
	scope := store.Org(c.Org)
	raw, err := clips.Part(ctx, r.db.Read(), scope, c.ID, p.Number)
	if err != nil {
		return err
	}
	err = r.blobs.PutPart(ctx, key(c), c.Upload.Handle, p, bytes.NewReader(raw))
	if err != nil && !errors.Is(err, blob.ErrMismatch) {
		return err
	}
	return errors.Join(err, r.db.Tx(ctx, func(q store.Querier) error { return clips.DropPieces(ctx, q, scope, c.ID, p.Number) }))
}
