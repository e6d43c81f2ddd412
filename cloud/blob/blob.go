// Package blob is the cloud's floor for clips: a folder by default, an S3 bucket by URL.
//
// It owns objects by key, written by parts and visible only when complete. It promises that a part is stored
// only with the size and SHA-256 that were announced for it, that an upload can be resumed by part after any
// interruption, and that an object is never overwritten. One conformance suite runs on both stores. It knows
// nothing of clips, people or sites.
//
// What proves an object: every part has a SHA-256 that is signed into its link. A store that refuses a part with
// another sum (Check tries that with a wrong one) has therefore verified each part as it came, and the composite sum
// that it gives for the whole, the SHA-256 of the parts' sums, can only be right if those parts in that order are the
// object: asking for size and composite sum is as good as fetching all of it, and costs nothing. A store that takes
// wrong sums, or gives no composite, is read back part by part. The sum of the whole file is the site's own word:
// parts that are right make a file that is right, and a clip can be verified by itself.
package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("no such object")
	ErrExists   = errors.New("the object exists already")
	ErrMismatch = errors.New("size or SHA-256 differ from what was announced")
	ErrUpload   = errors.New("no such upload") // it was completed, aborted or never begun
)

// Part is one part of an upload: its number from 1, its size in bytes and its SHA-256.
type Part struct {
	Number int
	Size   int64
	SHA256 [32]byte
}

// Link is a URL that takes one PUT of one part, with the headers that the PUT must carry.
type Link struct {
	URL     string
	Headers map[string]string
}

// Reader reads a complete object; Seek costs nothing until the next Read.
type Reader interface {
	io.ReadSeekCloser
}

// Store keeps objects. Keys are made of lower-case letters, digits, '-', '/' and '.', without empty, "." or
// ".." elements; anything else is refused.
type Store interface {
	// Begin starts an upload of an object and returns its handle. It fails with ErrExists if the object is
	// complete already. Several uploads of one key may be under way; the first to complete wins.
	Begin(ctx context.Context, key string) (upload string, err error)
	// Link returns where a part can be sent without passing through the cloud, valid for the given time; ok
	// is false when the store has no such way and PutPart must be used.
	Link(ctx context.Context, key, upload string, p Part, valid time.Duration) (link Link, ok bool, err error)
	// PutPart stores one part read from r. It fails with ErrMismatch when r gives other bytes than p says, and
	// then stores nothing. Sending a part again is harmless.
	PutPart(ctx context.Context, key, upload string, p Part, r io.Reader) error
	// Parts returns the numbers and sizes of the parts that are stored, by number. SHA256 is zero where the
	// store does not tell it.
	Parts(ctx context.Context, key, upload string) ([]Part, error)
	// Complete makes the object of the parts given, all of which must be stored. Completing twice is harmless.
	Complete(ctx context.Context, key, upload string, parts []Part) error
	// Verify reports whether the complete object is exactly the parts given: ErrMismatch if it is not, ErrNotFound if
	// there is none, another error if that could not be found out.
	Verify(ctx context.Context, key string, parts []Part) error
	// AbortOrphans aborts every upload that was begun before a time and is not known, and returns how many.
	AbortOrphans(ctx context.Context, before time.Time, known func(upload string) bool) (int, error)
	// Abort forgets an upload and its parts; an unknown one is no error.
	Abort(ctx context.Context, key, upload string) error
	// Open opens a complete object and returns its size. It fails with ErrNotFound.
	Open(ctx context.Context, key string) (Reader, int64, error)
	// Delete removes an object; a missing one is no error.
	Delete(ctx context.Context, key string) error
	// Check tries whether the store can be reached and written, for a clear word at start-up, and whether it proves
	// what it stores.
	Check(ctx context.Context) error
}

// Open returns the store at location: a folder's path, or
// s3://bucket/prefix?endpoint=http://host:port&region=eu-1&path_style=true with the keys in the environment
// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY).
func Open(ctx context.Context, location string, env func(string) string) (Store, error) {
	if !strings.HasPrefix(location, "s3://") {
		return OpenFolder(location)
	}
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("clip store %q: want a folder or s3://bucket/prefix?endpoint=URL", location)
	}
	return openS3(ctx, u, env)
}

// checkKey refuses keys that could mean something else to a file system or to S3.
func checkKey(key string) error {
	if key == "" || len(key) > 512 {
		return fmt.Errorf("blob key has %d bytes, want 1 to 512", len(key))
	}
	for _, element := range strings.Split(key, "/") {
		if element == "" || element[0] == '.' || strings.Trim(element, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			return fmt.Errorf("blob key %q: an element is empty, begins with a dot or has another character than a-z, 0-9, '-' and '.'", key)
		}
	}
	return nil
}

func checkParts(parts []Part) error {
	if len(parts) == 0 || len(parts) > 10000 {
		return fmt.Errorf("an object of %d parts: want 1 to 10000", len(parts))
	}
	for i, p := range parts {
		if p.Number != i+1 || p.Size <= 0 {
			return fmt.Errorf("part %d has number %d and size %d", i+1, p.Number, p.Size)
		}
	}
	return nil
}

// readBack verifies an object by reading it.
func readBack(r io.Reader, parts []Part) error {
	for _, p := range parts {
		sum := sha256.New()
		n, err := io.CopyN(sum, r, p.Size)
		if err != nil && (n < p.Size && errors.Is(err, io.EOF)) {
			return fmt.Errorf("part %d ends after %d bytes of %d: %w", p.Number, n, p.Size, ErrMismatch)
		}
		if err != nil {
			return fmt.Errorf("read part %d back: %w", p.Number, err)
		}
		if [32]byte(sum.Sum(nil)) != p.SHA256 {
			return fmt.Errorf("part %d: %w", p.Number, ErrMismatch)
		}
	}
	return nil
}

func sizeOf(parts []Part) (n int64) {
	for _, p := range parts {
		n += p.Size
	}
	return n
}

func matches(body []byte, want [32]byte) bool { return sha256.Sum256(body) == want }
