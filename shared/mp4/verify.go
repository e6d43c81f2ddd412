package mp4

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"holdfast/shared/evidence"
)

// Report is the outcome of VerifySegment. OK is the verdict, Problems say in words what is wrong when it is not.
type Report struct {
	OK        bool
	Header    Header
	Statement evidence.Statement // what the seal says; proven only if Signed
	Sealed    bool               // there is a seal
	Signed    bool               // its signature holds under one of the keys
	Intact    bool               // all but the signature holds: nothing has changed since somebody sealed it
	Parts     int                // parts whose sums hold and which the seal covers
	BadParts  []uint32           // numbers of the parts that are damaged, altered or missing
	Damage    []Damage           // the same with their times
	Problems  []string

	faults int // problems that are not about the signature
}

// Damage says which parts of a segment are damaged, altered or missing, and when they play: between the whole ones
// around them.
type Damage struct {
	Segment uint64 `json:"segment"`
	First   uint32 `json:"first"` // number of the first part
	Last    uint32 `json:"last"`
	FromUs  int64  `json:"from_us"` // wall time
	ToUs    int64  `json:"to_us"`
}

// maxProblems bounds a report on a file made to give many; what comes after is not said.
const maxProblems = 100

func (rep *Report) problem(format string, args ...any) {
	rep.faults++
	rep.Problems = appendProblem(rep.Problems, format, args...)
}

func appendProblem(problems []string, format string, args ...any) []string {
	if len(problems) >= maxProblems {
		return problems
	}
	return append(problems, fmt.Sprintf(format, args...))
}

// VerifySegment checks a whole segment against the site's public keys: header, every payload, Merkle root, signature.
// The error is for files that cannot be read at all; a file that was altered gets a Report that is not OK.
func VerifySegment(r io.ReaderAt, size int64, keys ...ed25519.PublicKey) (Report, error) {
	var rep Report
	init, err := readInit(r, size)
	if err == nil {
		rep.Header, err = parseInit(init)
	}
	if err != nil {
		return rep, fmt.Errorf("verify segment: %w", err)
	}
	signed, leaves, end, err := ReadSeal(r, size)
	switch {
	case err == nil:
		rep.Sealed = true
		rep.checkStatement(signed, leaves, init, keys)
	case errors.Is(err, ErrNoSeal) || errors.Is(err, ErrFormat):
		end = size
		rep.problem("the segment has no whole seal: %v", err)
	default:
		return rep, fmt.Errorf("verify segment: %w", err)
	}
	parts, err := rep.checkParts(r, int64(len(init)), end, leaves)
	if err == nil && rep.Sealed && len(rep.BadParts) == 0 {
		err = rep.checkIndex(r, size, int64(len(init)), parts)
	}
	if err != nil {
		return rep, fmt.Errorf("verify segment: %w", err)
	}
	rep.Intact = rep.Sealed && rep.faults == 0
	rep.OK = rep.Signed && rep.Intact
	return rep, nil
}

func (rep *Report) checkStatement(signed evidence.Signed, leaves [][32]byte, init []byte, keys []ed25519.PublicKey) {
	s, err := evidence.Verify(signed, keys...)
	rep.Statement, rep.Signed = s, err == nil
	if err != nil && !errors.Is(err, evidence.ErrSignature) {
		rep.problem("%v", err)
	} else if err != nil {
		rep.Problems = appendProblem(rep.Problems, "%v", err)
	}
	if int(s.Parts) != len(leaves) || evidence.Root(leaves) != s.Root {
		rep.problem("the list of parts in the seal is not the signed one")
	}
	for _, text := range compareHeader(&rep.Header, init, &s) {
		rep.problem("%s", text)
	}
}

