package replicator

import (
	"context"
	"errors"
	"fmt"

	"replicator/api"
	syncer "replicator/sync"
)

// ErrNoDoubt reports that no reconcile of the bucket waits.
var ErrNoDoubt = errors.New("replicator: no reconcile waits")

// A Doubt is a reconcile that would remove so many of the bucket's rows that the
// node does not believe it of one other: their disk may have lost them.
type Doubt struct {
	Nodes   []string // that have the rows no more
	Removes uint64   // how many rows
	Rows    uint64   // of how many
}

// AcceptReconcile lets a reconcile of the bucket remove what it was found to
// remove, though no second node has said the same. It returns what that is, and
// does not wait until it is done; what is removed is kept for seven days, see
// Bucket.Conflicts. ErrNoDoubt if none waits.
func (n *Node) AcceptReconcile(ctx context.Context, bucket string) (Doubt, error) {
	if err := ctx.Err(); err != nil {
		return Doubt{}, err
	}
	if _, err := n.held(bucket); err != nil {
		return Doubt{}, err
	}
	var waits *syncer.DoubtStatus
	n.ask(func() { waits = n.engine.Bucket(bucket).Doubt })
	if waits == nil {
		return Doubt{}, fmt.Errorf("%w: bucket %s", ErrNoDoubt, bucket)
	}
	n.feed(syncer.AcceptDoubt{Bucket: bucket})
	n.log.InfoContext(ctx, "reconcile accepted", "bucket", bucket, "removes", waits.Removes, "rows", waits.Rows)
	return Doubt{Nodes: waits.Donors, Removes: waits.Removes, Rows: waits.Rows}, nil
}

// AcceptReconcile implements api.Backend.
func (n serviceBackend) AcceptReconcile(ctx context.Context, bucket string) (api.Doubt, error) {
	d, err := n.Node.AcceptReconcile(ctx, bucket)
	return api.Doubt(d), apiError(err)
}

func doubtStatus(d *syncer.DoubtStatus) *api.Doubt {
	if d == nil {
		return nil
	}
	return &api.Doubt{Nodes: d.Donors, Removes: d.Removes, Rows: d.Rows}
}
