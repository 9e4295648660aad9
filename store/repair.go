package store

import (
	"bytes"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"replicator/oplog"
)

// ErrMoved reports a page of a repair whose asker has collected rows since it
// asked: what the page brings may be what was deleted.
var ErrMoved = errors.New("store: rows were collected since the repair began")

// Sums are what two copies compare to find where they differ, all of one moment.
type Sums struct {
	Clock oplog.Clock
	Parts [oplog.HashParts]uint64
	Bad   []uint64 // parts that hold bad rows, ascending
	Gated uint64   // for Repair: it moves when rows are collected
}

// Sums returns those of now. The Mending of a repair is for the last ones.
func (b *Bucket) Sums() Sums {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = maps.Clone(b.bad)
	return Sums{Clock: b.state.clock.Clone(), Parts: b.state.parts, Bad: partsOf(b.bad), Gated: b.gated}
}

// A Mending says what a repair may do.
type Mending struct {
	// Gated is that of the Sums that were sent to the donor.
	Gated uint64
	// Covered tells that the donor covers all that those Sums covered. Then its
	// rows are merged without M1: rule H3. They are covered here, and yet the rows
	// may not be. Else only a bad row is replaced, by the one it was.
	Covered bool
	// Clock is that of the donor's snapshot.
	Clock oplog.Clock
	// After and Upto bound the keys of which the entries are all that the donor
	// has in the bad parts: behind the one, up to the other, or to the end if Last.
	After, Upto []byte
	Last        bool
	// Unsure are the parts, ascending, in which the donor has bad rows of its own:
	// it sends none of those, and that it sends nothing there proves nothing.
	Unsure []uint64
}

// absent reports whether the donor would have sent a row of the key.
func (m *Mending) absent(key string) bool {
	if _, unsure := slices.BinarySearch(m.Unsure, uint64(oplog.HashPart([]byte(key)))); unsure {
		return false
	}
	return key > string(m.After) && (m.Last || key <= string(m.Upto))
}

