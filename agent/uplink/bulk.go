package uplink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"holdfast/agent/pace"
	"holdfast/shared/id"
	"holdfast/shared/wire"
)

// ErrOffline says that there is no session: bulk goes only while one is open.
var ErrOffline = errors.New("no session with the cloud is open")

const (
	maxReply     = 1 << 20
	batchStall   = 3 * time.Minute  // without a byte, and for the answer
	clipStall    = 15 * time.Minute // the cloud reads a whole clip back before it says "stored"
	partStall    = time.Minute
	retryWaitMin = 500 * time.Millisecond
	retryWaitMax = 10 * time.Second
	retries      = 3
)

// SendBatch sends facts and returns the cloud's ack after its commit. It retries short faults of the line by
// itself; ErrOffline, a *wire.Refusal or a *Problem says why it gave up, and then the facts may or may not have
// been applied: sending them again is harmless.
func (u *Uplink) SendBatch(ctx context.Context, batch wire.Batch) (wire.Ack, error) {
	body, err := u.coder.Encode(batch)
	if err != nil {
		return wire.Ack{}, err
	}
	class := pace.Urgent
	if batch.Lane == wire.Backlog {
		class = pace.Backlog
	}
	var ack wire.Ack
	err = u.post(u.inTurn(ctx, class), wire.PathBatch, batchStall, "application/zstd", body, &ack)
	if err == nil && ack.Queue != batch.Queue {
		err = fmt.Errorf("the cloud acked queue %d where queue %d was sent", ack.Queue, batch.Queue)
	}
	return ack, err
}

// inTurn returns ctx for a request whose bytes go after those of every earlier one of its class: what shares the line
// with the one before it arrives no sooner, and holds that one up.
func (u *Uplink) inTurn(ctx context.Context, class pace.Class) context.Context {
	return u.pace.Request(pace.By(ctx, u.cfg.Now()), class)
}

// Days asks the cloud what it holds of past days.
func (u *Uplink) Days(ctx context.Context, ask wire.DayAsk) (wire.DayAnswer, error) {
	var answer wire.DayAnswer
	err := u.postPacked(ctx, wire.PathDays, ask, &answer)
	return answer, err
}

// Restate tells the cloud what the site holds of an item of a day, where the two differ.
func (u *Uplink) Restate(ctx context.Context, r wire.Restatement) (wire.Restated, error) {
	var answer wire.Restated
	err := u.postPacked(ctx, wire.PathRestate, r, &answer)
	return answer, err
}

// postPacked sends what nobody waits for.
func (u *Uplink) postPacked(ctx context.Context, path string, message, answer any) error {
	body, err := u.coder.Pack(message)
	if err != nil {
		return err
	}
	return u.post(u.inTurn(ctx, pace.Backlog), path, batchStall, "application/zstd", body, answer)
}

// ClipBegin announces a cut clip and returns which of its parts are missing in the cloud.
func (u *Uplink) ClipBegin(ctx context.Context, clip id.Clip, begin wire.ClipBegin) (wire.ClipPlan, error) {
	var plan wire.ClipPlan
	err := u.postJSON(ctx, wire.PathClips+string(clip)+"/begin", begin, &plan)
	return plan, err
}

// ClipComplete says that every part was sent; the cloud has verified the whole clip when it returns nil.
func (u *Uplink) ClipComplete(ctx context.Context, clip id.Clip, complete wire.ClipComplete) (wire.ClipPlan, error) {
	var plan wire.ClipPlan
	err := u.postJSON(ctx, wire.PathClips+string(clip)+"/complete", complete, &plan)
	return plan, err
}

func (u *Uplink) postJSON(ctx context.Context, path string, message, answer any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	return u.post(u.pace.Request(ctx, pace.Clips), path, clipStall, "application/json", body, answer)
}

// post sends a signed request, again after short faults with a new counter each time, and reads the signed
// answer. It gives up when nothing moves for as long as stall.
func (u *Uplink) post(ctx context.Context, path string, stall time.Duration, kind string, body []byte, answer any) error {
	if len(body) > wire.MaxRequestBytes {
		return fmt.Errorf("send request: %d bytes, the limit is %d", len(body), wire.MaxRequestBytes)
	}
	sum := sha256.Sum256(body)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stall, func() { cancel(errTimeout) })
	defer watch.Stop()
	if err := u.within(ctx, cancel); err != nil {
		return err
	}
	reader := func() (io.Reader, error) {
		return &progress{r: bytes.NewReader(body), moved: func() { watch.Reset(stall) }}, nil
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, u.base.JoinPath(path).String(), retryablehttp.ReaderFunc(reader))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", kind)
	if err := u.sign(req.Request, sum[:]); err != nil {
		return err
	}
	c := &retryablehttp.Client{
		HTTPClient: client(u.bulk), RetryWaitMin: retryWaitMin, RetryWaitMax: retryWaitMax, RetryMax: retries,
		CheckRetry: mayRetry, Backoff: pause, ErrorHandler: retryablehttp.PassthroughErrorHandler,
		PrepareRetry: func(again *http.Request) error {
			again.Header = again.Header.Clone() // the attempt before may still be reading its own
			return u.sign(again, sum[:])
		},
	}
	resp, err := c.Do(req)
	if resp != nil {
		defer func() { _ = resp.Body.Close() }() // all that matters was read
	}
	if err != nil {
		return u.bulkError(ctx, err)
	}
	return u.answered(resp, readBody(resp), answer)
}

// within has a request given up when the session ends that it is signed for: the cloud would refuse it, or the line is
// dead.
func (u *Uplink) within(ctx context.Context, giveUp context.CancelCauseFunc) error {
	s := u.current()
	if s == nil {
		return ErrOffline
	}
	go func() {
		select {
		case <-s.over:
			giveUp(ErrOffline)
		case <-ctx.Done():
		}
	}()
	return nil
}

