package evidence

import "crypto/sha256"

// Domain bytes of RFC 6962 section 2.1: a leaf can never be taken for an inner node.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// MaxLeaves is the largest number of leaves that Proof and VerifyProof accept.
const MaxLeaves = 1 << 20

// Leaf returns the Merkle leaf hash of entry: SHA-256(0x00 || entry), RFC 6962 section 2.1.
func Leaf(entry []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte{leafPrefix})
	h.Write(entry)
	return [32]byte(h.Sum(nil))
}

// Root returns the Merkle tree hash over leaf hashes in order, RFC 6962 section 2.1; of no leaves it is SHA-256 of nothing.
func Root(leaves [][32]byte) [32]byte {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := split(len(leaves))
	return node(Root(leaves[:k]), Root(leaves[k:]))
}

// Proof returns the audit path of leaf i, nearest sibling first, RFC 6962 section 2.1.1; it is nil when i is out of range.
func Proof(leaves [][32]byte, i int) [][32]byte {
	if i < 0 || i >= len(leaves) || len(leaves) > MaxLeaves {
		return nil
	}
	var path [][32]byte
	for lo, hi := 0, len(leaves); hi-lo > 1; {
		k := lo + split(hi-lo)
		if i < k {
			path = append(path, Root(leaves[k:hi]))
			hi = k
		} else {
			path = append(path, Root(leaves[lo:k]))
			lo = k
		}
	}
	for a, b := 0, len(path)-1; a < b; a, b = a+1, b-1 {
		path[a], path[b] = path[b], path[a]
	}
	return path
}

// VerifyProof says whether leaf is leaf number i of the n leaves under root, by its audit path (RFC 9162 section 2.1.3.2).
func VerifyProof(root [32]byte, n, i int, leaf [32]byte, path [][32]byte) bool {
	if i < 0 || i >= n || n > MaxLeaves {
		return false
	}
	at, last, sum := i, n-1, leaf
	for _, sibling := range path {
		if last == 0 {
			return false
		}
		if at&1 == 1 || at == last {
			sum = node(sibling, sum)
			for at&1 == 0 && at != 0 {
				at >>= 1
				last >>= 1
			}
		} else {
			sum = node(sum, sibling)
		}
		at >>= 1
		last >>= 1
	}
	return last == 0 && sum == root
}

func node(left, right [32]byte) [32]byte {
	var b [65]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// split returns the largest power of two below n, for n > 1.
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}
