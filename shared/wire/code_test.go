package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestCodeRoundTrip(t *testing.T) {
	c := NewCode()
	text := c.Text()
	if len(text) != 24 || strings.Count(text, "-") != 4 || text[:4] != c.Lookup() {
		t.Fatalf("code %q: want five groups of four", text)
	}
	sloppy := strings.NewReplacer("0", "o", "1", "l", "-", "  ").Replace(strings.ToLower(text)) + "\n"
	for _, typed := range []string{text, sloppy, strings.ReplaceAll(text, "-", ""), strings.ReplaceAll(text, "-", "–")} {
		got, err := ParseCode(typed)
		if err != nil || got != c || !bytes.Equal(got.Key(), c.Key()) {
			t.Fatalf("ParseCode(%q) = %v, %v", typed, got, err)
		}
	}
	if c == NewCode() || bytes.Equal(c.Key(), NewCode().Key()) {
		t.Fatal("two new codes are equal")
	}
}

func TestCodeTypoIsFoundOffline(t *testing.T) {
	text := NewCode().Text()
	missed := 0
	tries := 0
	for i := range len(text) {
		if text[i] == '-' {
			continue
		}
		for _, r := range codeAlphabet {
			if byte(r) == text[i] {
				continue
			}
			tries++
			if _, err := ParseCode(text[:i] + string(r) + text[i+1:]); err == nil {
				missed++
			}
		}
	}
	if missed > 1 { // 620 tries at 1 in 32,768 each
		t.Fatalf("%d of %d single typing mistakes were not found", missed, tries)
	}
	for typed, want := range map[string]string{
		text[:20]:                "16 letters and digits", // without the last group
		text + "7":               "21 letters and digits",
		"":                       "0 letters and digits",
		"U" + text[1:]:           `'U'`,
		strings.Repeat("7", 999): "too long",
	} {
		if _, err := ParseCode(typed); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCode(%q) = %v, want %q in it", typed, err, want)
		}
	}
}

func TestCodeHidesItsSecret(t *testing.T) {
	c := NewCode()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, c); strings.Contains(got, c.secret) {
			t.Errorf("%s shows the secret: %s", verb, got)
		}
	}
}
