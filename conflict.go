package replicator

import (
	"context"
	"fmt"
	"iter"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// A Lost is a write of this node that lost against another whose writer had not
// seen it: last writer wins, and nobody reads it any more. Or it is a write of
// anybody that was Parked: see AmbiguousPark.
type Lost = store.Lost

// Conflicts yields the writes of this node that lost a conflict, and those that
// it has parked, the oldest first: at most 1,000 of the last seven days, and 64
// MiB of them. Each is kept by the node that wrote or parked it, and by no other.
// After an error nothing follows.
//
// A conflict is told exactly by what the winner replaced. One is missed only if
// the winner was itself overwritten before it got here.
func (b *Bucket) Conflicts(ctx context.Context) iter.Seq2[Lost, error] {
	return func(yield func(Lost, error) bool) {
		if err := b.node.alive(); err != nil {
			yield(Lost{}, err)
			return
		}
		for l, err := range b.loop.bucket.Lost() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Lost{}, err)
				return
			}
			if !yield(l, nil) {
				return
			}
		}
	}
}

// TakeConflict makes the write that lost the newest one of its key again, or
// deletes the key if it was a delete, and takes it off the list. ErrNotFound if
// it is not on the list. It returns as Put does.
func (b *Bucket) TakeConflict(ctx context.Context, dot oplog.Dot) (Entry, error) {
	if b.node.Replica() {
		return Entry{}, ErrReplica
	}
	for l, err := range b.Conflicts(ctx) {
		if err != nil {
			return Entry{}, err
		}
		if l.Entry.Dot() != dot {
			continue
		}
		e, err := b.asItWas(ctx, store.Op{Key: l.Entry.Key, Value: l.Entry.Value, Delete: l.Entry.Tombstone, Expiry: l.Entry.Expiry, Type: l.Entry.Type})
		if err != nil {
			return Entry{}, err
		}
		_, err = b.loop.bucket.DropLost(dot)
		return e, err
	}
	return Entry{}, fmt.Errorf("%w: no lost write %s on node %s", ErrNotFound, dot, b.node.self.Node)
}

// asItWas writes an op to which the bucket's settings add nothing.
func (b *Bucket) asItWas(ctx context.Context, op store.Op) (Entry, error) {
	if err := b.node.refusal(); err != nil {
		return Entry{}, err
	}
	entries, err := b.loop.submit(ctx, []store.Op{op})
	if err != nil {
		return Entry{}, err
	}
	return entries[0], nil
}

// tellConflicts counts what a merge found and tells of the writes of this node
// that lost: their winners' nodes, and all others, know the same.
func (l *loop) tellConflicts(list []store.Conflict) {
	l.conflicts.Add(uint64(len(list)))
	for i := range list {
		if list[i].Loser.Stamp.Origin.Node != l.node.self.Node {
			continue
		}
		if yes, silent := l.tells.conflict.tell(time.Now()); yes {
			l.node.raiseConflict(l.name, &list[i], silent)
		}
	}
}

// tellAmbiguous tells of writes that may be older than a forgotten delete, and of
// what this node has written in their place.
func (l *loop) tellAmbiguous(list []store.Ambiguity) {
	for i := range list {
		if yes, silent := l.tells.ambiguous.tell(time.Now()); yes {
			l.node.raiseAmbiguous(l.name, &list[i], silent)
		}
	}
}