// compareHeader says where a file's opening differs from what was signed.
func compareHeader(h *Header, init []byte, s *evidence.Statement) (problems []string) {
	if sha256.Sum256(init) != s.Init {
		problems = append(problems, "the opening of the file (identity, codec parameters) is not the signed one")
	}
	if h.Segment != s.Segment || h.Run != s.Run || h.Site != s.Site || h.Camera != s.Camera || h.Stream != s.Stream || h.Origin != s.Origin {
		problems = append(problems, "the file says it is another segment than the signed one")
	}
	return problems
}

// checkParts compares the parts between off and end with the signed leaves, going on behind damaged ones, and returns
// the sums of the good ones.
func (rep *Report) checkParts(r io.ReaderAt, off, end int64, leaves [][32]byte) ([]PartSum, error) {
	c := checker{r: r}
	var good []PartSum
	next := uint32(1)           // the least number that may follow
	endUs := rep.Header.StartUs // of the whole part before
	missing := func(until uint32, untilUs int64) {
		first := next
		for ; next < until && int(next) <= len(leaves); next++ {
			rep.BadParts = append(rep.BadParts, next)
		}
		if next > first {
			rep.Damage = append(rep.Damage, Damage{Segment: rep.Header.Segment, First: first, Last: next - 1, FromUs: endUs, ToUs: max(untilUs, endUs)})
		}
	}
	for off < end && len(rep.Problems) < maxProblems {
		p, err := ReadPart(r, end, off, rep.Header)
		if err == nil {
			err = c.check(&p)
		}
		if err != nil && !errors.Is(err, ErrFormat) {
			return nil, err
		}
		if err != nil {
			rep.problem("damage at byte %d: %v", off, err)
			if off, err = nextPart(r, off, end); err != nil {
				return nil, err
			}
			continue
		}
		off += p.Size
		i := int(p.Sum.Seq) - 1
		switch {
		case p.Sum.Seq < next:
			rep.problem("part %d at byte %d is there twice or out of order", p.Sum.Seq, p.Offset)
			continue
		case rep.Sealed && (i >= len(leaves) || leaves[i] != p.Sum.Leaf()):
			rep.problem("part %d at byte %d is not the signed one", p.Sum.Seq, p.Offset)
			continue
		}
		missing(p.Sum.Seq, p.Sum.StartUs)
		next, endUs = p.Sum.Seq+1, p.Sum.EndUs
		good = append(good, p.Sum)
	}
	missing(uint32(len(leaves))+1, rep.Statement.EndUs)
	if len(rep.BadParts) > 0 {
		rep.problem("%d of %d signed parts are damaged, altered or missing", len(rep.BadParts), len(leaves))
	}
	rep.Parts = len(good)
	return good, nil
}

// nextPart returns the offset, behind off, of the next thing that looks like a part header, or end.
func nextPart(r io.ReaderAt, off, end int64) (int64, error) {
	const ahead = 4 // the size of the box comes before the mark
	mark := []byte("uuid" + uuidPart)
	buf := make([]byte, min(readSize, max(end-off, 0)))
	for off++; end-off > int64(ahead+len(mark)); {
		b := buf[:min(int64(len(buf)), end-off)]
		if err := readFull(r, off, b); err != nil {
			return end, err
		}
		if i := bytes.Index(b[ahead:], mark); i >= 0 {
			return off + int64(i), nil
		}
		off += int64(len(b) - len(mark) - ahead + 1) // it may lie across the border
	}
	return end, nil
}

// checkIndex sees that the index of key frames behind the seal is the one that follows from the parts.
func (rep *Report) checkIndex(r io.ReaderAt, size, initSize int64, parts []PartSum) error {
	w := writer{}
	w.mfra(&Seal{InitSize: initSize, Video: rep.Header.track(true), Parts: parts})
	index, err := readAt(r, size, size-int64(len(w.b)), len(w.b))
	if errors.Is(err, ErrFormat) || err == nil && !bytes.Equal(index, w.b) {
		rep.problem("the index of key frames does not fit the parts")
		return nil
	}
	return err
}
