package store

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	"replicator/oplog"
)

// A Bucket is the unit of replication: its own rows, log, clock and hash.
type Bucket struct {
	s      *Store
	id     uint32
	name   string
	policy atomic.Pointer[Policy] // of its own; none, or an empty one: that of the options

	mu      sync.Mutex // held over read-check and commit; guards all below
	state   state
	durable durable
	dirty   oplog.Clock     // clock rows changed since the last capture
	wiped   bool            // all before dirty is gone since the last capture
	changed bool            // state changed since the last capture
	scrubs  []*Scrub        // under way
	bad     map[string]bool // keys whose rows a scrub found bad, and nobody has replaced since
	asked   map[string]bool // of those, which still are as they were at the last Sums
	gated   uint64          // how often rows were collected since the start
	dropped bool            // the store holds it no more
}

// A state is what a bucket keeps in memory. It changes only after the batch
// with the same change was committed.
type state struct {
	clock, ahead         oplog.Clock
	clockHash, aheadHash oplog.ClockHash
	gcv                  oplog.Clock
	gcts, hlc            oplog.HLC
	keys, rows           uint64
	parts                [oplog.HashParts]uint64
	sum                  uint64
	claim                oplog.Clock // of the token; nil if there is none
	claimAhead           oplog.Clock // likewise
	rec                  *Reconcile  // set while the token is one of a reconcile
	lost                 []lostRef   // own writes that lost, the oldest first; never changed in place
}

// partsOf lists in which parts of the key space the keys lie, ascending.
func partsOf(keys map[string]bool) []uint64 {
	var in [oplog.HashParts]bool
	for key := range keys {
		in[oplog.HashPart([]byte(key))] = true
	}
	var list []uint64
	for n, some := range in {
		if some {
			list = append(list, uint64(n))
		}
	}
	return list
}

func newBucket(s *Store, id uint32, name string) *Bucket {
	b := &Bucket{s: s, id: id, name: name}
	b.state.clock, b.state.ahead, b.state.gcv = oplog.Clock{}, oplog.Clock{}, oplog.Clock{}
	b.durable.clock = oplog.Clock{}
	b.dirty = oplog.Clock{}
	return b
}

// writable returns why the bucket takes nothing, nil if it does. b.mu must be held.
func (b *Bucket) writable() error {
	if b.dropped {
		return ErrDropped
	}
	return b.s.writable()
}

// Name returns the bucket's name.
func (b *Bucket) Name() string { return b.name }

// load reads the bucket's state. What a KV shows when it is opened is durable.
func (b *Bucket) load() error {
	st := &b.state
	err := errors.Join(
		b.loadClock(tableClock, st.clock),
		b.loadClock(tableAhead, st.ahead),
		b.loadClock(tableGCV, st.gcv),
		b.loadMeta(),
		b.loadParts(),
		b.loadClaim(),
		b.loadLost(),
	)
	if err != nil {
		return err
	}
	st.clockHash, st.aheadHash = oplog.HashClock(st.clock), oplog.HashClock(st.ahead)
	b.durable = durable{digest: b.digest(), clock: st.clock.Clone()}
	return nil
}

func (b *Bucket) loadClock(table byte, into oplog.Clock) error {
	lower, upper := bucketRange(table, b.id)
	return b.named(walk(b.s.kv, lower, upper, func(key, value []byte) error {
		if len(key) != prefixLen+4 || len(value) != 8 {
			return errors.New("clock row of a wrong size")
		}
		o, ok := b.s.origins.origin(binary.BigEndian.Uint32(key[prefixLen:]))
		seq := binary.BigEndian.Uint64(value)
		if !ok || seq == 0 {
			return errors.New("clock row of an unknown origin")
		}
		into[o] = seq
		return nil
	}))
}

const metaV1 = 1

func (st *state) encodeMeta() []byte {
	m := []byte{metaV1}
	for _, n := range []uint64{uint64(st.hlc), uint64(st.gcts), st.keys, st.rows} {
		m = binary.BigEndian.AppendUint64(m, n)
	}
	return m
}

func (b *Bucket) loadMeta() error {
	key := bucketKey(tableMeta, b.id, 0)
	m, ok, err := b.s.kv.Get(key)
	if err != nil || !ok {
		return err
	}
	if len(m) != 33 || m[0] != metaV1 {
		return &CorruptError{Bucket: b.name, Key: key, Reason: "meta row of a wrong size or version"}
	}
	st := &b.state
	st.hlc = oplog.HLC(binary.BigEndian.Uint64(m[1:]))
	st.gcts = oplog.HLC(binary.BigEndian.Uint64(m[9:]))
	st.keys = binary.BigEndian.Uint64(m[17:])
	st.rows = binary.BigEndian.Uint64(m[25:])
	return nil
}

