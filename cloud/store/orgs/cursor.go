package orgs

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Cursor returns the Page.After that continues a list, ordered by name and then ID, behind one row.
func Cursor(name, row string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(name + "\x00" + row))
}

func openCursor(s string) (name, row string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || !utf8.Valid(raw) {
		return "", "", ErrCursor
	}
	name, row, ok := strings.Cut(string(raw), "\x00")
	if !ok || strings.Contains(row, "\x00") {
		return "", "", ErrCursor
	}
	return name, row, nil
}
