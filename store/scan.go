package store

import (
	"bytes"
	"iter"
	"time"

	"replicator/oplog"
)

// ScanOptions narrow a Scan. The zero value is all rows as they are stored.
type ScanOptions struct {
	Prefix     []byte    // only keys that begin with it
	Start, End []byte    // only keys from Start up to, but without, End; nil is open
	After      []byte    // only keys behind it in the direction of the scan: where the last one stopped
	Limit      int       // at most so many rows; 0 is no limit
	Reverse    bool      // from the last key to the first
	Now        time.Time // hide tombstones and what has expired by then; zero shows all
	KeysOnly   bool      // leave the values out
}

// Scan returns rows in order of key, all of one moment. They may be ahead of
// what is durable. An error ends it. The entries belong to the caller.
func (b *Bucket) Scan(o ScanOptions) iter.Seq2[oplog.Entry, error] {
	return func(yield func(oplog.Entry, error) bool) {
		lower, upper, some := b.scanRange(&o)
		if !some {
			return
		}
		it, err := b.s.kv.Iter(lower, upper)
		if err != nil {
			yield(oplog.Entry{}, err)
			return
		}
		defer func() { _ = it.Close() }()
		first, next := it.First, it.Next
		if o.Reverse {
			first, next = it.Last, it.Prev
		}
		left := o.Limit
		for ok := first(); ok; ok = next() {
			r, err := b.decode(it.Key()[prefixLen:], it.Value())
			if err != nil {
				yield(oplog.Entry{}, err)
				return
			}
			if !o.Now.IsZero() && !r.Live(o.Now) {
				continue
			}
			if o.KeysOnly {
				r.Value = nil
			}
			if !yield(r.own().Entry, nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield(oplog.Entry{}, err)
		}
	}
}

// scanRange returns the bounds that o asks for, and whether any key can lie
// between them.
func (b *Bucket) scanRange(o *ScanOptions) (lower, upper []byte, some bool) {
	lower, upper = bucketRange(tableData, b.id)
	raise := func(key []byte) {
		if bytes.Compare(key, lower) > 0 {
			lower = key
		}
	}
	reduce := func(key []byte) {
		if key != nil && bytes.Compare(key, upper) < 0 {
			upper = key
		}
	}
	if len(o.Prefix) > 0 {
		prefix := dataKey(b.id, o.Prefix)
		raise(prefix)
		reduce(after(prefix))
	}
	if o.Start != nil {
		raise(dataKey(b.id, o.Start))
	}
	if o.End != nil {
		reduce(dataKey(b.id, o.End))
	}
	if len(o.After) > 0 {
		if o.Reverse {
			reduce(dataKey(b.id, o.After))
		} else {
			raise(append(dataKey(b.id, o.After), 0))
		}
	}
	return lower, upper, bytes.Compare(lower, upper) < 0
}
