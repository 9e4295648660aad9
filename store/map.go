package store

import (
	"bytes"
	"errors"
	"slices"
	"sync"

	"github.com/RaduBerinde/btreemap"
)

type tree = btreemap.BTreeMap[[]byte, []byte]

func newTree() *tree { return btreemap.New[[]byte, []byte](32, bytes.Compare) }

// A Map is a KV in memory that can crash. It is deterministic: the same calls
// lead to the same contents. Snapshots and iterators cost a few allocations,
// whatever the size.
type Map struct {
	mu       sync.Mutex
	now      *tree
	synced   *tree
	unsynced []*tree // the contents after each commit since the last sync
	fault    func(op string) error
	closed   bool
}

// NewMap returns an empty Map.
func NewMap() *Map {
	return &Map{now: newTree(), synced: newTree()}
}

// UnsyncedCommits returns how many commits a crash could take away.
func (m *Map) UnsyncedCommits() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.unsynced)
}

// Crash drops all but the first keep of the commits that were not yet synced,
// as a power cut does, and makes the Map ready to be opened again. Stores that
// still hold it must not be used any more.
func (m *Map) Crash(keep int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keep = max(0, min(keep, len(m.unsynced)))
	if keep > 0 {
		m.synced = m.unsynced[keep-1]
	}
	m.now = m.synced.Clone()
	m.unsynced = nil
	m.closed = false
}

// Reopen makes a closed Map usable again, as starting a process does.
func (m *Map) Reopen() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = false
}

// Clone returns an independent copy, unsynced commits included, as copying a
// disk does.
func (m *Map) Clone() *Map {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &Map{now: m.now.Clone(), synced: m.synced.Clone()}
	for _, t := range m.unsynced {
		c.unsynced = append(c.unsynced, t.Clone())
	}
	return c
}

// SetFault has fault asked before each "commit" and "sync"; its error is the
// answer, and nothing happens. A nil fault ends it.
func (m *Map) SetFault(fault func(op string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

// usable reports why the Map cannot do op. m.mu must be held.
func (m *Map) usable(op string) error {
	if m.closed {
		return ErrClosed
	}
	if m.fault != nil && op != "" {
		return m.fault(op)
	}
	return nil
}

// Get implements Reader.
func (m *Map) Get(key []byte) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(""); err != nil {
		return nil, false, err
	}
	_, v, ok := m.now.Get(key)
	return bytes.Clone(v), ok, nil
}

// Find implements KV.
func (m *Map) Find(keys [][]byte, found func(key, value []byte)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(""); err != nil {
		return err
	}
	for _, key := range keys {
		if _, v, ok := m.now.Get(key); ok {
			found(key, bytes.Clone(v))
		}
	}
	return nil
}

// Iter implements Reader.
func (m *Map) Iter(lower, upper []byte) (Iterator, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(""); err != nil {
		return nil, err
	}
	return newMapIter(m, m.now.Clone(), lower, upper), nil
}

// Snapshot implements KV.
func (m *Map) Snapshot() KVSnapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &mapSnapshot{m: m, tree: m.now.Clone()}
}

// NewBatch implements KV.
func (m *Map) NewBatch() Batch { return &mapBatch{} }

// Commit implements KV.
func (m *Map) Commit(b Batch) error {
	mb, ok := b.(*mapBatch)
	if !ok || mb.done {
		return errors.New("store: not a fresh batch of this KV")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable("commit"); err != nil {
		return err
	}
	mb.done = true
	for _, op := range mb.ops {
		switch {
		case op.upper != nil:
			m.deleteRange(op.key, op.upper)
		case op.delete:
			m.now.Delete(op.key)
		default:
			m.now.ReplaceOrInsert(op.key, op.value)
		}
	}
	m.unsynced = append(m.unsynced, m.now.Clone())
	return nil
}

// deleteRange deletes from lower up to upper. m.mu must be held.
func (m *Map) deleteRange(lower, upper []byte) {
	var gone [][]byte
	m.now.AscendFunc(btreemap.GE(lower), btreemap.LT(upper), func(key, _ []byte) bool {
		gone = append(gone, key)
		return true
	})
	for _, key := range gone {
		m.now.Delete(key)
	}
}

// Sync implements KV.
func (m *Map) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable("sync"); err != nil {
		return err
	}
	if n := len(m.unsynced); n > 0 {
		m.synced, m.unsynced = m.unsynced[n-1], nil
	}
	return nil
}

// Close implements KV. The contents stay: see Reopen and Crash.
func (m *Map) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *Map) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

type mapBatch struct {
	ops  []mapOp
	size int
	done bool
}

type mapOp struct {
	key, value []byte
	delete     bool
	upper      []byte // set: all from key up to it are deleted
}

func (b *mapBatch) Set(key, value []byte) {
	// Key and value lie in one allocation that the tree then keeps.
	kv := slices.Concat(key, value)
	b.ops = append(b.ops, mapOp{key: kv[:len(key):len(key)], value: kv[len(key):]})
	b.size += len(kv)
}

func (b *mapBatch) Delete(key []byte) {
	b.ops = append(b.ops, mapOp{key: bytes.Clone(key), delete: true})
	b.size += len(key)
}

func (b *mapBatch) DeleteRange(lower, upper []byte) {
	if bytes.Compare(lower, upper) >= 0 {
		return
	}
	b.ops = append(b.ops, mapOp{key: bytes.Clone(lower), upper: bytes.Clone(upper)})
	b.size += len(lower) + len(upper)
}

func (b *mapBatch) Len() int { return b.size }

type mapSnapshot struct {
	m      *Map
	tree   *tree
	closed bool
}

func (s *mapSnapshot) usable() error {
	if s.closed || s.m.isClosed() {
		return ErrClosed
	}
	return nil
}

func (s *mapSnapshot) Get(key []byte) ([]byte, bool, error) {
	if err := s.usable(); err != nil {
		return nil, false, err
	}
	_, v, ok := s.tree.Get(key)
	return bytes.Clone(v), ok, nil
}

func (s *mapSnapshot) Iter(lower, upper []byte) (Iterator, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	return newMapIter(s.m, s.tree, lower, upper), nil
}

func (s *mapSnapshot) Close() error {
	s.closed = true
	return nil
}
