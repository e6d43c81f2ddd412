package blob

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// S3 is a Store in a bucket of any S3-compatible service. Parts travel straight from the agent to the bucket
// by presigned URLs that fix key, size and SHA-256.
type S3 struct {
	client *s3.Client
	sign   *s3.PresignClient
	bucket string
	prefix string
	// streams is for bodies, which may take as long as a person's download.
	streams *http.Client
	// proves is set by Check: the store refuses a body whose sum is not the one that is said.
	proves atomic.Bool
}

func openS3(_ context.Context, u *url.URL, env func(string) string) (*S3, error) {
	q := u.Query()
	for name := range q {
		if name != "endpoint" && name != "region" && name != "path_style" {
			return nil, fmt.Errorf("clip store: unknown setting %q; known are endpoint, region and path_style", name)
		}
	}
	key, secret := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
	if key == "" || secret == "" {
		return nil, errors.New("clip store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")
	}
	region := q.Get("region")
	if region == "" {
		region = "us-east-1"
	}
	options := s3.Options{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, env("AWS_SESSION_TOKEN")),
		// Services other than Amazon's refuse the checksum trailers that the SDK adds by default.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		HTTPClient:                 &http.Client{Timeout: 10 * time.Minute},
	}
	if endpoint := q.Get("endpoint"); endpoint != "" {
		if e, err := url.Parse(endpoint); err != nil || e.Host == "" {
			return nil, fmt.Errorf("clip store: endpoint %q: want http(s)://host:port", endpoint)
		}
		options.BaseEndpoint = aws.String(endpoint)
	}
	style := q.Get("path_style")
	options.UsePathStyle = style == "true" || (style == "" && q.Get("endpoint") != "")
	client := s3.New(options)
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		if err := checkKey(prefix); err != nil {
			return nil, err
		}
		prefix += "/"
	}
	return &S3{client: client, sign: s3.NewPresignClient(client), bucket: u.Host, prefix: prefix, streams: streaming()}, nil
}

// streaming bounds the wait for an answer, and not the answer itself.
func streaming() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 90 * time.Second}
	return &http.Client{Transport: transport}
}

func (s *S3) key(key string) *string { return aws.String(s.prefix + key) }

// coded reports whether err is an S3 error with one of the codes.
func coded(err error, codes ...string) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return true
		}
	}
	return false
}

func (s *S3) exists(ctx context.Context, key string) (int64, bool, error) {
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.key(key)})
	switch {
	case coded(err, "NotFound", "NoSuchKey"):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("look at %s: %w", key, err)
	}
	return aws.ToInt64(head.ContentLength), true, nil
}

// Begin implements Store.
func (s *S3) Begin(ctx context.Context, key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	if _, there, err := s.exists(ctx, key); err != nil || there {
		if there {
			err = ErrExists
		}
		return "", err
	}
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: s.key(key), ContentType: aws.String("video/mp4"),
		// Without it Amazon's refuses parts that bring a SHA-256.
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	})
	if err != nil {
		return "", fmt.Errorf("begin upload of %s: %w", key, err)
	}
	return aws.ToString(out.UploadId), nil
}

func sum(p Part) *string { return aws.String(base64.StdEncoding.EncodeToString(p.SHA256[:])) }

// Link implements Store. The signature covers key, part number, size and SHA-256, so that the link takes
// nothing else.
func (s *S3) Link(ctx context.Context, key, upload string, p Part, valid time.Duration) (Link, bool, error) {
	if err := checkKey(key); err != nil {
		return Link{}, false, err
	}
	req, err := s.sign.PresignUploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: s.key(key), UploadId: &upload, PartNumber: aws.Int32(int32(p.Number)),
		ContentLength: &p.Size, ChecksumSHA256: sum(p),
	}, s3.WithPresignExpires(valid))
	if err != nil {
		return Link{}, false, fmt.Errorf("sign link for part %d of %s: %w", p.Number, key, err)
	}
	headers := map[string]string{}
	for name, values := range req.SignedHeader {
		if lower := strings.ToLower(name); lower != "host" && lower != "content-length" {
			headers[name] = strings.Join(values, ",")
		}
	}
	return Link{URL: req.URL, Headers: headers}, true, nil
}