func (b *Bucket) loadParts() error {
	lower, upper := bucketRange(tableParts, b.id)
	return b.named(walk(b.s.kv, lower, upper, func(key, value []byte) error {
		if len(key) != prefixLen+2 || len(value) != 8 {
			return errors.New("hash part of a wrong size")
		}
		n := binary.BigEndian.Uint16(key[prefixLen:])
		if n >= oplog.HashParts {
			return errors.New("hash part of an unknown number")
		}
		b.state.parts[n] = binary.BigEndian.Uint64(value)
		b.state.sum += b.state.parts[n]
		return nil
	}))
}

// named puts the bucket's name into a *CorruptError.
func (b *Bucket) named(err error) error {
	if c := new(CorruptError); errors.As(err, &c) {
		c.Bucket = b.name
	}
	return err
}

// row reads the winning entry of key, whatever it is.
func (b *Bucket) row(r Reader, key []byte) (*row, error) {
	value, ok, err := r.Get(dataKey(b.id, key))
	if err != nil || !ok {
		return nil, err
	}
	return b.decode(key, value)
}

// decode makes a row of a pair of the data table, which keeps both slices. A row
// whose contents are not those of its hash is a *CorruptError: nobody is shown
// what nobody wrote.
func (b *Bucket) decode(key, value []byte) (*row, error) {
	r, err := decodeRow(value, b.s.origins.origin)
	if err == nil {
		if r.Key = key; !r.bad && r.hash == r.Hash() {
			return r, nil
		}
		err = errRowHash
	}
	return nil, &CorruptError{Bucket: b.name, Key: append([]byte(nil), key...), Reason: err.Error()}
}

// decodeAny is decode for those who replace or count rows: one that is not what
// was written comes marked as bad, with as much as could be read of it.
func (b *Bucket) decodeAny(key, value []byte) *row {
	r, err := decodeRow(value, b.s.origins.origin)
	if err != nil {
		r = &row{bad: true}
	}
	r.Key = key
	r.bad = r.bad || r.hash != r.Hash()
	return r
}

// anyRow reads the row of key with decodeAny.
func (b *Bucket) anyRow(r Reader, key []byte) (*row, error) {
	value, ok, err := r.Get(dataKey(b.id, key))
	if err != nil || !ok {
		return nil, err
	}
	return b.decodeAny(key, value), nil
}

// Get returns the row of key whatever it is, a tombstone or one that expired
// too: ask Entry.Live. The row may be ahead of what is durable.
func (b *Bucket) Get(key []byte) (oplog.Entry, bool, error) {
	r, err := b.row(b.s.kv, key)
	if err != nil || r == nil {
		return oplog.Entry{}, false, err
	}
	r.Key = append([]byte(nil), key...)
	return r.Entry, true, nil
}

// Clock returns a copy of the clock.
func (b *Bucket) Clock() oplog.Clock {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.clock.Clone()
}

// Covers reports whether the clock covers d.
func (b *Bucket) Covers(d oplog.Dot) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.clock.Covers(d)
}

// Seq returns up to where the clock covers o.
func (b *Bucket) Seq(o oplog.Origin) oplog.Seq {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.clock[o]
}

// ClockParts returns a copy of the hash of the clock.
func (b *Bucket) ClockParts() *oplog.ClockHash {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.state.clockHash
	return &h
}

// Ahead returns a copy of the highest seqs held above the clock. The bucket is
// pure if it is empty.
func (b *Bucket) Ahead() oplog.Clock {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.ahead.Clone()
}

// Pure reports whether every write that is held is covered by the clock, but for
// those of nodes that closed names: what they wrote last may have died with
// them, and nobody can ever cover the rest.
func (b *Bucket) Pure(closed func(node string) bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for o := range b.state.ahead {
		if !closed(o.Node) {
			return false
		}
	}
	return true
}

// Keys returns how many rows are no tombstones. A row whose expiry has passed
// counts until it is collected.
func (b *Bucket) Keys() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.keys
}

// Tombstones returns how many rows are tombstones.
func (b *Bucket) Tombstones() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.rows - b.state.keys
}

// Origin returns the origin that local writes get, zero before the first one
// of this start.
func (b *Bucket) Origin() oplog.Origin { return b.s.origin() }

// HLC returns the highest timestamp issued or merged.
func (b *Bucket) HLC() oplog.HLC {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.hlc
}

// Guard returns the highest timestamp that was collected: a key without a row
// may stand for a tombstone up to there.
func (b *Bucket) Guard() oplog.HLC {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.gcts
}

// Parts returns the sums of the row hashes of live rows without expiry.
func (b *Bucket) Parts() [oplog.HashParts]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.parts
}
