package store

import "replicator/oplog"

// A durable is one fsynced state, as it is told to others.
type durable struct {
	digest oplog.Digest
	clock  oplog.Clock
}

// A mark is the state of a bucket at the moment a sync began.
type mark struct {
	bucket *Bucket
	digest oplog.Digest
	wiped  bool        // the clock was emptied since the mark before
	dirty  oplog.Clock // clock rows that changed since then
}

// digest describes the state in memory. b.mu must be held.
func (b *Bucket) digest() oplog.Digest {
	own := b.s.origin()
	return oplog.Digest{
		Bucket: b.name,
		Clock:  b.state.clockHash.Sum,
		Ahead:  b.state.aheadHash.Sum,
		Sum:    b.state.sum,
		Epoch:  own.Epoch,
		Own:    b.state.clock[own],
		Floor:  b.state.hlc,
	}
}

func (b *Bucket) capture() (m mark, changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.changed || b.sweeping() {
		return mark{}, false
	}
	m = mark{bucket: b, digest: b.digest(), wiped: b.wiped, dirty: b.dirty}
	b.dirty, b.wiped, b.changed = oplog.Clock{}, false, false
	return m, true
}

func (b *Bucket) publish(m mark) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.durable.digest = m.digest
	if m.wiped {
		b.durable.clock = oplog.Clock{}
	}
	b.durable.clock.Join(m.dirty)
}

// Digest describes the state in memory, part of which may not survive a crash.
// Tell others Durable instead.
func (b *Bucket) Digest() oplog.Digest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.digest()
}

// Durable describes the last state that is known to be on the disk, all of it
// of one moment.
func (b *Bucket) Durable() oplog.Digest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.durable.digest
}

// DurableSeq returns the seq up to which the own writes of this start are on
// the disk: what is above must not leave the node.
func (b *Bucket) DurableSeq() oplog.Seq {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.durable.digest.Own
}

// DurableCovers reports whether the last state known to be on the disk covers d.
func (b *Bucket) DurableCovers(d oplog.Dot) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.durable.clock.Covers(d)
}

// DurableState returns Durable and DurableClock of the same moment.
func (b *Bucket) DurableState() (oplog.Digest, oplog.Clock) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.durable.digest, b.durable.clock.Clone()
}

// DurableClock returns a copy of the clock that belongs to Durable.
func (b *Bucket) DurableClock() oplog.Clock {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.durable.clock.Clone()
}
