package store

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// Find implements KV. One iterator for all keys builds its way through the levels
// once, and unlike DB.Get it asks the bloom filters of the lowest level, too: that
// is where most keys of a new row are looked for in vain.
func (kv *pebbleKV) Find(keys [][]byte, found func(key, value []byte)) (err error) {
	if len(keys) == 0 {
		return nil
	}
	if err := kv.enter(); err != nil {
		return err
	}
	defer kv.leave()
	defer kv.rescue(&err)
	it, err := kv.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return kv.readError(err)
	}
	for _, key := range keys {
		if !it.SeekPrefixGE(key) || !bytes.Equal(it.Key(), key) {
			if it.Error() != nil {
				break
			}
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return kv.readError(errors.Join(err, it.Close()))
		}
		found(key, bytes.Clone(value))
	}
	return kv.readError(it.Close()) // tells of what a seek met, too
}

// A pebbleIter is an iterator that outlives its KV: closed under its owner's
// feet, it answers ErrClosed.
type pebbleIter struct {
	kv     *pebbleKV
	it     *pebble.Iterator
	closed bool // guarded by kv.gate
	err    error
}

// move also reads the value: a disk that fails at it must look like the failure
// of a move, not like a value that is empty.
func (i *pebbleIter) move(step func(*pebble.Iterator) bool) (ok bool) {
	if err := i.kv.enter(); err != nil {
		i.err = err
		return false
	}
	defer i.kv.leave()
	if i.closed {
		i.err = ErrClosed
		return false
	}
	defer func() {
		if i.err != nil {
			ok = false
		}
	}()
	defer i.kv.rescue(&i.err)
	if !step(i.it) {
		return false
	}
	if _, err := i.it.ValueAndErr(); err != nil {
		i.err = i.kv.readError(err)
	}
	return true
}

func (i *pebbleIter) First() bool { return i.move((*pebble.Iterator).First) }
func (i *pebbleIter) Last() bool  { return i.move((*pebble.Iterator).Last) }
func (i *pebbleIter) Next() bool  { return i.move((*pebble.Iterator).Next) }
func (i *pebbleIter) Prev() bool  { return i.move((*pebble.Iterator).Prev) }

func (i *pebbleIter) SeekGE(key []byte) bool {
	return i.move(func(it *pebble.Iterator) bool { return it.SeekGE(key) })
}

func (i *pebbleIter) SeekLT(key []byte) bool {
	return i.move(func(it *pebble.Iterator) bool { return it.SeekLT(key) })
}

// Key implements Iterator.
func (i *pebbleIter) Key() []byte {
	if i.kv.enter() != nil {
		return nil
	}
	defer i.kv.leave()
	if i.closed {
		return nil
	}
	return i.it.Key()
}

// Value implements Iterator.
func (i *pebbleIter) Value() []byte {
	if i.kv.enter() != nil {
		return nil
	}
	defer i.kv.leave()
	if i.closed {
		return nil
	}
	v, err := i.it.ValueAndErr()
	if err != nil {
		i.err = i.kv.readError(err)
	}
	return v
}

// Err implements Iterator.
func (i *pebbleIter) Err() error {
	if i.err != nil {
		return i.err
	}
	if err := i.kv.enter(); err != nil {
		return err
	}
	defer i.kv.leave()
	if i.closed {
		return nil
	}
	return i.kv.readError(i.it.Error())
}

// Close implements Iterator.
func (i *pebbleIter) Close() error {
	if i.kv.enter() != nil {
		return nil
	}
	defer i.kv.leave()
	i.kv.drop(i)
	return i.end()
}

func (i *pebbleIter) end() (err error) {
	if i.closed {
		return nil
	}
	i.closed = true
	defer i.kv.rescue(&err)
	return i.it.Close()
}

type pebbleSnapshot struct {
	kv     *pebbleKV
	snap   *pebble.Snapshot
	closed bool // guarded by kv.gate
}

// Get implements Reader.
func (s *pebbleSnapshot) Get(key []byte) ([]byte, bool, error) {
	if s.closed {
		return nil, false, ErrClosed
	}
	return s.kv.get(s.snap, key)
}

// Iter implements Reader.
func (s *pebbleSnapshot) Iter(lower, upper []byte) (Iterator, error) {
	if s.closed {
		return nil, ErrClosed
	}
	return s.kv.iter(s.snap, lower, upper)
}

// Close implements KVSnapshot.
func (s *pebbleSnapshot) Close() error {
	if s.kv.enter() != nil {
		return nil
	}
	defer s.kv.leave()
	s.kv.drop(s)
	return s.end()
}

func (s *pebbleSnapshot) end() (err error) {
	if s.closed {
		return nil
	}
	s.closed = true
	defer s.kv.rescue(&err)
	return s.snap.Close()
}
