package clip

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

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
}

type upload struct {
	begin wire.ClipBegin
	parts map[int][]byte
	whole []byte // once it is stored
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
		u = &upload{begin: b, parts: map[int][]byte{}}
		c.clips[clip] = u
	}
	plan := wire.ClipPlan{Stored: u.whole != nil}
	for i := range b.Parts {
		if u.whole == nil && u.parts[i+1] == nil {
			plan.Parts = append(plan.Parts, wire.PartPlan{Number: i + 1, URL: string(clip)})
		}
	}
	return plan, nil
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
	u := c.clips[id.Clip(p.URL)]
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
