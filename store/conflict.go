package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"replicator/oplog"
)

// What is kept of own writes that lost, and of writes that were parked: rules P1
// and M3. The oldest go first.
const (
	maxLost      = 1000
	maxLostBytes = 64 << 20
	maxLostAge   = 7 * 24 * time.Hour

	// Rows that a reconcile removed, and writes that were parked, are counted by
	// themselves: there may be many at once.
	maxRemoved      = 10_000
	maxRemovedBytes = 256 << 20
)

// A Conflict is two writes of one key whose writers had not seen each other's.
// The loser is gone from the rows of every node.
type Conflict struct {
	Winner, Loser oplog.Entry
}

// A Lost is an own write that lost a conflict, or a write of anybody that was
// parked, as it is kept for people to look at.
type Lost struct {
	At     time.Time // when this node learned of the winner, or wrote it
	Entry  oplog.Entry
	Winner oplog.Stamp

	// Removed tells that it lost no conflict: a reconcile took the row away, for the
	// donor covered it and had it no more. Whoever wrote it. Winner is what the donor
	// had instead, else the row's own stamp.
	Removed bool
	// Parked tells that this node wrote a delete in its place: policy Park.
	Parked bool
}

// conflict notes that winner beat loser, if that was a conflict. A writer's row
// never goes back, so a writer that had seen the loser, or something that beats
// it, replaced a row at least as late: rule P1.
func (t *tx) conflict(now time.Time, winner, loser *oplog.Entry, a *Applied) {
	switch {
	case winner.Stamp == loser.Stamp, !winner.Prev.Less(loser.Stamp):
		return
	case loser.Tombstone && loser.Stamp.HLC <= t.gcts:
		return // perhaps one that others have collected
	case loser.Tombstone == winner.Tombstone && loser.Expiry == winner.Expiry && loser.Type == winner.Type && bytes.Equal(loser.Value, winner.Value):
		return // nobody loses anything
	}
	if loser.Stamp.Origin.Node == t.b.s.node {
		if !t.covers(loser.Dot()) && t.keeps(loser.Dot()) {
			return // an extra comes with every pull
		}
		t.lost = append(t.lost, Lost{At: now, Entry: *loser, Winner: winner.Stamp})
		t.dirty = true
	}
	a.Conflicts = append(a.Conflicts, Conflict{Winner: *winner, Loser: *loser})
}

// keeps reports whether the write is kept as one that lost, or will be.
func (t *tx) keeps(dot oplog.Dot) bool {
	for i := range t.lost {
		if t.lost[i].Entry.Dot() == dot {
			return true
		}
	}
	return t.b.lostAt(dot) >= 0
}

// A lostRef is the key of a kept write in the table, and its size.
type lostRef struct {
	key  string
	size int
	mass bool // removed or parked
}

func (l *Lost) mass() bool { return l.Removed || l.Parked }

func (r lostRef) at() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64([]byte(r.key[prefixLen:]))))
}

// lostAt returns which of the kept writes has the dot, -1 if none has. b.mu must
// be held.
func (b *Bucket) lostAt(dot oplog.Dot) int {
	n, ok := b.s.origins.known(dot.Origin)
	if !ok {
		return -1
	}
	tail := string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, n), dot.Seq))
	return slices.IndexFunc(b.state.lost, func(r lostRef) bool { return r.key[prefixLen+8:] == tail })
}

func (b *Bucket) lostKey(at time.Time, n originNo, seq oplog.Seq) []byte {
	k := binary.BigEndian.AppendUint64(bucketKey(tableLost, b.id, 20), uint64(at.UnixMilli()))
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(k, n), seq)
}

const (
	lostV1      = 1
	lostKeySize = prefixLen + 20
)

var errLostKey = errors.New("lost write with a key of a wrong size")

// Flags of a kept write.
const (
	lostParked = 1 << iota
	lostRemoved
)

func (l *Lost) flags() (flags byte) {
	if l.Parked {
		flags |= lostParked
	}
	if l.Removed {
		flags |= lostRemoved
	}
	return flags
}

// writeLost adds own writes that lost and takes the oldest away. It returns the
// references as they are once the batch is committed.
func (t *tx) writeLost(batch Batch) []lostRef {
	refs := t.b.state.lost
	if len(t.lost) == 0 {
		return refs
	}
	refs = append([]lostRef(nil), refs...)
	for i := range t.lost {
		l := &t.lost[i]
		key := t.b.lostKey(l.At, t.number(l.Entry.Stamp.Origin), l.Entry.Stamp.Seq)
		value := appendStamp([]byte{lostV1, l.flags()}, &l.Winner, t.number)
		value = append(binary.AppendUvarint(value, uint64(len(l.Entry.Key))), l.Entry.Key...)
		value = appendRow(value, newRow(l.Entry), t.number)
		batch.Set(key, value)
		refs = append(refs, lostRef{string(key), len(value), l.mass()})
	}
	now := t.lost[len(t.lost)-1].At
	return trimLost(batch, refs, now)
}

