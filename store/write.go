package store

import (
	"errors"
	"fmt"
	"time"

	"replicator/oplog"
)

// MaxOps is the most ops of one Write.
const MaxOps = 65536

// MaxBatchBytes is how many bytes the entries of one atomic batch may take on
// the wire, in whichever codec takes more. All of them have to fit one page,
// behind others: 16 MiB of keys and values do, whatever bytes they are.
const MaxBatchBytes = oplog.MaxBody - 2<<20

// maxHLC is the highest timestamp that is taken in or given out. Above it
// there would soon be no later one, and a key could be frozen for ever.
const maxHLC = 1<<64 - 1<<32

// maxGuard is the highest guard that is taken over: what is written above one
// needs room.
const maxGuard = maxHLC - 1<<48

// An Op is one local write. Its slices must not change any more once given to
// Write.
type Op struct {
	Key    []byte
	Value  []byte
	Delete bool   // a row that is not there, or a tombstone already, makes it skipped
	Expiry int64  // milliseconds since 1970 after which nodes hide the row; 0 never
	Type   string // what the value is: see oplog.Entry

	// OnlyIf decides, with the row as it is then (nil: none; it may be a
	// tombstone or expired), whether the op is written. Nil is always. It must
	// not keep or change the row, nor call the bucket.
	OnlyIf func(current *oplog.Entry) bool

	// Batch is how many ops, from this one on, form an atomic batch: all of
	// them are written or, if one OnlyIf says no, none. They see the rows as
	// they were before the batch. Zero and one mean the op stands alone.
	Batch int
}

// Written is what one Write did.
type Written struct {
	Entries     []oplog.Entry // in order of seq; an entry overwritten by a later one of the group has no row
	Skipped     []bool        // by op
	Origin      oplog.Origin  // zero if all were skipped
	First, Last oplog.Seq
	Changes     []Change
}

