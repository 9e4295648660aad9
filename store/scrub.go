package store

import (
	"bytes"
	"encoding/binary"

	"replicator/oplog"
)

// What one step of a scrub reads while the bucket is locked.
const (
	scrubRows  = 1000
	scrubBytes = 1 << 20
)

// maxBad is how many keys of bad rows a bucket remembers. More are counted.
const maxBad = 4096

// A Scrub reads every row of a bucket, a step at a time, and finds those whose
// contents are not what was written: Pebble's own checksums find what rots inside
// its blocks, and end with an error of the disk; what was damaged above or before
// them only the hash of the row tells. At the end it compares the sums and counts
// that writes keep up with those of the rows, and puts right what differs: so the
// digest says what is really there.
//
// Writes go on between the steps. A Scrub belongs to one goroutine.
type Scrub struct {
	b      *Bucket
	cursor []byte // rows up to here are counted; nil before the first step
	log    []byte // log rows up to here were looked up; nil before all rows are counted
	tally  tally
	known  map[string]bool // keys of bad rows before this scrub

	Rows, Bytes uint64
	Bad         uint64   // rows that are not what was written
	Found       [][]byte // their keys, as far as they were not known before; at most 4096
	Fixed       int      // sums, counts and log rows that were not those of the rows
}

// A tally is what the rows of a bucket come to.
type tally struct {
	parts      [oplog.HashParts]uint64
	sum        uint64
	keys, rows uint64
}

// count adds the row, or takes it away if add is minus one.
func (c *tally) count(r *row, add uint64) {
	if r == nil {
		return
	}
	c.rows += add
	if !r.Tombstone {
		c.keys += add
	}
	if r.counts() {
		c.parts[oplog.HashPart(r.Key)] += r.hash * add
		c.sum += r.hash * add
	}
}

// Scrub begins a scrub. Close ends it early.
func (b *Bucket) Scrub() *Scrub {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &Scrub{b: b, known: b.bad}
	b.bad = map[string]bool{}
	for key := range s.known {
		b.bad[key] = true
	}
	b.scrubs = append(b.scrubs, s)
	return s
}

// Close ends the scrub. It may be called twice.
func (s *Scrub) Close() {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.leave()
}

func (s *Scrub) leave() {
	for i, other := range s.b.scrubs {
		if other == s {
			s.b.scrubs = append(s.b.scrubs[:i:i], s.b.scrubs[i+1:]...)
			return
		}
	}
}

// Step reads some rows. It reports whether there are more; the step that reads
// the last ones also compares the sums. An error ends the scrub.
func (s *Scrub) Step() (more bool, err error) {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.s.closed.Load() {
		s.leave()
		return false, ErrClosed
	}
	if s.log == nil {
		if more, err = s.read(); !more && err == nil {
			s.log, more = []byte{}, true
		}
	} else {
		more, err = s.readLog()
	}
	if more && err == nil {
		return true, nil
	}
	s.leave()
	if err != nil {
		return false, err
	}
	return false, s.settle()
}

// readLog drops log rows whose row is another by now, or gone: they are left by
// rows that went without a batch.
func (s *Scrub) readLog() (more bool, err error) {
	b := s.b
	lower, upper := bucketRange(tableLog, b.id)
	if len(s.log) > 0 {
		lower = append(bytes.Clone(s.log), 0)
	}
	it, err := b.s.kv.Iter(lower, upper)
	if err != nil {
		return false, err
	}
	defer func() { _ = it.Close() }()
	batch := b.s.kv.NewBatch()
	rows, size, stale := 0, 0, 0
	for ok := it.First(); ok; ok = it.Next() {
		if more = rows == scrubRows || size >= scrubBytes; more {
			break
		}
		rows++
		s.log = append(s.log[:0], it.Key()...)
		named, read, err := b.logNames(it.Key(), it.Value())
		if err != nil {
			return false, err
		}
		size += read
		if !named {
			batch.Delete(it.Key())
			stale++
		}
	}
	if err := it.Err(); err != nil || stale == 0 {
		return more, err
	}
	s.Fixed += stale
	return more, b.fix(batch)
}

