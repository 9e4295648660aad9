package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"replicator/oplog"
)

// CollectOptions say which tombstones and expired rows nobody needs any more.
// The zero value allows none.
type CollectOptions struct {
	// Stable is what every member that counts covers durably: rule G2.
	Stable oplog.Clock
	// Upto is the highest timestamp to collect: every later write of a member
	// that counts has a higher one.
	Upto oplog.HLC
	// Force collects whatever the own clock covers up to Upto, whoever may not
	// have it: rule G5. The fleet converges all the same; a key that a node
	// wrote while it was away may come back.
	Force bool
	// After is where the Collect before stopped; nil for the beginning.
	After []byte
	// Limit is how many rows to look at. Default 4096.
	Limit int
}

// Collected is what one Collect did.
type Collected struct {
	Tombstones, Expired int
	Next                []byte // where to go on; nil: everything was looked at
}

// Collect drops tombstones and expired rows that everybody has, and raises gate
// and guard in the same batch: rules G2, G3 and G6. It does nothing while the
// bucket is being reconciled. It does not sync.
func (b *Bucket) Collect(now time.Time, o CollectOptions) (Collected, error) {
	if o.Limit <= 0 {
		o.Limit = 4096
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writable(); err != nil {
		return Collected{}, err
	}
	if b.state.rec != nil {
		return Collected{}, nil
	}
	c := collection{b: b, t: newTx(b), o: &o, left: o.Limit, expired: now.Add(-b.s.opts.MaxDrift).UnixMilli()}
	o.Upto = min(o.Upto, oplog.HLCAt(now)) // never a row of the future
	if !o.Force {
		o.Upto = min(o.Upto, b.state.hlc)
	}
	if err := c.run(); err != nil {
		return Collected{}, err
	}
	if _, err := c.t.commit(); err != nil {
		return Collected{}, err
	}
	return c.done, nil
}

// Collectable reports whether the bucket holds a tombstone or a row with an
// expiry.
func (b *Bucket) Collectable() (bool, error) {
	for _, table := range []byte{tableTombs, tableExpiry} {
		it, err := b.s.kv.Iter(bucketRange(table, b.id))
		if err != nil {
			return false, err
		}
		some := it.First()
		if err := errors.Join(it.Err(), it.Close()); some || err != nil {
			return some && err == nil, err
		}
	}
	return false, nil
}

// A collection is one walk over the two indexes.
type collection struct {
	b       *Bucket
	t       *tx
	o       *CollectOptions
	expired int64 // rows with an expiry up to this are hidden at every node
	left    int
	done    Collected
}

func (c *collection) run() error {
	for _, index := range []struct {
		table byte
		upto  uint64
		count *int
	}{
		{tableTombs, uint64(c.o.Upto), &c.done.Tombstones},
		{tableExpiry, uint64(max(c.expired, 0)), &c.done.Expired},
	} {
		lower, upper := bucketRange(index.table, c.b.id)
		if from := c.o.After; bytes.Compare(from, upper) >= 0 {
			continue
		} else if bytes.Compare(from, lower) > 0 {
			lower = append(bytes.Clone(from), 0)
		}
		end := binary.BigEndian.AppendUint64(bucketKey(index.table, c.b.id, 8), index.upto)
		if end = after(end); end != nil && bytes.Compare(end, upper) < 0 {
			upper = end
		}
		if stopped, err := c.walk(lower, upper, index.count); stopped || err != nil {
			return err
		}
	}
	c.done.Next = nil
	return nil
}

// walk collects from one index. It reports whether the limit ended it.
func (c *collection) walk(lower, upper []byte, count *int) (stopped bool, err error) {
	if bytes.Compare(lower, upper) >= 0 {
		return false, nil
	}
	it, err := c.b.s.kv.Iter(lower, upper)
	if err != nil {
		return false, err
	}
	defer func() { _ = it.Close() }()
	for ok := it.First(); ok; ok = it.Next() {
		if c.left == 0 {
			return true, nil
		}
		c.left--
		c.done.Next = bytes.Clone(it.Key())
		s, err := c.t.slot(bytes.Clone(it.Key()[prefixLen+8:]))
		if err != nil {
			return false, err
		}
		if s.collected { // this is its other index row, which goes with it
			continue
		}
		if strayed(c.b.id, it.Key(), s.cur) {
			c.t.strayed = append(c.t.strayed, bytes.Clone(it.Key()))
			c.t.dirty = true
			continue
		}
		if s.cur != nil && !s.cur.bad && c.stable(s.cur) {
			c.t.raiseGate(oplog.Clock{s.cur.Stamp.Origin: s.cur.Stamp.Seq}, s.cur.Stamp.HLC)
			s.collected = true
			c.t.drop(s)
			*count++
		}
	}
	return false, it.Err()
}

// strayed reports whether an index row is not that of r, which lies under its key;
// nil: none does. Rows that were lost or rotted leave such ones; what took their
// place is not theirs.
func strayed(bucket uint32, at []byte, r *row) bool {
	switch {
	case r == nil:
		return true
	case r.torn():
		return false // nobody knows what it was
	}
	key, ok := indexKey(bucket, &r.Entry)
	return !ok || !bytes.Equal(key, at)
}

func (c *collection) stable(r *row) bool {
	if !c.t.covers(r.Dot()) || r.Stamp.HLC > c.o.Upto {
		return false
	}
	return c.o.Force || c.o.Stable.Covers(r.Dot())
}