// Write stamps and commits a group of local writes in one batch, all or none.
// It does not sync. Wrong ops are refused with a *LimitError, or an
// *oplog.TypeError, before anything is written.
func (b *Bucket) Write(now time.Time, ops []Op) (Written, error) {
	if err := checkOps(ops); err != nil {
		return Written{}, err
	}
	if b.s.opts.Replica {
		return Written{}, ErrReplica
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writable(); err != nil {
		return Written{}, err
	}
	t := newTx(b)
	if err := t.load(keysOf(ops)); err != nil {
		return Written{}, err
	}
	w := Written{Skipped: make([]bool, len(ops))}
	for i := 0; i < len(ops); i += max(1, ops[i].Batch) {
		if err := t.writeBatch(now, ops[i:i+max(1, ops[i].Batch)], w.Skipped[i:], &w); err != nil {
			return Written{}, err
		}
	}
	var err error
	if w.Changes, err = t.commit(); err != nil {
		return Written{}, err
	}
	return w, nil
}

func keysOf(ops []Op) [][]byte {
	keys := make([][]byte, len(ops))
	for i := range ops {
		keys[i] = ops[i].Key
	}
	return keys
}

// writeBatch writes the ops of one atomic batch, or an op that stands alone.
func (t *tx) writeBatch(now time.Time, ops []Op, skipped []bool, w *Written) error {
	for i := range ops {
		ok, err := t.wanted(&ops[i])
		if err != nil {
			return err
		}
		if !ok {
			for j := range ops {
				skipped[j] = true
			}
			return nil
		}
	}
	start := len(w.Entries)
	for i := range ops {
		if err := t.writeOp(now, &ops[i], &skipped[i], w); err != nil {
			return err
		}
	}
	batch := w.Entries[start:]
	if err := checkBatchSize(batch); err != nil {
		return err
	}
	for i := range batch {
		e := &batch[i]
		e.BatchBack, e.BatchAhead = uint32(i), uint32(len(batch)-1-i)
		if s := t.dots[e.Dot()]; s.cur.Dot() == e.Dot() {
			s.cur.BatchBack, s.cur.BatchAhead = e.BatchBack, e.BatchAhead
		}
	}
	return nil
}

func checkBatchSize(batch []oplog.Entry) error {
	if len(batch) < 2 {
		return nil
	}
	size := 0
	for i := range batch {
		size += batch[i].MaxSize()
	}
	if size > MaxBatchBytes {
		return &LimitError{What: "bytes of an atomic batch", Size: int64(size), Limit: MaxBatchBytes}
	}
	return nil
}

// wanted asks the op's OnlyIf.
func (t *tx) wanted(op *Op) (bool, error) {
	if op.OnlyIf == nil {
		return true, nil
	}
	s, err := t.slot(op.Key)
	if err != nil {
		return false, err
	}
	if s.cur == nil || s.cur.bad {
		return op.OnlyIf(nil), nil
	}
	return op.OnlyIf(&s.cur.Entry), nil
}

func (t *tx) writeOp(now time.Time, op *Op, skipped *bool, w *Written) error {
	s, err := t.slot(op.Key)
	if err != nil {
		return err
	}
	if op.Delete && (s.cur == nil || s.cur.Tombstone && !s.cur.bad) {
		*skipped = true
		return nil
	}
	e := oplog.Entry{Key: op.Key, Value: op.Value, Expiry: op.Expiry, Type: op.Type}
	if op.Delete {
		e = oplog.Entry{Key: op.Key, Tombstone: true}
	}
	r, err := t.issue(now, s, e)
	if err != nil {
		return err
	}
	if w.First == 0 {
		w.First, w.Origin = r.Stamp.Seq, r.Stamp.Origin
	}
	w.Last = r.Stamp.Seq
	w.Entries = append(w.Entries, r.Entry)
	return nil
}

// issue makes e an own new write on the slot's key.
func (t *tx) issue(now time.Time, s *slot, e oplog.Entry) (*row, error) {
	wall := oplog.HLCAt(now)
	hlc := max(wall, t.hlc+1)
	if s.cur != nil && !s.cur.bad {
		hlc = max(hlc, s.cur.Stamp.HLC+1)
	}
	if t.rec != nil || absentLike(s, t.guard()) {
		// While a reconcile runs every row may prove to be one that was deleted.
		hlc = max(hlc, t.guard()+1)
	}
	r, err := t.issueAt(hlc, s, e)
	if err != nil {
		return nil, err
	}
	// The own clock follows only as far as time went: overwriting a row of the
	// far future does not drag the writer there.
	t.hlc = max(t.hlc, min(hlc, max(t.hlc+1, wall)))
	return r, nil
}

// issueAt is issue with a timestamp that is given.
func (t *tx) issueAt(hlc oplog.HLC, s *slot, e oplog.Entry) (*row, error) {
	if t.own.IsZero() {
		var err error
		if t.own, t.saveSelf, err = t.b.s.ownOrigin(); err != nil {
			return nil, err
		}
	}
	if s.cur != nil && !s.cur.bad {
		e.Prev = s.cur.Stamp
	}
	if hlc > maxHLC {
		return nil, &LimitError{What: "timestamp", Size: hlc.Millis(), Limit: oplog.HLC(maxHLC).Millis()}
	}
	e.Stamp = oplog.Stamp{HLC: hlc, Origin: t.own, Seq: t.seq(t.own) + 1}
	if err := t.raiseClock(t.own, e.Stamp.Seq); err != nil {
		return nil, err
	}
	r := newRow(e)
	t.put(s, r)
	return r, nil
}

// absentLike reports whether the key holds no more than a tombstone collected
// up to gcts could have left. A bad row may have been one, whatever it says.
func absentLike(s *slot, gcts oplog.HLC) bool {
	return s.cur == nil || s.cur.bad || s.cur.Tombstone && s.cur.Stamp.HLC <= gcts
}

func checkOps(ops []Op) error {
	if len(ops) > MaxOps {
		return &LimitError{What: "ops of one write", Size: int64(len(ops)), Limit: MaxOps}
	}
	left := 0 // ops that still belong to the batch before
	for i := range ops {
		op := &ops[i]
		if err := checkOp(op); err != nil {
			return err
		}
		if left > 0 && op.Batch > 1 || op.Batch < 0 || op.Batch > len(ops)-i {
			return fmt.Errorf("store: op %d: atomic batch of %d ops does not fit", i, op.Batch)
		}
		left = max(left, op.Batch) - 1
	}
	return nil
}

func checkOp(op *Op) error {
	switch {
	case len(op.Key) == 0:
		return &LimitError{What: "bytes of a key, of which there is at least one", Size: 0, Limit: oplog.MaxKey}
	case len(op.Key) > oplog.MaxKey:
		return &LimitError{What: "bytes of a key", Size: int64(len(op.Key)), Limit: oplog.MaxKey}
	case len(op.Value) > oplog.MaxValue:
		return &LimitError{What: "bytes of a value", Size: int64(len(op.Value)), Limit: oplog.MaxValue}
	case op.Expiry < 0:
		return errors.New("store: negative expiry")
	}
	return oplog.CheckType(op.Type)
}
