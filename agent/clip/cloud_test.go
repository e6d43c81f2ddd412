package clip

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// cloud is the far side: it keeps parts in memory and fails as told.
type cloud struct {
	mu    sync.Mutex
	clips map[id.Clip]*upload
	fail  func(op string, part int) error // asked before each operation; nil succeeds
	puts  []int                           // parts that arrived, in order
	bad   []id.Clip                       // never taken
	valid time.Duration                   // of links; 0: for ever
	most  int                             // parts in one plan; 0: all
	short int64                           // above 0: nothing larger passes the line
	piece int64                           // of pieces; 0: the wire's
	plans int
	got   []string // pieces that arrived, as "part/piece"
}

type upload struct {
	begin  wire.ClipBegin
	parts  map[int][]byte
	pieces map[int]map[int][]byte
	whole  []byte // once it is stored
}

// set makes the cloud fail as fn says.
func (c *cloud) set(fn func(op string, part int) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fn
}

// refuse makes the cloud fail for a clip, for good.
func (c *cloud) refuse(clip id.Clip) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad = append(c.bad, clip)
}

func (c *cloud) ask(op string, part int) error {
	if c.fail == nil {
		return nil
	}
	return c.fail(op, part)
}

func (c *cloud) stored(clip id.Clip) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.clips[clip]; u != nil {
		return u.whole
	}
	return nil
}

// arrived returns the numbers of the parts that came, in order.
func (c *cloud) arrived() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.puts)
}

// Begin implements Sender.
func (c *cloud) Begin(_ context.Context, clip id.Clip, b wire.ClipBegin) (wire.ClipPlan, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ask("begin", 0); err != nil {
		return wire.ClipPlan{}, err
	}
	if slices.Contains(c.bad, clip) {
		return wire.ClipPlan{}, errors.New("this clip can't be taken")
	}
	u := c.clips[clip]
	if u == nil || !bytes.Equal(u.begin.SHA256, b.SHA256) {
		u = &upload{begin: b, parts: map[int][]byte{}, pieces: map[int]map[int][]byte{}}
		c.clips[clip] = u
	}
	c.plans++
	plan := wire.ClipPlan{Stored: u.whole != nil, ValidUs: c.valid.Microseconds()}
	for i := range b.Parts {
		if u.whole != nil || u.parts[i+1] != nil {
			continue
		}
		if c.most > 0 && len(plan.Parts) == c.most {
			plan.More = true
			break
		}
		p := wire.PartPlan{Number: i + 1, URL: string(clip)}
		if b.Pieces {
			p.PieceBytes = c.pieceBytes()
			_, size := span(b, i+1)
			for n := 1; int64(n-1)*p.PieceBytes < size; n++ {
				if u.pieces[i+1][n] == nil {
					p.Pieces = append(p.Pieces, n)
				}
			}
		}
		plan.Parts = append(plan.Parts, p)
	}
	return plan, nil
}

func (c *cloud) pieceBytes() int64 {
	if c.piece == 0 {
		return wire.MaxClipPieceBytes
	}
	return c.piece
}

// takePiece puts a part together once all of its pieces are there.
func (c *cloud) takePiece(u *upload, part, piece int, b []byte) error {
	c.got = append(c.got, fmt.Sprintf("%d/%d", part, piece))
	if u.pieces[part] == nil {
		u.pieces[part] = map[int][]byte{}
	}
	u.pieces[part][piece] = b
	_, size := span(u.begin, part)
	var whole []byte
	for n := 1; int64(n-1)*c.pieceBytes() < size; n++ {
		whole = append(whole, u.pieces[part][n]...)
	}
	if int64(len(whole)) < size {
		return nil
	}
	if got := sha256.Sum256(whole); !bytes.Equal(got[:], u.begin.Parts[part-1]) {
		return fmt.Errorf("the pieces of part %d are not the part", part)
	}
	u.parts[part] = whole
	c.puts = append(c.puts, part)
	return nil
}

// Put implements Sender.
func (c *cloud) Put(_ context.Context, p wire.PartPlan, body io.ReadSeeker, size int64, sum []byte) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ask("put", p.Number); err != nil {
		return err
	}
	if c.short > 0 && size > c.short {
		return errors.New("the line broke before the part had passed")
	}
	clip, piece, inPieces := strings.Cut(p.URL, "/pieces/")
	u := c.clips[id.Clip(clip)]
	if inPieces {
		n, err := strconv.Atoi(piece)
		if err != nil {
			return err
		}
		return c.takePiece(u, p.Number, n, b)
	}
	if got := sha256.Sum256(b); !bytes.Equal(got[:], sum) || int64(len(b)) != size || !bytes.Equal(sum, u.begin.Parts[p.Number-1]) {
		return fmt.Errorf("part %d has %d bytes and another sum than announced", p.Number, len(b))
	}
	u.parts[p.Number] = b
	c.puts = append(c.puts, p.Number)
	return nil
}

// Complete implements Sender.
func (c *cloud) Complete(_ context.Context, clip id.Clip, _ wire.ClipComplete) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ask("complete", 0); err != nil {
		return err
	}
	u := c.clips[clip]
	var whole []byte
	for i := range u.begin.Parts {
		whole = append(whole, u.parts[i+1]...)
	}
	if got := sha256.Sum256(whole); !bytes.Equal(got[:], u.begin.SHA256) || int64(len(whole)) != u.begin.Bytes {
		return errors.New("the clip is not what was announced")
	}
	u.whole = whole
	return nil
}
