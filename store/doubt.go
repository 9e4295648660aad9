package store

import (
	"bytes"
	"fmt"
)

// A DoubtfulError reports a reconcile that would remove more rows than a single
// donor is believed. Nothing was carried out: the verdicts stay, and the token
// behind them. Rule C7.
type DoubtfulError struct {
	Removes, Rows uint64 // so many of so many, tombstones aside
}

func (e *DoubtfulError) Error() string {
	return fmt.Sprintf("store: the reconcile would remove %d of %d rows", e.Removes, e.Rows)
}

const (
	// doubtFloor is Options.DoubtFloor by default: what is removed is kept for a
	// while, and so many can be looked through.
	doubtFloor = 1000
	// doubtShare is the part of a bucket's rows that may go at once, one of so many.
	doubtShare = 10
)

// believes reports an error if more rows would go than may, beyond those that
// somebody else has said should.
func (b *Bucket) believes(accepted uint64) error {
	removes, err := b.removals()
	rows := b.Keys()
	limit := accepted + max(uint64(b.s.opts.DoubtFloor), rows/doubtShare)
	if err == nil && removes > limit {
		err = &DoubtfulError{Removes: removes, Rows: rows}
	}
	return err
}

// removals counts the verdicts that would take a row from readers or put the
// donor's in its place. It reads the rows, a batch after the other: some were
// overwritten since they were judged.
func (b *Bucket) removals() (n uint64, err error) {
	after := []byte{}
	err = b.eachBatch(func() (bool, error) {
		removed, last, more, err := b.removalsBehind(after)
		n, after = n+removed, last
		return more, err
	})
	return n, err
}

func (b *Bucket) removalsBehind(after []byte) (n uint64, last []byte, more bool, err error) {
	lower, upper := bucketRange(tableStage, b.id)
	if len(after) > 0 {
		lower = append(stageKey(b.id, after), 0)
	}
	it, err := b.s.kv.Iter(lower, upper)
	if err != nil {
		return 0, nil, false, err
	}
	defer func() { _ = it.Close() }()
	keys, size := 0, 0
	for ok := it.First(); ok; ok = it.Next() {
		if keys == compareKeys || size >= compareBytes {
			return n, last, true, nil
		}
		last = bytes.Clone(it.Key()[prefixLen:])
		removed, read, err := b.removes(last, bytes.Clone(it.Value()))
		if err != nil {
			return 0, nil, false, err
		}
		if removed {
			n++
		}
		keys, size = keys+1, size+read
	}
	return n, last, false, it.Err()
}

// removes reports whether the verdict on a key would remove a row that readers
// see, and how many bytes it took to find out.
func (b *Bucket) removes(key, value []byte) (removed bool, size int, err error) {
	size = len(value)
	v, err := b.decodeVerdict(key, value)
	if err != nil {
		return false, 0, &CorruptError{Bucket: b.name, Key: stageKey(b.id, key), Reason: err.Error()}
	}
	if v.reissue {
		return false, size, nil
	}
	r, err := b.anyRow(b.s.kv, key)
	if err != nil || r == nil {
		return false, size, err
	}
	return r.Stamp == v.stamp && !r.Tombstone && !r.bad, size + len(r.Value), nil
}
