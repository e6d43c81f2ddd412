package blob

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// composite is the sum that S3 gives for an object of parts with sums of their own: the SHA-256 of the parts' sums, and
// how many they are.
func composite(parts []Part) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p.SHA256[:])
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts))
}

// Verify implements Store: by the composite sum, else by reading.
func (s *S3) Verify(ctx context.Context, key string, parts []Part) error {
	if err := checkKey(key); err != nil {
		return err
	}
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.key(key), ChecksumMode: types.ChecksumModeEnabled})
	switch {
	case coded(err, "NotFound", "NoSuchKey"):
		return ErrNotFound
	case err != nil:
		return fmt.Errorf("look at %s: %w", key, err)
	case aws.ToInt64(head.ContentLength) != sizeOf(parts):
		return fmt.Errorf("%s has %d bytes of %d: %w", key, aws.ToInt64(head.ContentLength), sizeOf(parts), ErrMismatch)
	case s.proves.Load() && aws.ToString(head.ChecksumSHA256) == composite(parts):
		return nil
	}
	// Another composite is no proof of other bytes: the same object may have been sent in parts of another size.
	body := s.reader(ctx, key, sizeOf(parts))
	return errors.Join(readBack(body, parts), body.Close())
}

// Check implements Store.
func (s *S3) Check(ctx context.Context) error {
	if _, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket}); err != nil {
		return fmt.Errorf("the bucket %q can't be reached (check endpoint, keys and that the bucket exists): %w", s.bucket, err)
	}
	const key = "holdfast-check"
	wrong := sha256.Sum256([]byte("not what is sent"))
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: s.key(key), Body: strings.NewReader("holdfast"),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(wrong[:])),
	})
	var refused *smithyhttp.ResponseError
	switch {
	case err == nil: // it did not look at the sum
		s.proves.Store(false)
		return s.Delete(ctx, key)
	case errors.As(err, &refused) && refused.HTTPStatusCode() == http.StatusBadRequest:
		s.proves.Store(true)
		return nil
	default:
		return fmt.Errorf("the bucket %q can't be written (check that the keys may put objects below %q): %w", s.bucket, s.prefix, err)
	}
}

// AbortOrphans implements Store.
func (s *S3) AbortOrphans(ctx context.Context, before time.Time, known func(upload string) bool) (int, error) {
	in := &s3.ListMultipartUploadsInput{Bucket: &s.bucket}
	if s.prefix != "" {
		in.Prefix = &s.prefix
	}
	n := 0
	for {
		page, err := s.client.ListMultipartUploads(ctx, in)
		if err != nil {
			return n, fmt.Errorf("list uploads: %w", err)
		}
		for _, u := range page.Uploads {
			key, ours := strings.CutPrefix(aws.ToString(u.Key), s.prefix)
			if !ours || checkKey(key) != nil || known(aws.ToString(u.UploadId)) || u.Initiated == nil || !u.Initiated.Before(before) {
				continue
			}
			if err := s.Abort(ctx, key, aws.ToString(u.UploadId)); err != nil {
				return n, err
			}
			n++
		}
		if !aws.ToBool(page.IsTruncated) || aws.ToString(page.NextUploadIdMarker) == "" {
			return n, nil
		}
		in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
}

// Delete implements Store. Where the bucket keeps versions they go too, or nothing would be freed; what its owner has
// locked stays there, seen by nobody.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	out, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.key(key)})
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	if aws.ToString(out.VersionId) == "" {
		return nil
	}
	pages := s3.NewListObjectVersionsPaginator(s.client, &s3.ListObjectVersionsInput{Bucket: &s.bucket, Prefix: s.key(key)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if denied(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list versions of %s: %w", key, err)
		}
		versions := []*string{}
		for _, v := range page.Versions {
			if aws.ToString(v.Key) == *s.key(key) {
				versions = append(versions, v.VersionId)
			}
		}
		for _, v := range page.DeleteMarkers {
			if aws.ToString(v.Key) == *s.key(key) {
				versions = append(versions, v.VersionId)
			}
		}
		for _, v := range versions {
			_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.key(key), VersionId: v})
			if err != nil && !denied(err) {
				return fmt.Errorf("delete a version of %s: %w", key, err)
			}
		}
	}
	return nil
}

func denied(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (api.ErrorCode() == "AccessDenied" || api.ErrorCode() == "NotImplemented")
}