// Repair merges rows of a donor. It does not sync.
//
// A bad row in whose place a donor that has seen all of it has nothing goes: it
// was deleted, and no repair could bring a delete that was collected. Should the
// donor have lost it, whoever has it still brings it back, for the sums differ.
func (b *Bucket) Repair(now time.Time, entries []oplog.Entry, m Mending) (Applied, error) {
	for i := range entries {
		if err := check(&entries[i]); err != nil {
			return Applied{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writable(); err != nil {
		return Applied{}, err
	}
	if b.state.rec != nil {
		return Applied{}, ErrReconciling
	}
	if b.gated != m.Gated {
		return Applied{}, ErrMoved
	}
	t := newTx(b)
	var a Applied
	for i := range entries {
		var err error
		if m.Covered {
			err = t.repair(now, &entries[i], &a)
		} else {
			err = t.restore(now, &entries[i], m.Clock, &a)
		}
		if err != nil {
			return Applied{}, err
		}
	}
	if err := t.dropAbsent(&m); err != nil {
		return Applied{}, err
	}
	return t.applied(a)
}

// dropAbsent drops the bad rows that were asked for and did not come.
func (t *tx) dropAbsent(m *Mending) error {
	for _, key := range slices.Sorted(maps.Keys(t.b.asked)) {
		if !m.absent(key) {
			continue
		}
		s, err := t.slot([]byte(key))
		if err != nil {
			return err
		}
		if s.cur == nil || !s.cur.bad {
			continue
		}
		seen := m.Covered && m.Clock.GE(t.b.state.ahead) // what is bad may be an extra
		if !seen {
			if seen, err = t.seenBad(s.cur, m.Clock); err != nil {
				return err
			}
		}
		if seen {
			t.drop(s)
		}
	}
	return nil
}

// restore puts e in the place of a bad row that was this very write, as its stamp
// or, where that has rotted too, the log says, or that the donor has seen: then e is
// what beat it. That needs no more of the donor's clock.
func (t *tx) restore(now time.Time, e *oplog.Entry, clock oplog.Clock, a *Applied) error {
	s, err := t.slot(e.Key)
	if err != nil || s.cur == nil || !s.cur.bad {
		return err
	}
	same := s.cur.Stamp == e.Stamp
	if !same {
		if same, err = t.logNames(e.Dot(), e.Key); err != nil {
			return err
		}
	}
	if !same {
		if seen, err := t.seenBad(s.cur, clock); err != nil || !seen {
			return err
		}
	}
	news := !t.covers(e.Dot())
	t.put(s, newRow(*e))
	if !news {
		return nil
	}
	if err := t.raiseAhead(e.Dot()); err != nil || same {
		return err
	}
	t.observe(now, e, a)
	if !e.Tombstone && e.Stamp.HLC <= t.gcts { // the row may have been a tombstone
		return t.reissue(now, s, a)
	}
	return nil
}

// repair merges one row, covered or not.
func (t *tx) repair(now time.Time, e *oplog.Entry, a *Applied) error {
	if !t.covers(e.Dot()) {
		news, err := t.merge(now, e, a)
		if err == nil && news {
			err = t.raiseAhead(e.Dot())
		}
		return err
	}
	s, err := t.slot(e.Key)
	if err != nil {
		return err
	}
	beats, err := t.beats(now, s, e, a)
	if err != nil || !beats {
		return err
	}
	t.observe(now, e, a)
	if s.cur != nil && !s.cur.bad && s.cur.Stamp != e.Stamp {
		t.conflict(now, e, &s.cur.Entry, a)
	}
	ambiguous := !e.Tombstone && e.Stamp.HLC <= t.gcts && absentLike(s, t.gcts)
	if s.cur != nil && s.cur.bad {
		ambiguous = false // whatever it was: the donor's row is what beat it
	}
	t.put(s, newRow(*e))
	if ambiguous && !t.b.s.opts.Replica {
		// Either it was lost here, or a delete of it that was collected here was lost
		// on some other disk. What is kept can be deleted again: so no policy deletes.
		return t.reissueAs(now, Keep, s, a)
	}
	return nil // a replica takes what the donor's equal clock vouches for
}

// beats reports whether e becomes the row of the slot. Of two rows with one
// stamp that are both what was once written, the one with the higher hash stays:
// arbitrary, and the same everywhere.
func (t *tx) beats(now time.Time, s *slot, e *oplog.Entry, a *Applied) (bool, error) {
	switch {
	case s.cur == nil:
		if gone := e.Expired(now) || e.Tombstone && e.Stamp.HLC <= t.gcts; gone {
			return false, nil // collected here, and not yet there
		}
	case s.cur.bad:
	case s.cur.Stamp != e.Stamp:
		if !s.cur.Stamp.Less(e.Stamp) {
			return false, nil
		}
	case s.cur.hash == e.Hash():
		return false, nil
	default:
		a.Forks = append(a.Forks, Fork{Held: s.cur.Entry, Received: *e})
		return s.cur.hash < e.Hash(), nil
	}
	if other := t.dots[e.Dot()]; other != nil && other != s {
		a.Forks = append(a.Forks, Fork{Held: other.cur.Entry, Received: *e})
		return false, nil
	}
	elsewhere, err := t.logged(e, a) // the log can hold a dot only once
	return !elsewhere, err
}

// Parts yields the rows whose keys lie in the wanted parts, behind the key, in
// order. Bad rows are left out, those that s.Bad tells of: who asks claims nothing
// by what it gets. One in another part ends the sequence with a *CorruptError.
// So that the caller can stop for breath, an entry with nothing but a key comes
// after every so many rows that were looked at.
func (s *Snapshot) Parts(wanted *[oplog.HashParts]bool, behind []byte) iter.Seq2[oplog.Entry, error] {
	return func(yield func(oplog.Entry, error) bool) {
		var breath breath
		var failed error
		err := s.walk(behind, func(key, value []byte) bool {
			if part := oplog.HashPart(key); wanted[part] {
				r := s.b.decodeAny(key, value)
				if _, told := slices.BinarySearch(s.Bad, uint64(part)); r.bad && !told {
					_, failed = s.b.decode(key, value)
					return false
				}
				if !r.bad && !yield(r.own().Entry, nil) {
					return false
				}
			}
			return !breath.due(value) || yield(oplog.Entry{Key: bytes.Clone(key)}, nil)
		})
		if err = errors.Join(err, failed); err != nil {
			yield(oplog.Entry{}, err)
		}
	}
}

// How much is looked at between two signs of life.
const (
	breathRows  = 20_000
	breathBytes = 32 << 20
)

// A breath counts what was looked at since the last sign of life.
type breath struct{ rows, bytes int }

func (b *breath) due(value []byte) bool {
	b.rows++
	if b.bytes += len(value); b.rows < breathRows && b.bytes < breathBytes {
		return false
	}
	*b = breath{}
	return true
}

// walk calls each for the rows behind the key until it reports false.
func (s *Snapshot) walk(behind []byte, each func(key, value []byte) bool) error {
	lower, upper := bucketRange(tableData, s.b.id)
	if len(behind) > 0 {
		lower = append(dataKey(s.b.id, behind), 0)
	}
	it, err := s.kv.Iter(lower, upper)
	if err != nil {
		return err
	}
	defer func() { _ = it.Close() }()
	for ok := it.First(); ok; ok = it.Next() {
		if !each(it.Key()[prefixLen:], it.Value()) {
			return nil
		}
	}
	return it.Err()
}

// ErrUnsound reports a snapshot whose sums are not those of its rows: something
// was lost on this disk, and what is not in it was not necessarily deleted.
var ErrUnsound = errors.New("store: the sums are not those of the rows")

// Counted yields the rows behind the key, in order, for a reconcile: the puller
// takes a row that is not there for one that was deleted. So all rows are counted,
// those up to the key, too, and if their sums or their number are not those that
// writes have kept, the sequence ends with ErrUnsound: rule C7. An entry with nothing but a key comes
// now and then, as in Parts.
func (s *Snapshot) Counted(behind []byte) iter.Seq2[oplog.Entry, error] {
	return func(yield func(oplog.Entry, error) bool) {
		var got tally
		var failed error
		stopped := false
		var breath breath
		err := s.walk(nil, func(key, value []byte) bool {
			r, err := s.b.decode(key, value)
			if failed = err; err != nil {
				return false
			}
			got.count(r, 1)
			key = bytes.Clone(key)
			if bytes.Compare(key, behind) > 0 {
				stopped = !yield(r.own().Entry, nil)
			}
			// Behind the row: up to this key all has been given out.
			if breath.due(value) && !stopped {
				stopped = !yield(oplog.Entry{Key: key}, nil)
			}
			return !stopped
		})
		if err = errors.Join(err, failed); err == nil && !stopped && (got.parts != s.Sums || got.rows != s.Count) {
			err = ErrUnsound
		}
		if err != nil && !stopped {
			yield(oplog.Entry{}, err)
		}
	}
}
