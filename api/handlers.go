package api

import (
	"context"
	"iter"

	"github.com/nats-io/nats.go"

	"replicator/bus"
	"replicator/oplog"
)

// Handlers do the verbs that are one request and one reply, by whatever road the
// request came. Their methods may be called concurrently.
type Handlers struct{ backend Backend }

// NewHandlers returns the handlers of one node.
func NewHandlers(b Backend) *Handlers { return &Handlers{backend: b} }

// A Call is a request, as a road has brought it. The body is the caller's.
type Call struct {
	Bucket, Verb string
	Header       interface{ Get(key string) string } // HeaderAfter is read; nil: none
	Body         []byte                              // at most MaxBody bytes
}

// Do answers a call with the body of the reply. Its errors are each an *Error.
// The verb has to be one that package api knows; those that stream are not.
func (h *Handlers) Do(ctx context.Context, c Call) ([]byte, error) {
	do := h.table()[c.Verb]
	if do == nil {
		return nil, ErrBadRequest.With("no verb %q", c.Verb)
	}
	if c.Header == nil {
		c.Header = nats.Header{}
	}
	answer, err := do(ctx, &request{bucket: c.Bucket, verb: c.Verb, header: c.Header, body: c.Body})
	if err != nil {
		return nil, AsError(err)
	}
	return answer.body, nil
}

// The methods below do a verb whose bytes need no JSON around them. What after
// says is HeaderAfter. Errors are each an *Error.

// Get returns the live row of a key. The entry's slices are not to be changed.
func (h *Handlers) Get(ctx context.Context, bucket string, key []byte, after string) (oplog.Entry, error) {
	if err := h.begin(ctx, bucket, after); err != nil {
		return oplog.Entry{}, AsError(err)
	}
	e, err := h.getOne(ctx, bucket, key)
	if err != nil {
		return e, AsError(err)
	}
	return e, nil
}

// Write does one write. It may keep the op's slices.
func (h *Handlers) Write(ctx context.Context, bucket string, op WriteOp, o WriteOptions) (PutResult, error) {
	if err := h.begin(ctx, bucket, ""); err != nil {
		return PutResult{}, AsError(err)
	}
	res, err := h.writeOne(ctx, bucket, op, o)
	if err != nil {
		return res, AsError(err)
	}
	return res, nil
}

// DeletePrefix deletes the keys that begin so and lie behind those of after, each
// with a write of its own. If ctx ends before, the result names the last one.
func (h *Handlers) DeletePrefix(ctx context.Context, bucket string, prefix, after []byte) (DeletedResult, error) {
	res := DeletedResult{V: 1, Node: h.backend.Name()}
	if err := h.begin(ctx, bucket, ""); err != nil {
		return res, AsError(err)
	}
	for {
		n, last, err := h.backend.DeletePrefix(ctx, bucket, prefix, after, pageKeys)
		res.Deleted += n
		switch {
		case err != nil && res.Deleted > 0:
			e := AsError(err)
			return res, e.With("%s; %d keys were deleted before", e.Text, res.Deleted)
		case err != nil:
			return res, AsError(err)
		case last == nil || ctx.Err() != nil:
			res.Last, res.LastB64 = splitData(last)
			return res, nil
		}
		after = last
	}
}

// Scan yields rows of one snapshot, see [Backend].
func (h *Handlers) Scan(ctx context.Context, bucket string, o ScanOptions, after string) (iter.Seq2[oplog.Entry, error], error) {
	if err := h.begin(ctx, bucket, after); err != nil {
		return nil, AsError(err)
	}
	return h.backend.Scan(ctx, bucket, o), nil
}

// Watch yields changes, see [Backend].
func (h *Handlers) Watch(ctx context.Context, bucket string, q WatchQuery, after string) (iter.Seq2[WatchEvent, error], error) {
	if err := h.begin(ctx, bucket, after); err != nil {
		return nil, AsError(err)
	}
	return h.backend.Watch(ctx, bucket, q), nil
}

// begin refuses what cannot be done, and waits for what is to have been seen.
func (h *Handlers) begin(ctx context.Context, bucket, after string) error {
	if err := h.checkReady(); err != nil {
		return err
	}
	if err := bus.ValidBucket(bucket); err != nil {
		return ErrBadBucket.With("%s", err)
	}
	return h.seen(ctx, bucket, after)
}
