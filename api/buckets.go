package api

import (
	"context"

	"replicator/bus"
)

// The errors that concern buckets.
var (
	ErrMayNotCreate = &Error{"may_not_create", 403, "a bucket may not be made at this node"}
	ErrLeaving      = &Error{"leaving", 409, "the node is leaving the bucket, or something else, already"}
)

// A BucketInfo tells how a bucket stands at a node, and what is settled for it.
type BucketInfo struct {
	BucketStatus
	Settings BucketSettings `json:"settings"`
}

// A BucketResult tells that a node holds a bucket, or has left it.
type BucketResult struct {
	V      int    `json:"v"`
	Node   string `json:"node"`
	Bucket string `json:"bucket"`
}

type infoBody struct {
	V    int    `json:"v"`
	Node string `json:"node"`
	BucketInfo
}

type leaveBody struct {
	V   int  `json:"v"`
	Now bool `json:"now,omitempty"`
}

// BucketInfo tells how a bucket stands at this node. Errors are each an *Error.
func (h *Handlers) BucketInfo(ctx context.Context, bucket string) (BucketInfo, error) {
	st := h.backend.Status(ctx)
	for i := range st.Buckets {
		if st.Buckets[i].Name == bucket {
			return BucketInfo{BucketStatus: st.Buckets[i], Settings: Settle(h.backend.Settings(), bucket)}, nil
		}
	}
	return BucketInfo{}, ErrNoBucket.With("node %s holds no bucket %s", st.Node, bucket)
}

// CreateBucket has the node hold a bucket. Errors are each an *Error.
func (h *Handlers) CreateBucket(ctx context.Context, bucket string) (BucketResult, error) {
	if err := h.begin(ctx, bucket, ""); err != nil {
		return BucketResult{}, AsError(err)
	}
	if err := h.backend.CreateBucket(ctx, bucket); err != nil {
		return BucketResult{}, AsError(err)
	}
	return BucketResult{V: 1, Node: h.backend.Name(), Bucket: bucket}, nil
}

// LeaveBucket has the node give up a bucket. Errors are each an *Error.
func (h *Handlers) LeaveBucket(ctx context.Context, bucket string, now bool) (BucketResult, error) {
	if err := h.begin(ctx, bucket, ""); err != nil {
		return BucketResult{}, AsError(err)
	}
	if err := h.backend.LeaveBucket(ctx, bucket, now); err != nil {
		return BucketResult{}, AsError(err)
	}
	return BucketResult{V: 1, Node: h.backend.Name(), Bucket: bucket}, nil
}

func (h *Handlers) bucketInfo(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	info, err := h.BucketInfo(ctx, r.bucket)
	if err != nil {
		return nil, err
	}
	return &reply{body: mustJSON(infoBody{V: 1, Node: h.backend.Name(), BucketInfo: info})}, nil
}

func (h *Handlers) createBucket(ctx context.Context, r *request) (*reply, error) {
	if len(r.body) > 0 {
		return nil, ErrBadRequest.With("a bucket is created with an empty body")
	}
	res, err := h.CreateBucket(ctx, r.bucket)
	return &reply{body: mustJSON(res)}, err
}

func (h *Handlers) leaveBucket(ctx context.Context, r *request) (*reply, error) {
	var body leaveBody
	if err := strictJSON(r.body, &body); err != nil {
		return nil, ErrBadRequest.With("%s", err)
	}
	res, err := h.LeaveBucket(ctx, r.bucket, body.Now)
	return &reply{body: mustJSON(res)}, err
}

// BucketInfo tells how a bucket stands at a node. ErrNoBucket if it is not held.
func (c *Client) BucketInfo(ctx context.Context, bucket string) (BucketInfo, error) {
	var res infoBody
	m, err := c.userAsk(ctx, bucket, verbInfo, nil)
	if err != nil {
		return res.BucketInfo, err
	}
	return res.BucketInfo, readReply(verbInfo, m.body, &res)
}

// CreateBucket has a node hold a bucket, and with it every node that is set to hold
// what it hears of. One that is held already is no error. ErrMayNotCreate if nobody
// holds it yet and none may be made there.
func (c *Client) CreateBucket(ctx context.Context, bucket string) (BucketResult, error) {
	var res BucketResult
	m, err := c.userAsk(ctx, bucket, verbCreateBucket, nil)
	if err != nil {
		return res, err
	}
	return res, readReply(verbCreateBucket, m.body, &res)
}

// LeaveBucket has a node give up a bucket, once another master has all of it and keeps
// it, or at once if now is set: what only it has is gone then. The others go on.
// ErrNotHandedOver tells what was missing when ctx ended; the node holds the bucket as
// before then.
func (c *Client) LeaveBucket(ctx context.Context, node, bucket string, now bool) (BucketResult, error) {
	var res BucketResult
	if err := bus.ValidBucket(bucket); err != nil {
		return res, ErrBadBucket.With("%s", err)
	}
	m, err := c.call(ctx, bucket, node, verbLeaveBucket, mustJSON(leaveBody{V: 1, Now: now}))
	if err != nil {
		return res, c.named(node, err)
	}
	return res, readReply(verbLeaveBucket, m.body, &res)
}
