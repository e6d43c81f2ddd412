package orgs

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"holdfast/shared/wire"
)

// Name trims a name that a person gave and refuses it when it is empty, longer than wire.MaxNameRunes
// characters, not UTF-8, or holds control or direction-changing characters. The error says what to do.
func Name(s string) (string, error) {
	s, err := Text(s, wire.MaxNameRunes)
	if err != nil {
		return "", err
	}
	if s == "" {
		return "", errors.New("is empty: give at least one character")
	}
	return s, nil
}

// Text is Name for a text of at most limit characters that may be empty.
func Text(s string, limit int) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("is not valid UTF-8: type it again")
	}
	s = strings.TrimSpace(s)
	if strings.ContainsFunc(s, hidden) {
		return "", errors.New("holds control or direction-changing characters: type it without them")
	}
	if n := utf8.RuneCountInString(s); n > limit {
		return "", fmt.Errorf("is too long: shorten it to %d characters", limit)
	}
	return s, nil
}

// Tidy makes a name that a device gave safe to store and show: hidden characters become spaces, and what is
// longer than wire.MaxNameRunes is cut.
func Tidy(s string) string {
	s = strings.ToValidUTF8(s, "�")
	s = strings.Map(func(r rune) rune {
		if hidden(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if runes := []rune(s); len(runes) > wire.MaxNameRunes {
		s = strings.TrimSpace(string(runes[:wire.MaxNameRunes]))
	}
	return s
}

// hidden reports a character that changes a line's meaning without being seen: controls, and the marks,
// embeddings, overrides and isolates of the bidirectional algorithm (Unicode Standard Annex #9).
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) ||
		r == '\u2028' || r == '\u2029' || r == '\ufeff'
}
