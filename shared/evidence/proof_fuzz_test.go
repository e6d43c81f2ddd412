package evidence

import "testing"

// FuzzProof: of a tree every leaf can be proven, and nothing else can.
func FuzzProof(f *testing.F) {
	f.Add(uint16(1), uint16(0), []byte{})
	f.Add(uint16(13), uint16(12), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, n, i uint16, noise []byte) {
		leaves := make([][32]byte, int(n)%300)
		for k := range leaves {
			leaves[k] = Leaf([]byte{byte(k), byte(k >> 8)})
		}
		root, at := Root(leaves), int(i)%(len(leaves)+1)
		path := Proof(leaves, at)
		if at < len(leaves) && !VerifyProof(root, len(leaves), at, leaves[at], path) {
			t.Fatalf("leaf %d of %d can't be proven", at, len(leaves))
		}
		if len(noise) == 0 {
			return
		}
		var false32 [32]byte
		copy(false32[:], noise)
		if at < len(leaves) && VerifyProof(root, len(leaves), at, false32, path) {
			t.Fatal("a foreign leaf was proven")
		}
		bent := append([][32]byte{}, path...)
		bent = append(bent, false32)
		if at < len(leaves) && VerifyProof(root, len(leaves), at, leaves[at], bent) {
			t.Fatal("a path that is too long was taken")
		}
		var foreign [][32]byte
		for k := 0; k+32 <= len(noise) && k < 64*32; k += 32 {
			foreign = append(foreign, [32]byte(noise[k:]))
		}
		if VerifyProof(root, int(noise[0]), int(i), false32, foreign) && len(leaves) > 0 {
			t.Fatal("noise was proven")
		}
	})
}