// sign signs a bulk request for the open session.
func (u *Uplink) sign(req *http.Request, digest []byte) error {
	s := u.current()
	if s == nil {
		return ErrOffline
	}
	me := u.identity()
	wire.SignRequest(req, me.key, wire.RequestClaim{
		Version: wire.Version, Agent: me.Agent, Cloud: wire.KeyPrint(me.CloudKey), Session: s.id, Counter: s.counter.Add(1),
		ExpiresUs: u.clock.cloudUs() + wire.SignedFor.Microseconds(), Digest: digest,
	})
	return nil
}

func (u *Uplink) bulkError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errTimeout) || errors.Is(cause, ErrOffline) {
		err = cause
	}
	if errors.Is(err, ErrOffline) || errors.Is(err, context.Canceled) {
		return err
	}
	return diagnose(err, u.base.Host, u.cfg.Now())
}

// answered verifies a signed answer and reads it.
func (u *Uplink) answered(resp *http.Response, raw []byte, answer any) error {
	signature := resp.Request.Header.Get(wire.HeaderSignature)
	if resp.StatusCode != http.StatusOK {
		refusal, err := u.verifyRefusal(resp, raw, signature)
		if err != nil {
			return err
		}
		return refusal
	}
	if _, err := wire.VerifyReply(resp, raw, signature, u.identity().CloudKey); err != nil {
		return unsigned(resp, raw, u.base.Host)
	}
	if err := wire.Decode(raw, answer); err != nil {
		return fmt.Errorf("read the cloud's answer: %w", err)
	}
	return nil
}

func readBody(resp *http.Response) []byte {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxReply)) // a cut body has no valid signature
	return raw
}

// mayRetry retries what the line or a balancer is at fault for, and what the cloud asks to be retried.
func mayRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		return true, nil
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, nil
	}
	return false, nil
}

// pause is full jitter, with the other end's Retry-After as a floor.
func pause(low, high time.Duration, attempt int, resp *http.Response) time.Duration {
	wait := low/2 + rand.N(min(high, low<<min(attempt, 10)))
	if resp != nil {
		wait = max(wait, min(retryAfter(resp), 30*time.Second))
	}
	return wait
}

// PutPart sends one part of a clip to where the plan says: a path of the cloud, which gets a signed request, or
// a presigned URL. body is read from its beginning; size is its length in bytes and sum its SHA-256. It
// returns the store's ETag, empty if it gave none. It gives up when nothing moves for a minute; the caller asks
// for a new plan and goes on with what is missing. Among parts those go first that pace.By says are due first.
func (u *Uplink) PutPart(ctx context.Context, plan wire.PartPlan, body io.ReadSeeker, size int64, sum [sha256.Size]byte) (string, error) {
	target, own, err := u.partTarget(plan.URL)
	if err != nil {
		return "", err
	}
	if size < 1 || size > wire.MaxClipPartBytes {
		return "", fmt.Errorf("send part: %d bytes, want 1 to %d", size, wire.MaxClipPartBytes)
	}
	ctx, cancel := context.WithCancelCause(u.pace.Request(ctx, pace.Clips))
	defer cancel(nil)
	watch := time.AfterFunc(partStall, func() { cancel(errTimeout) })
	defer watch.Stop()
	moving := func() (io.ReadCloser, error) {
		_, err := body.Seek(0, io.SeekStart)
		return io.NopCloser(&progress{r: io.LimitReader(body, size), moved: func() { watch.Reset(partStall) }}), err
	}
	first, err := moving()
	if err != nil {
		return "", fmt.Errorf("send part: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, first)
	if err != nil {
		return "", fmt.Errorf("make part request: %w", err)
	}
	// An idle connection that the other end has just closed is tried again by the transport.
	req.ContentLength, req.GetBody = size, moving
	req.Header.Set("Content-Type", "application/octet-stream")
	for name, value := range plan.Headers {
		req.Header.Set(name, value)
	}
	if own {
		if err := errors.Join(u.within(ctx, cancel), u.sign(req, sum[:])); err != nil {
			return "", err
		}
	}
	resp, err := client(u.bulk).Do(req)
	if err != nil {
		return "", u.bulkError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // all that matters is read below
	raw := readBody(resp)
	if own {
		return "", u.answered(resp, raw, &struct{}{})
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return "", fmt.Errorf("send part: the clip store %s answers %d: %s", req.URL.Host, resp.StatusCode, wire.CleanText(string(raw), 300))
	}
	return resp.Header.Get("ETag"), nil
}

// partTarget checks where a part may go: a clip's path on the cloud, or an https URL that the cloud's signed
// plan names. Plain HTTP goes only to this machine itself.
func (u *Uplink) partTarget(raw string) (target string, own bool, err error) {
	if strings.HasPrefix(raw, wire.PathClips) {
		path, err := url.Parse(raw)
		if err != nil || path.Host != "" || path.RawQuery != "" || strings.Contains(raw, "..") {
			return "", false, errors.New("send part: the plan's path is not one of a clip")
		}
		return u.base.JoinPath(path.Path).String(), true, nil
	}
	t, err := url.Parse(raw)
	if err != nil || t.Host == "" || t.User != nil {
		return "", false, errors.New("send part: the plan names no usable address")
	}
	if t.Scheme != "https" && (t.Scheme != "http" || !loopback(t.Hostname())) {
		return "", false, fmt.Errorf("send part: the plan names %s://%s, but video leaves only over https", t.Scheme, t.Host)
	}
	return t.String(), false, nil
}

// progress tells when bytes move.
type progress struct {
	r     io.Reader
	moved func()
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.moved()
	}
	return n, err
}