// logNames reports whether the row that a log row names has its dot, and how
// large its value is. A bad one may have it.
func (b *Bucket) logNames(at, key []byte) (named bool, size int, err error) {
	if len(at) != prefixLen+12 {
		return false, 0, nil
	}
	r, err := b.anyRow(b.s.kv, key)
	if err != nil || r == nil {
		return false, 0, err
	}
	o, ok := b.s.origins.origin(binary.BigEndian.Uint32(at[prefixLen:]))
	named = r.bad || ok && r.Dot() == oplog.Dot{Origin: o, Seq: binary.BigEndian.Uint64(at[prefixLen+4:])}
	return named, len(r.Value), nil
}

// fix commits what a scrub puts right.
func (b *Bucket) fix(batch Batch) error {
	if err := b.s.writable(); err != nil {
		return err
	}
	if err := b.s.commit(batch); err != nil {
		return err
	}
	b.changed = true
	b.s.commits.Add(1)
	return nil
}

func (s *Scrub) read() (more bool, err error) {
	lower, upper := bucketRange(tableData, s.b.id)
	if s.cursor != nil {
		lower = append(dataKey(s.b.id, s.cursor), 0)
	}
	it, err := s.b.s.kv.Iter(lower, upper)
	if err != nil {
		return false, err
	}
	defer func() { _ = it.Close() }()
	rows, size := 0, 0
	for ok := it.First(); ok; ok = it.Next() {
		if rows == scrubRows || size > scrubBytes {
			return true, nil
		}
		rows++
		size += len(it.Key()) + len(it.Value())
		s.row(it.Key()[prefixLen:], it.Value())
	}
	return false, it.Err()
}

func (s *Scrub) row(key, value []byte) {
	r := s.b.decodeAny(key, value)
	s.cursor = append(s.cursor[:0], key...)
	s.tally.count(r, 1)
	s.Rows++
	s.Bytes += uint64(len(key) + len(value))
	if !r.bad {
		delete(s.b.bad, string(key))
		return
	}
	s.Bad++
	if len(s.b.bad) < maxBad {
		s.b.bad[string(key)] = true
	}
	if !s.known[string(key)] && len(s.Found) < maxBad {
		s.Found = append(s.Found, bytes.Clone(key))
	}
}

// noteScrubs keeps the tallies of scrubs right that have passed the slot's key.
func (b *Bucket) noteScrubs(c *slot) {
	for _, s := range b.scrubs {
		s.note(c.base, ^uint64(0))
		s.note(c.cur, 1)
	}
}

func (s *Scrub) note(r *row, add uint64) {
	passed := s.log != nil || s.cursor != nil && r != nil && bytes.Compare(r.Key, s.cursor) <= 0
	if passed {
		s.tally.count(r, add)
	}
}

// settle makes the bucket's sums and counts those of its rows.
func (s *Scrub) settle() error {
	b, got := s.b, &s.tally
	st := &b.state
	batch, differ := b.s.kv.NewBatch(), 0
	for n, sum := range got.parts {
		if sum != st.parts[n] {
			batch.Set(partKey(b.id, n), encodeUint64(sum))
			differ++
		}
	}
	next := *st
	next.keys, next.rows = got.keys, got.rows
	if next.keys != st.keys || next.rows != st.rows {
		batch.Set(bucketKey(tableMeta, b.id, 0), next.encodeMeta())
		differ++
	}
	if differ == 0 {
		return nil
	}
	s.Fixed += differ
	if err := b.fix(batch); err != nil {
		return err
	}
	st.parts, st.sum, st.keys, st.rows = got.parts, got.sum, got.keys, got.rows
	return nil
}

// BadRows returns how many rows the last scrub found that are not what was
// written, and that nobody has replaced since.
func (b *Bucket) BadRows() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.bad)
}
