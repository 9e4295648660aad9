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
	after  int    // tables read behind the rows; zero before all rows are counted
	at     []byte // rows of that table up to here were looked up
	tally  tally
	known  map[string]bool // keys of bad rows before this scrub

	Rows, Bytes uint64
	Bad         uint64   // rows that are not what was written
	Found       [][]byte // their keys, as far as they were not known before; at most 4096
	Fixed       int      // sums, counts, rows of log and indexes that were not those of the rows
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
	if s.after == 0 {
		more, err = s.read()
	} else {
		more, err = s.readDerived(derivedTables[s.after-1])
	}
	if !more && err == nil && s.after < len(derivedTables) {
		s.after, s.at, more = s.after+1, nil, true
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

// derivedTables say of a row what the row says itself.
var derivedTables = []byte{tableLog, tableTombs, tableExpiry}

// readDerived drops what the log or an index says of a row that is another by now,
// or gone: rows that went without a batch leave it.
func (s *Scrub) readDerived(table byte) (more bool, err error) {
	b := s.b
	lower, upper := bucketRange(table, b.id)
	if len(s.at) > 0 {
		lower = append(bytes.Clone(s.at), 0)
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
		s.at = append(s.at[:0], it.Key()...)
		holds, read, err := b.derived(it.Key(), it.Value())
		if err != nil {
			return false, err
		}
		size += read
		if !holds {
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

// derived reports whether a row of the log or of an index is that of the row it
// speaks of, and how large that one's value is. A bad one may be.
func (b *Bucket) derived(at, value []byte) (holds bool, size int, err error) {
	key, log := value, at[0] == tableLog
	switch {
	case log && len(at) != prefixLen+12, !log && len(at) <= prefixLen+8:
		return false, 0, nil
	case !log:
		key = bytes.Clone(at[prefixLen+8:])
	}
	r, err := b.anyRow(b.s.kv, key)
	switch {
	case err != nil || r == nil:
		return false, 0, err
	case !log:
		return !strayed(b.id, at, r), len(r.Value), nil
	}
	o, ok := b.s.origins.origin(binary.BigEndian.Uint32(at[prefixLen:]))
	holds = r.bad || ok && r.Dot() == oplog.Dot{Origin: o, Seq: binary.BigEndian.Uint64(at[prefixLen+4:])}
	return holds, len(r.Value), nil
}

// fix commits what a scrub puts right.
func (b *Bucket) fix(batch Batch) error {
	if err := b.writable(); err != nil {
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
	passed := s.after > 0 || s.cursor != nil && r != nil && bytes.Compare(r.Key, s.cursor) <= 0
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
