package store

import (
	"encoding/binary"
	"iter"

	"replicator/oplog"
)

// A Snapshot is one moment of a bucket: its fields and its rows belong
// together. Close it soon: it holds back space.
//
// It may be ahead of what is durable. Before anything of it is sent, call
// Store.Sync, or check that Own is not above Bucket.DurableSeq.
type Snapshot struct {
	Clock  oplog.Clock
	Ahead  oplog.Clock
	GCV    oplog.Clock             // by origin, the highest seq collected
	GCTS   oplog.HLC               // the highest timestamp collected
	HLC    oplog.HLC               // the highest timestamp issued or merged
	Origin oplog.Origin            // the own one; zero before the first write of this start
	Own    oplog.Seq               // of Origin
	Count  uint64                  // rows, tombstones included
	Sums   [oplog.HashParts]uint64 // of the row hashes, by part of the key space
	Bad    []uint64                // parts known to hold bad rows, ascending

	b  *Bucket
	kv KVSnapshot
}

// Snapshot opens a snapshot of the bucket.
func (b *Bucket) Snapshot() (*Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.s.closed.Load() {
		return nil, ErrClosed
	}
	// After a failure the KV may show a batch that memory does not know of.
	if err := b.s.failure(); err != nil {
		return nil, &ReadOnlyError{Cause: err}
	}
	if b.dropped {
		return nil, ErrDropped
	}
	if b.sweeping() {
		return nil, ErrReconciling
	}
	own := b.s.origin()
	return &Snapshot{
		Clock:  b.state.clock.Clone(),
		Ahead:  b.state.ahead.Clone(),
		GCV:    b.state.gcv.Clone(),
		GCTS:   b.state.gcts,
		HLC:    b.state.hlc,
		Origin: own,
		Own:    b.state.clock[own],
		Count:  b.state.rows,
		Sums:   b.state.parts,
		Bad:    partsOf(b.bad),
		b:      b,
		kv:     b.s.kv.Snapshot(),
	}, nil
}

// Close lets go of the rows. It may be called twice.
func (s *Snapshot) Close() error { return s.kv.Close() }

// Get returns the row of key as it was.
func (s *Snapshot) Get(key []byte) (oplog.Entry, bool, error) {
	r, err := s.b.row(s.kv, key)
	if err != nil || r == nil {
		return oplog.Entry{}, false, err
	}
	r.Key = append([]byte(nil), key...)
	return r.Entry, true, nil
}

// Log returns the rows that above does not cover, extras included, origin by
// origin and in order of seq: S4. The entries belong to the caller.
func (s *Snapshot) Log(above oplog.Clock) iter.Seq2[oplog.Entry, error] {
	return func(yield func(oplog.Entry, error) bool) {
		held := s.Clock.Clone()
		held.Join(s.Ahead)
		for _, o := range held.Origins() {
			if held[o] <= above[o] {
				continue
			}
			n, ok := s.b.s.origins.known(o)
			if ok && !s.originLog(n, above[o], yield) {
				return
			}
		}
	}
}

// originLog yields the rows of one origin above seq. It reports whether to go on.
func (s *Snapshot) originLog(n originNo, above oplog.Seq, yield func(oplog.Entry, error) bool) bool {
	if above == 1<<64-1 {
		return true
	}
	lower := logKey(s.b.id, n, above+1)
	it, err := s.kv.Iter(lower, after(lower[:prefixLen+4]))
	if err != nil {
		yield(oplog.Entry{}, err)
		return false
	}
	defer func() { _ = it.Close() }()
	for ok := it.First(); ok; ok = it.Next() {
		seq := binary.BigEndian.Uint64(it.Key()[prefixLen+4:])
		key := append([]byte(nil), it.Value()...)
		r, err := s.b.row(s.kv, key)
		if err != nil {
			yield(oplog.Entry{}, err)
			return false
		}
		if !s.names(r, n, seq) {
			continue // a stale log row
		}
		r.Key = key
		if !yield(r.Entry, nil) {
			return false
		}
	}
	if err := it.Err(); err != nil {
		yield(oplog.Entry{}, err)
		return false
	}
	return true
}

func (s *Snapshot) names(r *row, n originNo, seq oplog.Seq) bool {
	if r == nil || r.Stamp.Seq != seq {
		return false
	}
	o, ok := s.b.s.origins.origin(n)
	return ok && r.Stamp.Origin == o
}

// Rows returns the rows that above does not cover, extras included, in order of
// key, from the first key behind that one. The entries belong to the caller.
func (s *Snapshot) Rows(above oplog.Clock, behind []byte) iter.Seq2[oplog.Entry, error] {
	lower, upper := bucketRange(tableData, s.b.id)
	if len(behind) > 0 {
		lower = append(dataKey(s.b.id, behind), 0)
	}
	return s.between(lower, upper, func(r *row) bool { return r.Stamp.Seq > above[r.Stamp.Origin] })
}

// Prefixed returns all rows whose keys begin so, in order of key. The entries belong
// to the caller.
func (s *Snapshot) Prefixed(prefix []byte) iter.Seq2[oplog.Entry, error] {
	lower, upper, _ := s.b.scanRange(&ScanOptions{Prefix: prefix})
	return s.between(lower, upper, func(*row) bool { return true })
}

func (s *Snapshot) between(lower, upper []byte, wanted func(*row) bool) iter.Seq2[oplog.Entry, error] {
	return func(yield func(oplog.Entry, error) bool) {
		it, err := s.kv.Iter(lower, upper)
		if err != nil {
			yield(oplog.Entry{}, err)
			return
		}
		defer func() { _ = it.Close() }()
		for ok := it.First(); ok; ok = it.Next() {
			r, err := s.b.decode(it.Key()[prefixLen:], it.Value())
			if err != nil {
				yield(oplog.Entry{}, err)
				return
			}
			if wanted(r) && !yield(r.own().Entry, nil) {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield(oplog.Entry{}, err)
		}
	}
}

// own gives the row copies of slices that belong to an iterator.
func (r *row) own() *row {
	kv := append(append(make([]byte, 0, len(r.Key)+len(r.Value)), r.Key...), r.Value...)
	n := len(r.Key)
	r.Key, r.Value = kv[:n:n], kv[n:]
	return r
}
