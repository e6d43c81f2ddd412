package evidence

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// inputs and roots are the test vectors that implementations of Certificate Transparency share.
func vectors() (inputs []string, roots []string) {
	return []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"},
		[]string{
			"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
			"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
			"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
			"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
			"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
			"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
			"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
			"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
		}
}

func TestRootOfPublishedVectors(t *testing.T) {
	inputs, roots := vectors()
	var leaves [][32]byte
	if got := Root(nil); got != sha256.Sum256(nil) {
		t.Fatalf("root of nothing is %x", got)
	}
	for i, in := range inputs {
		entry, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, Leaf(entry))
		if got := Root(leaves); hex.EncodeToString(got[:]) != roots[i] {
			t.Fatalf("root of %d leaves is %x, want %s", i+1, got, roots[i])
		}
	}
}

func TestProofsHoldForTheirLeafAlone(t *testing.T) {
	for n := 1; n <= 70; n++ {
		leaves := make([][32]byte, n)
		for i := range leaves {
			leaves[i] = Leaf([]byte{byte(i), byte(n)})
		}
		root := Root(leaves)
		for i := range leaves {
			path := Proof(leaves, i)
			if !VerifyProof(root, n, i, leaves[i], path) {
				t.Fatalf("proof of leaf %d of %d does not hold", i, n)
			}
			if VerifyProof(root, n, i, Leaf([]byte("other")), path) {
				t.Fatalf("proof of leaf %d of %d holds for another leaf", i, n)
			}
			if n > 1 && VerifyProof(root, n, (i+1)%n, leaves[i], path) {
				t.Fatalf("proof of leaf %d of %d holds at another place", i, n)
			}
			if VerifyProof(root, n, i, leaves[i], append(path[:len(path):len(path)], root)) {
				t.Fatalf("proof of leaf %d of %d holds with one hash too many", i, n)
			}
			if len(path) > 0 && VerifyProof(root, n, i, leaves[i], path[1:]) {
				t.Fatalf("proof of leaf %d of %d holds with one hash too few", i, n)
			}
		}
	}
	if Proof(nil, 0) != nil || Proof(make([][32]byte, 3), 3) != nil || VerifyProof([32]byte{}, 0, 0, [32]byte{}, nil) {
		t.Fatal("a leaf out of range has a proof")
	}
}

func sample() Statement {
	return Statement{
		Segment: 42, Site: "site_1", Camera: "cam_7", Stream: "main", Run: 9,
		StartUs: 1_700_000_000_000_000, EndUs: 1_700_000_060_000_000, MonoUs: -5, Parts: 60,
		Root: sha256.Sum256([]byte("root")), Init: sha256.Sum256([]byte("init")), Previous: sha256.Sum256([]byte("prev")),
		WallOffsetUs: -1234, OffsetKnown: true, Recovered: true, Origin: "nvr",
		Gaps: []Gap{{1, 2, "unreachable"}, {3, 4, "slow_disk"}},
	}
}

func testKey(seed byte) (ed25519.PublicKey, ed25519.PrivateKey) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return key.Public().(ed25519.PublicKey), key
}

func TestStatementSurvivesItsEncoding(t *testing.T) {
	for _, want := range []Statement{sample(), {}} {
		b, err := want.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseStatement(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		for n := range b {
			if _, err := ParseStatement(b[:n]); !errors.Is(err, ErrFormat) {
				t.Fatalf("the first %d of %d bytes give %v", n, len(b), err)
			}
		}
		if _, err := ParseStatement(append(b, 0)); !errors.Is(err, ErrFormat) {
			t.Fatalf("a byte too many gives %v", err)
		}
	}
}

// The encoding is signed for years to come: this test must never need a change.
func TestStatementEncodingIsFrozen(t *testing.T) {
	s := sample()
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = "846fcc02122303ce"
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:8]) != want || len(b) != 263 {
		t.Fatalf("encoding of %d bytes with sum %x, want 263 and %s", len(b), sum[:8], want)
	}
}

func TestStatementLimits(t *testing.T) {
	long := strings.Repeat("x", MaxText+1)
	for _, s := range []Statement{{Site: long}, {Origin: long}, {Gaps: []Gap{{Reason: long}}}, {Gaps: make([]Gap, MaxGaps+1)}} {
		if _, err := s.AppendBinary(nil); err == nil {
			t.Fatal("a statement beyond the limits was encoded")
		}
		_, key := testKey(1)
		if _, err := Sign(s, key); err == nil {
			t.Fatal("a statement beyond the limits was signed")
		}
	}
}

func TestSignature(t *testing.T) {
	pub, key := testKey(1)
	other, _ := testKey(2)
	signed, err := Sign(sample(), key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Verify(signed, other, pub)
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	want.KeyID = KeyIDOf(pub)
	if !reflect.DeepEqual(s, want) {
		t.Fatalf("got %+v, want %+v", s, want)
	}
	if _, err := Verify(signed, other); !errors.Is(err, ErrSignature) {
		t.Fatalf("with another key: %v", err)
	}
	if _, err := Verify(signed); !errors.Is(err, ErrSignature) {
		t.Fatalf("without a key: %v", err)
	}
	for i := range signed.Statement {
		bad := signed
		bad.Statement = bytes.Clone(signed.Statement)
		bad.Statement[i] ^= 1
		if _, err := Verify(bad, pub); err == nil {
			t.Fatalf("a statement with byte %d changed is taken", i)
		}
	}
	bad := signed
	bad.Signature[7] ^= 1
	if s, err := Verify(bad, pub); !errors.Is(err, ErrSignature) || s.Segment != 42 {
		t.Fatalf("changed signature: %v, %+v", err, s)
	}
	if _, err := Sign(sample(), key[:10]); err == nil {
		t.Fatal("half a key signs")
	}
	if signed.Digest() != sha256.Sum256(signed.Statement) {
		t.Fatal("the digest is not that of the statement")
	}
}

func FuzzStatement(f *testing.F) {
	for _, s := range []Statement{sample(), {}} {
		b, err := s.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseStatement(b)
		if err != nil {
			return
		}
		again, err := s.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("not canonical: %x becomes %x (%v)", b, again, err)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	_, key := testKey(1)
	s := sample()
	for b.Loop() {
		if _, err := Sign(s, key); err != nil {
			b.Fatal(err)
		}
	}
}
