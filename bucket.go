package replicator

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// An Entry is a write: a row as it is stored, or an event of a watch.
type Entry = oplog.Entry

// A Bucket is a set of keys that replicates as a whole, on this node. Its
// methods may be used by many goroutines.
type Bucket struct {
	node *Node
	loop *loop
}

// Name returns the bucket's name.
func (b *Bucket) Name() string { return b.loop.name }

// Get returns the row of a key as this node has it: ErrNotFound if there is
// none, or if it was deleted or has expired. A read may see a write of this
// node a moment before it is on disk.
func (b *Bucket) Get(ctx context.Context, key []byte) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	if err := b.loop.ended(); err != nil {
		return Entry{}, err
	}
	if err := store.CheckKey(key); err != nil {
		return Entry{}, err
	}
	e, ok, err := b.loop.bucket.Get(key)
	if err != nil {
		return Entry{}, b.loop.suspect(err)
	}
	if !ok || !e.Live(time.Now()) {
		return Entry{}, ErrNotFound
	}
	return e, nil
}

// Put writes a value and returns its entry once it is as durable as the node's
// Durability says. It beats every row this node has seen under the key. An
// error that wraps ctx.Err() leaves open whether the value was written. A key
// has 1 to 4096 bytes of any kind, a value at most 16 MiB; anything else is a
// *store.LimitError and changes nothing.
func (b *Bucket) Put(ctx context.Context, key, value []byte) (Entry, error) {
	return b.one(ctx, store.Op{Key: bytes.Clone(key), Value: bytes.Clone(value)})
}

// Delete removes a key. Deleting a key that has no row is ErrNotFound and writes
// nothing. The tombstone it returns replicates as a value does.
func (b *Bucket) Delete(ctx context.Context, key []byte) (Entry, error) {
	e, err := b.one(ctx, store.Op{Key: bytes.Clone(key), Delete: true})
	if err == nil && e.Stamp.IsZero() {
		return Entry{}, ErrNotFound
	}
	return e, err
}

func (b *Bucket) one(ctx context.Context, op store.Op) (Entry, error) {
	if err := store.CheckOp(op); err != nil {
		return Entry{}, err
	}
	entries, err := b.loop.write(ctx, []store.Op{op})
	if err != nil {
		return Entry{}, err
	}
	return entries[0], nil
}

// ScanOptions say what a Scan yields. The zero value is the whole bucket.
type ScanOptions struct {
	Prefix     []byte // only keys that begin so
	Start, End []byte // only keys from Start up to, but without, End; nil is open
	After      []byte // only keys behind this one, in the direction of the scan
	Limit      int    // at most so many rows; 0 is no limit
	Reverse    bool   // from the last key to the first
	// KeysOnly leaves values out.
	KeysOnly bool
}

// Scan yields rows in the order of their keys' bytes, from one snapshot. The
// snapshot is held while the loop runs: do not dally. After an error nothing
// follows.
func (b *Bucket) Scan(ctx context.Context, o ScanOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := b.loop.ended(); err != nil {
			yield(Entry{}, err)
			return
		}
		if o.Limit < 0 {
			yield(Entry{}, fmt.Errorf("replicator: a scan of at most %d rows", o.Limit))
			return
		}
		rows := b.loop.bucket.Scan(store.ScanOptions{
			Prefix: o.Prefix, Start: o.Start, End: o.End, After: o.After, Limit: o.Limit, Reverse: o.Reverse, KeysOnly: o.KeysOnly, Now: time.Now(),
		})
		for e, err := range rows {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Entry{}, b.loop.suspect(err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Clock returns the bucket's clock: how far this node has every origin's writes.
func (b *Bucket) Clock() oplog.Clock { return b.loop.bucket.Clock() }

// Keys returns how many keys have a value. Expired ones count until they are
// collected.
func (b *Bucket) Keys() uint64 { return b.loop.bucket.Keys() }

func (n *Node) alive() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	return nil
}
