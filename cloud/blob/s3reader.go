package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// s3Reader reads an object by one ranged GET from the present position on.
type s3Reader struct {
	ctx   context.Context
	store *S3
	key   string
	size  int64
	at    int64
	body  io.ReadCloser
}

// Read implements io.Reader.
func (r *s3Reader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if r.body == nil {
		out, err := r.store.client.GetObject(r.ctx, &s3.GetObjectInput{
			Bucket: &r.store.bucket, Key: r.store.key(r.key), Range: aws.String("bytes=" + strconv.FormatInt(r.at, 10) + "-"),
		}, func(o *s3.Options) { o.HTTPClient = r.store.streams })
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", r.key, err)
		}
		if r.at > 0 && out.ContentRange == nil {
			return 0, errors.Join(fmt.Errorf("read %s: the store does not answer ranges", r.key), out.Body.Close())
		}
		r.body = out.Body
	}
	n, err := r.body.Read(p)
	r.at += int64(n)
	if errors.Is(err, io.EOF) && r.at < r.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Seek implements io.Seeker.
func (r *s3Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	if offset == r.at {
		return offset, nil
	}
	r.at = offset
	return offset, r.Close()
}

// Close implements io.Closer.
func (r *s3Reader) Close() error {
	if r.body == nil {
		return nil
	}
	err := r.body.Close()
	r.body = nil
	return err
}