// trimLost takes away what is too old, and the oldest of each kind of which there
// is too much. The last of a kind stays.
func trimLost(batch Batch, refs []lostRef, now time.Time) []lostRef {
	var count, size [2]int
	kind := func(r lostRef) int {
		if r.mass {
			return 1
		}
		return 0
	}
	for _, r := range refs {
		count[kind(r)]++
		size[kind(r)] += r.size
	}
	counts, sizes := [2]int{maxLost, maxRemoved}, [2]int{maxLostBytes, maxRemovedBytes}
	kept := refs[:0]
	for _, r := range refs {
		k := kind(r)
		tooMuch := count[k] > counts[k] || size[k] > sizes[k] || now.Sub(r.at()) > maxLostAge
		if tooMuch && count[k] > 1 {
			batch.Delete([]byte(r.key))
			count[k]--
			size[k] -= r.size
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// loadLost reads what is kept, that which cannot be read, too: it is there for
// people, and no node stays down for that. Lost tells of it until its time has come.
func (b *Bucket) loadLost() error {
	lower, upper := bucketRange(tableLost, b.id)
	return b.named(walk(b.s.kv, lower, upper, func(key, value []byte) error {
		if len(key) != lostKeySize {
			return errLostKey
		}
		l, _ := b.decodeLost(key, value)
		b.state.lost = append(b.state.lost, lostRef{string(key), len(value), l.mass()})
		return nil
	}))
}

func (b *Bucket) decodeLost(key, value []byte) (Lost, error) {
	if len(key) != lostKeySize {
		return Lost{}, errLostKey
	}
	l := Lost{At: lostRef{key: string(key)}.at()}
	d := rowDecoder{b: value, origin: b.s.origins.origin}
	if d.byte() != lostV1 {
		d.fail(errRowVersion)
	}
	flags := d.byte()
	if flags&^(lostParked|lostRemoved) != 0 {
		d.fail(errRowFlags)
	}
	l.Parked, l.Removed = flags&lostParked != 0, flags&lostRemoved != 0
	d.stamp(&l.Winner)
	n := d.uvarint(1, oplog.MaxKey)
	if d.err == nil && uint64(len(d.b)) < n {
		d.fail(errRowShort)
	}
	if d.err != nil {
		return Lost{}, d.err
	}
	r, err := decodeRow(d.b[n:], b.s.origins.origin)
	if err != nil {
		return Lost{}, err
	}
	l.Entry = r.Entry
	l.Entry.Key = d.b[:n]
	return l, nil
}

// Lost yields the own writes that lost a conflict, as far as they are kept: at most
// 1,000 of a bucket, 64 MiB of them, for seven days. So are writes that were parked,
// and rows that a reconcile removed, up to 10,000 and 256 MiB. The oldest come first; the
// first one that cannot be read makes a *CorruptError behind all others.
// What is yielded belongs to the caller.
func (b *Bucket) Lost() iter.Seq2[Lost, error] {
	return func(yield func(Lost, error) bool) {
		b.mu.Lock()
		refs := b.state.lost
		b.mu.Unlock()
		var bad error
		for _, ref := range refs {
			value, ok, err := b.s.kv.Get([]byte(ref.key))
			if err != nil {
				yield(Lost{}, err)
				return
			}
			if !ok {
				continue // dropped meanwhile
			}
			l, err := b.decodeLost([]byte(ref.key), value)
			if err != nil {
				bad = cmp.Or(bad, error(&CorruptError{Bucket: b.name, Key: []byte(ref.key), Reason: err.Error()}))
				continue
			}
			if !yield(l, nil) {
				return
			}
		}
		if bad != nil {
			yield(Lost{}, bad)
		}
	}
}

// DropLost forgets the kept write that has the dot. It reports whether there
// was one. It does not sync.
func (b *Bucket) DropLost(dot oplog.Dot) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writable(); err != nil {
		return false, err
	}
	i := b.lostAt(dot)
	if i < 0 {
		return false, nil
	}
	batch := b.s.kv.NewBatch()
	batch.Delete([]byte(b.state.lost[i].key))
	if err := b.s.commit(batch); err != nil {
		return false, fmt.Errorf("forget the lost write %s: %w", dot, err)
	}
	b.state.lost = slices.Concat(b.state.lost[:i], b.state.lost[i+1:])
	b.s.commits.Add(1)
	return true, nil
}
