package replicator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// A Revision names the write that a row is: who wrote it, in which life, as which
// of its writes. Entry.Dot returns it. It is the same on every node.
type Revision = oplog.Dot

// A Condition makes a write depend on the row that this node has at that moment.
// It is a promise of this node alone: another one may write the same key at the
// same time, and then the later of the two writes stays everywhere. The zero value
// is no condition.
type Condition struct {
	kind     conditionKind
	revision Revision
}

type conditionKind uint8

const (
	ifAbsent conditionKind = iota + 1
	ifRevision
)

// IfAbsentLocal holds while this node has no live row of the key.
func IfAbsentLocal() Condition { return Condition{kind: ifAbsent} }

// IfRevisionLocal holds while the live row of the key on this node is that write.
func IfRevisionLocal(r Revision) Condition { return Condition{kind: ifRevision, revision: r} }

// holds reports whether the live row may be replaced; the zero revision is none.
func (c Condition) holds(current Revision) bool {
	if c.kind == ifAbsent {
		return current.Seq == 0
	}
	return current.Seq != 0 && current == c.revision
}

// A RevisionError refuses a write whose condition did not hold. Nothing was
// written.
type RevisionError struct {
	Key     []byte
	Current Revision // of the live row; zero: there was none
	Absent  bool     // no row was wanted
	Wanted  Revision // else this one
}

func (e *RevisionError) Error() string {
	switch {
	case e.Absent:
		return fmt.Sprintf("replicator: key %q exists on this node, at revision %s", e.Key, e.Current)
	case e.Current.Seq == 0:
		return fmt.Sprintf("replicator: key %q has no row on this node, so not revision %s", e.Key, e.Wanted)
	}
	return fmt.Sprintf("replicator: key %q is at revision %s on this node, not at %s", e.Key, e.Current, e.Wanted)
}

// errExists is, for errors.Is, a RevisionError that wanted no row.
var errExists = errors.New("replicator: the key exists")

// Is makes one that wanted no row distinct from one that wanted another.
func (e *RevisionError) Is(target error) bool { return target == errExists && e.Absent }

// A guarded op is one with the outcome of its condition.
type guarded struct {
	op     store.Op
	failed *RevisionError // set by the commit
}

// guard makes op depend on c. The outcome is set once the op was decided on.
func (c Condition) guard(op store.Op) *guarded {
	g := &guarded{op: op}
	if c == (Condition{}) {
		return g
	}
	g.op.OnlyIf = func(row *oplog.Entry) bool {
		g.failed = nil // a commit may be tried again
		var current Revision
		if row != nil && row.Live(time.Now()) {
			current = row.Dot()
		}
		if c.holds(current) {
			return true
		}
		g.failed = &RevisionError{Key: op.Key, Current: current, Absent: c.kind == ifAbsent, Wanted: c.revision}
		return false
	}
	return g
}

// PutOptions tune a write of a value. The zero value is a plain one.
type PutOptions struct {
	// TTL is how long the row lives, from now on by this node's wall clock. Each
	// node hides it when its own clock says so; nobody writes a delete for it. Zero
	// is for ever.
	TTL time.Duration
	// Expires is the same as a moment, to the millisecond. Not both.
	Expires time.Time
	// Type says what the value is, as application/json: at most 255 bytes of printable
	// ASCII, which come back with it on every node. Nothing looks at them. Empty is not
	// said; anything else is a *TypeError.
	Type string
	// If is a condition on the row that this node has.
	If Condition
}

// expiry returns the options' end of life in milliseconds since 1970; 0: none.
func (o *PutOptions) expiry(now time.Time) (int64, error) {
	if o.TTL == 0 && o.Expires.IsZero() {
		return 0, nil
	}
	at := o.Expires
	switch {
	case o.TTL != 0 && !o.Expires.IsZero():
		return 0, errors.New("replicator: both a TTL and a time of expiry")
	case o.TTL < 0:
		return 0, fmt.Errorf("replicator: a TTL of %v", o.TTL)
	case o.TTL > 0:
		at = now.Add(o.TTL)
	}
	if !at.After(now) || at.Unix() > math.MaxInt64/1000 {
		return 0, fmt.Errorf("replicator: expiry at %s, which is not to come", at.Format(time.RFC3339))
	}
	return max(at.UnixMilli(), now.UnixMilli()+1), nil
}

// PutWith is Put with options. A *RevisionError reports a condition that did not
// hold.
func (b *Bucket) PutWith(ctx context.Context, key, value []byte, o PutOptions) (Entry, error) {
	expiry, err := o.expiry(time.Now())
	if err != nil {
		return Entry{}, err
	}
	return b.guarded(ctx, o.If.guard(store.Op{Key: bytes.Clone(key), Value: bytes.Clone(value), Expiry: expiry, Type: o.Type}))
}

// CreateLocal writes a value if this node has no row of the key; else it returns a
// *RevisionError. Two nodes may both create a key: the later one stays.
func (b *Bucket) CreateLocal(ctx context.Context, key, value []byte) (Entry, error) {
	return b.PutWith(ctx, key, value, PutOptions{If: IfAbsentLocal()})
}

// UpdateLocal writes a value if the row on this node is still that revision; else
// it returns a *RevisionError. Two nodes may both update a key: the later one
// stays, and the other is a conflict.
func (b *Bucket) UpdateLocal(ctx context.Context, key, value []byte, r Revision) (Entry, error) {
	return b.PutWith(ctx, key, value, PutOptions{If: IfRevisionLocal(r)})
}

// DeleteLocal deletes a key if the row on this node is still that revision; else
// it returns a *RevisionError.
func (b *Bucket) DeleteLocal(ctx context.Context, key []byte, r Revision) (Entry, error) {
	return b.guarded(ctx, IfRevisionLocal(r).guard(store.Op{Key: bytes.Clone(key), Delete: true}))
}

func (b *Bucket) guarded(ctx context.Context, g *guarded) (Entry, error) {
	e, err := b.one(ctx, g.op)
	if err == nil && g.failed != nil {
		return Entry{}, g.failed
	}
	return e, err
}

// deletePage is how many keys DeletePrefix deletes with one commit.
const deletePage = 1000

// DeletePrefix deletes every key that begins so, as this node has them while it
// runs, and returns how many. Each delete stands for itself: an error leaves those
// before it deleted. An empty prefix deletes all keys.
func (b *Bucket) DeletePrefix(ctx context.Context, prefix []byte) (deleted int, err error) {
	for after, n := []byte(nil), 0; ; {
		n, after, err = b.deleteSome(ctx, prefix, after, deletePage)
		deleted += n
		if err != nil || after == nil {
			return deleted, err
		}
	}
}

// deleteSome deletes up to limit keys behind after, and returns the last one if
// there may be more.
func (b *Bucket) deleteSome(ctx context.Context, prefix, after []byte, limit int) (deleted int, last []byte, err error) {
	ops := make([]store.Op, 0, min(limit, deletePage))
	for e, err := range b.Scan(ctx, ScanOptions{Prefix: prefix, After: after, Limit: limit, KeysOnly: true}) {
		if err != nil {
			return 0, nil, err
		}
		ops = append(ops, store.Op{Key: e.Key, Delete: true})
	}
	if len(ops) == 0 {
		return 0, nil, nil
	}
	entries, err := b.loop.write(ctx, ops)
	for _, e := range entries {
		if !e.Stamp.IsZero() { // else it went meanwhile
			deleted++
		}
	}
	if len(ops) == limit {
		last = ops[limit-1].Key
	}
	return deleted, last, err
}
