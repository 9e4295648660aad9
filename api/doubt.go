package api

import (
	"context"

	"replicator/bus"
)

// ErrNoDoubt reports that no reconcile of the bucket waits.
var ErrNoDoubt = &Error{"no_doubt", 409, "no reconcile waits"}

// A Doubt is a reconcile that waits: it would remove many rows, and only some
// nodes say that they were deleted. Or it is a bucket of a replica that has to be
// emptied and filled again, and no master is known to have all of it.
type Doubt struct {
	Nodes   []string `json:"nodes"`   // that have the rows no more; none if Empties
	Removes uint64   `json:"removes"` // how many rows
	Rows    uint64   `json:"rows"`    // of how many
	Empties bool     `json:"empties"` // the whole bucket goes
}

// A reconcileBody says what was seen: the rest of a Doubt may have changed.
type reconcileBody struct {
	V       int    `json:"v"`
	Accept  bool   `json:"accept"`
	Removes uint64 `json:"removes"`
	Empties bool   `json:"empties"`
}

// A DoubtResult tells what a node will remove.
type DoubtResult struct {
	V      int    `json:"v"`
	Node   string `json:"node"`
	Bucket string `json:"bucket"`
	Doubt
}

// reconcile lets one that waits go on, or a replica empty its bucket. Also that of the fleet's bucket, which may
// have to wait as any other.
func (h *Handlers) reconcile(ctx context.Context, r *request) (*reply, error) {
	if r.bucket != bus.Fleet {
		if err := userBucket(r); err != nil {
			return nil, err
		}
	}
	var body reconcileBody
	if err := strictJSON(r.body, &body); err != nil {
		return nil, ErrBadRequest.With("%s", err)
	}
	if !body.Accept {
		return nil, ErrBadRequest.With("a reconcile can only be accepted")
	}
	d, err := h.backend.AcceptReconcile(ctx, r.bucket, Doubt{Removes: body.Removes, Empties: body.Empties})
	if err != nil {
		return nil, err
	}
	return &reply{body: mustJSON(DoubtResult{V: 1, Node: h.backend.Name(), Bucket: r.bucket, Doubt: d})}, nil
}

// AcceptReconcile lets a reconcile of a node remove the rows that it waits with, or
// a replica empty its bucket. Seen is BucketStatus.Doubt as it was looked at.
// ErrNoDoubt if nothing waits, or what would remove more by now.
func (c *Client) AcceptReconcile(ctx context.Context, node, bucket string, seen Doubt) (DoubtResult, error) {
	var res DoubtResult
	if bucket != bus.Fleet {
		if err := bus.ValidBucket(bucket); err != nil {
			return res, ErrBadBucket.With("%s", err)
		}
	}
	m, err := c.call(ctx, bucket, node, verbReconcile, mustJSON(reconcileBody{V: 1, Accept: true, Removes: seen.Removes, Empties: seen.Empties}))
	if err != nil {
		return res, c.named(node, err)
	}
	return res, readReply(verbReconcile, m.body, &res)
}
