package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"replicator/oplog"
)

// parted is what stays of a bucket that was left: that it is not to be joined for
// being heard of, its number and highest timestamp, and up to where this node had
// written to it. Others still have that, and it may come back.
type parted struct {
	left  bool // and not joined again since
	id    uint32
	hlc   oplog.HLC
	wrote map[oplog.Epoch]oplog.Seq
}

const (
	partedV1   = 1
	partedLeft = 1 // a flag

	partedFixed = 1 + 1 + 4 + 8
)

func leftKey(bucket string) []byte { return append([]byte{tableLeft}, bucket...) }

// encode writes version 1, flags, number 4, timestamp 8, then an epoch and a seq, 8
// each, in order of epoch.
func (p *parted) encode() []byte {
	b := []byte{partedV1, 0}
	if p.left {
		b[1] = partedLeft
	}
	b = binary.BigEndian.AppendUint32(b, p.id)
	b = binary.BigEndian.AppendUint64(b, uint64(p.hlc))
	for _, epoch := range slices.Sorted(maps.Keys(p.wrote)) {
		b = binary.BigEndian.AppendUint64(b, epoch)
		b = binary.BigEndian.AppendUint64(b, p.wrote[epoch])
	}
	return b
}

func decodeParted(v []byte) (p parted, err error) {
	if len(v) < partedFixed || (len(v)-partedFixed)%16 != 0 || v[0] != partedV1 || v[1]&^partedLeft != 0 {
		return p, errors.New("a bucket that was left, of a wrong size or version")
	}
	p.left, p.id, p.wrote = v[1] == partedLeft, binary.BigEndian.Uint32(v[2:]), map[oplog.Epoch]oplog.Seq{}
	p.hlc = oplog.HLC(binary.BigEndian.Uint64(v[6:]))
	for v = v[partedFixed:]; len(v) > 0; v = v[16:] {
		p.wrote[binary.BigEndian.Uint64(v)] = binary.BigEndian.Uint64(v[8:])
	}
	return p, nil
}

func (s *Store) loadParted() error {
	return walk(s.kv, []byte{tableLeft}, []byte{tableLeft + 1}, func(key, value []byte) error {
		p, err := decodeParted(value)
		if err != nil {
			return err
		}
		s.parted[string(key[1:])] = p
		s.nextID = max(s.nextID, p.id+1)
		return nil
	})
}

func (s *Store) partedFrom(bucket string) (parted, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.parted[bucket]
	return p, ok
}

// Left returns the buckets that were dropped and not joined again, sorted.
func (s *Store) Left() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, name := range slices.Sorted(maps.Keys(s.parted)) {
		if s.parted[name].left {
			list = append(list, name)
		}
	}
	return list
}

// Wrote returns, by bucket that was dropped at some time, up to where this node had
// written to it.
func (s *Store) Wrote() map[string]oplog.Clock {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := map[string]oplog.Clock{}
	for name, p := range s.parted {
		list[name] = s.asClock(p.wrote)
	}
	return list
}

func (s *Store) asClock(wrote map[oplog.Epoch]oplog.Seq) oplog.Clock {
	clock := oplog.Clock{}
	for epoch, seq := range wrote {
		clock[oplog.Origin{Node: s.node, Epoch: epoch}] = seq
	}
	return clock
}

// Wrote returns up to where this node has written to the bucket, in all its lives.
func (b *Bucket) Wrote() oplog.Clock {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s.asClock(b.wrote())
}

// Drop deletes all that the store has of a bucket, durably, and notes that it was
// left. What no other node has is gone then: that is for the caller to know.
// Whatever is still asked of the bucket is answered with ErrDropped, but reads, which
// find nothing. A nearly full disk is no hindrance. Dropping a bucket that is not there does nothing.
func (s *Store) Drop(name string) error {
	s.joining.Lock()
	defer s.joining.Unlock()
	b, ok := s.Bucket(name)
	if !ok {
		return nil
	}
	if s.closed.Load() {
		return ErrClosed
	}
	if err := s.failure(); err != nil {
		return &ReadOnlyError{Cause: err}
	}
	if err := b.drop(); err != nil {
		return fmt.Errorf("drop bucket %s: %w", name, err)
	}
	return s.Sync()
}

func (b *Bucket) drop() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := parted{left: true, id: b.id, hlc: b.state.hlc, wrote: b.wrote()}
	batch := b.s.kv.NewBatch()
	for _, table := range slices.Concat(bucketTables, []byte{tableLost}) {
		batch.DeleteRange(bucketRange(table, b.id))
	}
	batch.Delete(numberKey(tableBuckets, b.id))
	batch.Set(leftKey(b.name), p.encode())
	if err := b.s.commit(batch); err != nil {
		return err
	}
	b.dropped = true
	b.s.commits.Add(1)
	b.s.forgetBucket(b.name, p)
	return nil
}

// wrote returns up to where this node has written to the bucket. b.mu must be held.
func (b *Bucket) wrote() map[oplog.Epoch]oplog.Seq {
	wrote := map[oplog.Epoch]oplog.Seq{}
	was, _ := b.s.partedFrom(b.name)
	maps.Copy(wrote, was.wrote)
	for _, clock := range []oplog.Clock{b.state.clock, b.state.ahead} {
		for o, seq := range clock {
			if o.Node == b.s.node {
				wrote[o.Epoch] = max(wrote[o.Epoch], seq)
			}
		}
	}
	return wrote
}

func (s *Store) forgetBucket(name string, p parted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.buckets, name)
	s.parted[name] = p
}
