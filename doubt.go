package replicator

import (
	"context"
	"errors"
	"fmt"

	"replicator/api"
	syncer "replicator/sync"
)

// ErrNoDoubt reports that neither a reconcile nor a replica's bucket that is to be
// emptied waits.
var ErrNoDoubt = errors.New("replicator: no reconcile waits")

// A Doubt is a reconcile that would remove so many of the bucket's rows that the
// node does not believe it of one other: their disk may have lost them. Or it is a
// bucket of a replica that has to be emptied and filled again, while no master is
// known to have all of it.
type Doubt struct {
	Nodes   []string // that have the rows no more; none if Empties
	Removes uint64   // how many rows
	Rows    uint64   // of how many
	Empties bool     // the whole bucket goes
}

// AcceptReconcile lets a reconcile of the bucket remove what it was found to
// remove, though no second node has said the same; what is removed is kept for
// seven days, see Bucket.Conflicts. Or it lets a replica empty the bucket: what no
// other node has is gone for good then. Seen is the doubt that is accepted, as the
// status tells it: what waits now may be another. It returns what goes, and does not
// wait until that is done. ErrNoDoubt if nothing waits, or something that would
// remove more.
func (n *Node) AcceptReconcile(ctx context.Context, bucket string, seen Doubt) (Doubt, error) {
	if err := ctx.Err(); err != nil {
		return Doubt{}, err
	}
	l, err := n.held(bucket)
	if err != nil {
		return Doubt{}, err
	}
	var waits *syncer.DoubtStatus
	n.ask(func() { waits = n.engine.Bucket(bucket).Doubt })
	if waits == nil {
		return Doubt{}, fmt.Errorf("%w: bucket %s", ErrNoDoubt, bucket)
	}
	d := doubtOf(*waits, l.bucket.Keys())
	if d.Empties != seen.Empties || !d.Empties && d.Removes > seen.Removes {
		return Doubt{}, fmt.Errorf("%w as it was seen: %d of %d rows would go now; look again", ErrNoDoubt, d.Removes, d.Rows)
	}
	n.feed(syncer.AcceptDoubt{Bucket: bucket, Most: seen.Removes, Empties: seen.Empties})
	n.log.InfoContext(ctx, "removal accepted", "bucket", bucket, "removes", d.Removes, "rows", d.Rows)
	return d, nil
}

// AcceptReconcile implements api.Backend.
func (n serviceBackend) AcceptReconcile(ctx context.Context, bucket string, seen api.Doubt) (api.Doubt, error) {
	d, err := n.Node.AcceptReconcile(ctx, bucket, Doubt(seen))
	return api.Doubt(d), apiError(err)
}

// doubtOf completes what waits in a bucket of so many keys.
func doubtOf(d syncer.DoubtStatus, keys uint64) Doubt {
	if d.Empties {
		return Doubt{Nodes: []string{}, Removes: keys, Rows: keys, Empties: true}
	}
	return Doubt{Nodes: d.Donors, Removes: d.Removes, Rows: d.Rows}
}

func doubtStatus(d *syncer.DoubtStatus, keys uint64) *api.Doubt {
	if d == nil {
		return nil
	}
	return new(api.Doubt(doubtOf(*d, keys)))
}
