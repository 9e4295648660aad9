package replicator

import (
	"bytes"
	"context"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// The limits of one Batch. MaxBatchBytes is what its entries may take on the
// wire: 16 MiB of keys and values always fit it, if they are not in tens of
// thousands of pieces.
const (
	MaxBatchOps   = store.MaxOps
	MaxBatchBytes = store.MaxBatchBytes
)

// An Op is one operation of a Batch: it puts a value or deletes a key.
type Op struct {
	Key, Value []byte
	Delete     bool
	PutOptions // of a delete only If counts
}

// Batch writes all operations or none, as one, and returns an entry for each,
// once they are as durable as the node's Durability says. A delete of a key that
// has no row writes nothing: its entry has no stamp. Of two operations on one
// key the later one stays. Errors are those of PutWith; a *LimitError also reports
// more than MaxBatchOps operations or MaxBatchBytes. Conditions are asked of the
// rows as they were before the batch.
//
// On this node nobody sees a part of a batch. Neither does anybody on another
// node, for as long as that follows along: what of the batch no other write has
// beaten arrives there as one. Only while a node is catching up in key order, as
// a new one does, or one that lacks more than 10,000 writes, may it hold a part
// of a batch; when it is done it has the whole.
func (b *Bucket) Batch(ctx context.Context, ops ...Op) ([]Entry, error) {
	now, list := time.Now(), make([]*guarded, len(ops))
	for i := range ops {
		op := &ops[i]
		expiry, err := op.expiry(now)
		if err != nil {
			return nil, err
		}
		list[i] = op.If.guard(store.Op{Key: bytes.Clone(op.Key), Value: bytes.Clone(op.Value), Delete: op.Delete, Expiry: expiry, Type: op.Type})
	}
	return b.loop.writeBatch(ctx, list)
}

// writeBatch is write for operations that belong together.
func (l *loop) writeBatch(ctx context.Context, list []*guarded) ([]oplog.Entry, error) {
	ops := make([]store.Op, len(list))
	for i, g := range list {
		ops[i] = g.op
	}
	if len(ops) == 0 {
		return nil, nil
	}
	if len(ops) > store.MaxOps {
		return nil, &store.LimitError{What: "operations of an atomic batch", Size: int64(len(ops)), Limit: store.MaxOps}
	}
	for i := range ops {
		if err := store.CheckOp(ops[i]); err != nil {
			return nil, err
		}
	}
	ops[0].Batch = len(ops)
	entries, err := l.write(ctx, ops)
	if err != nil {
		return nil, err // and what a condition said is still being written
	}
	for _, g := range list {
		if g.failed != nil {
			return nil, g.failed
		}
	}
	return entries, nil
}