// PutPart implements Store.
func (s *S3) PutPart(ctx context.Context, key, upload string, p Part, r io.Reader) error {
	if err := checkKey(key); err != nil {
		return err
	}
	// One part is at most a few MiB, and a seekable body lets the SDK retry it.
	body, err := io.ReadAll(io.LimitReader(r, p.Size+1))
	if err != nil {
		return fmt.Errorf("receive part %d: %w", p.Number, err)
	}
	if int64(len(body)) != p.Size || !matches(body, p.SHA256) {
		return fmt.Errorf("part %d: %w", p.Number, ErrMismatch)
	}
	_, err = s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: s.key(key), UploadId: &upload, PartNumber: aws.Int32(int32(p.Number)),
		Body: bytes.NewReader(body), ContentLength: &p.Size, ChecksumSHA256: sum(p),
	})
	if coded(err, "NoSuchUpload") {
		return ErrUpload
	}
	if err != nil {
		return fmt.Errorf("send part %d of %s: %w", p.Number, key, err)
	}
	return nil
}

func (s *S3) stored(ctx context.Context, key, upload string) ([]types.Part, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	var out []types.Part
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{Bucket: &s.bucket, Key: s.key(key), UploadId: &upload})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if coded(err, "NoSuchUpload") {
			return nil, ErrUpload
		}
		if err != nil {
			return nil, fmt.Errorf("list parts of %s: %w", key, err)
		}
		out = append(out, page.Parts...)
	}
	return out, nil
}

// Parts implements Store.
func (s *S3) Parts(ctx context.Context, key, upload string) ([]Part, error) {
	stored, err := s.stored(ctx, key, upload)
	if err != nil {
		return nil, err
	}
	out := make([]Part, 0, len(stored))
	for _, p := range stored {
		part := Part{Number: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size)}
		if b, err := base64.StdEncoding.DecodeString(aws.ToString(p.ChecksumSHA256)); err == nil && len(b) == len(part.SHA256) {
			copy(part.SHA256[:], b)
		}
		out = append(out, part)
	}
	return out, nil
}

// Complete implements Store.
func (s *S3) Complete(ctx context.Context, key, upload string, parts []Part) error {
	if err := errors.Join(checkKey(key), checkParts(parts)); err != nil {
		return err
	}
	if _, there, err := s.exists(ctx, key); err != nil || there {
		return errors.Join(err, s.Abort(ctx, key, upload))
	}
	stored, err := s.stored(ctx, key, upload)
	if err != nil {
		return err
	}
	byNumber := map[int32]types.Part{}
	for _, p := range stored {
		byNumber[aws.ToInt32(p.PartNumber)] = p
	}
	var done []types.CompletedPart
	for _, p := range parts {
		have, ok := byNumber[int32(p.Number)]
		if !ok || aws.ToInt64(have.Size) != p.Size {
			return fmt.Errorf("part %d of %s is not stored as announced: %w", p.Number, key, ErrMismatch)
		}
		done = append(done, types.CompletedPart{ETag: have.ETag, PartNumber: have.PartNumber, ChecksumSHA256: have.ChecksumSHA256})
	}
	_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: s.key(key), UploadId: &upload, IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
	})
	if coded(err, "PreconditionFailed", "ConditionalRequestConflict") {
		return s.Abort(ctx, key, upload)
	}
	if err != nil {
		return fmt.Errorf("complete %s: %w", key, err)
	}
	return nil
}

// Abort implements Store.
func (s *S3) Abort(ctx context.Context, key, upload string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: s.key(key), UploadId: &upload})
	if err != nil && !coded(err, "NoSuchUpload") {
		return fmt.Errorf("abort upload of %s: %w", key, err)
	}
	return nil
}

// Open implements Store.
func (s *S3) Open(ctx context.Context, key string) (Reader, int64, error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	size, there, err := s.exists(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	if !there {
		return nil, 0, ErrNotFound
	}
	return s.reader(ctx, key, size), size, nil
}

func (s *S3) reader(ctx context.Context, key string, size int64) *s3Reader {
	return &s3Reader{ctx: ctx, store: s, key: key, size: size}
}
