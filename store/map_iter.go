package store

import (
	"bytes"

	"github.com/RaduBerinde/btreemap"
)

// mapIterAhead is how many pairs a mapIter fetches at once: the tree has no
// cursor, so each fetch pays for one descent.
const mapIterAhead = 32

// A mapIter walks a tree that nobody changes.
type mapIter struct {
	m            *Map
	tree         *tree
	lower, upper []byte
	ahead        []mapOp // pairs still to come, in the direction of the walk
	back         bool    // ahead was fetched walking down
	key, value   []byte
	ok           bool
	closed       bool
	err          error
}

func newMapIter(m *Map, t *tree, lower, upper []byte) *mapIter {
	return &mapIter{m: m, tree: t, lower: bytes.Clone(lower), upper: bytes.Clone(upper)}
}

func (it *mapIter) fetchUp(from btreemap.LowerBound[[]byte]) bool {
	to := btreemap.Max[[]byte]()
	if it.upper != nil {
		to = btreemap.LT(it.upper)
	}
	it.ahead, it.back = it.ahead[:0], false
	it.tree.AscendFunc(from, to, it.take)
	return it.step()
}

func (it *mapIter) fetchDown(from btreemap.UpperBound[[]byte]) bool {
	it.ahead, it.back = it.ahead[:0], true
	it.tree.DescendFunc(from, btreemap.GE(it.lower), it.take)
	return it.step()
}

func (it *mapIter) take(key, value []byte) bool {
	it.ahead = append(it.ahead, mapOp{key: key, value: value})
	return len(it.ahead) < mapIterAhead
}

// step moves to the next fetched pair.
func (it *mapIter) step() bool {
	if it.closed || it.m.isClosed() {
		it.ok, it.err = false, ErrClosed
		return false
	}
	if len(it.ahead) == 0 {
		it.ok = false
		return false
	}
	it.key, it.value, it.ok = it.ahead[0].key, it.ahead[0].value, true
	it.ahead = it.ahead[1:]
	return true
}

func (it *mapIter) First() bool { return it.fetchUp(btreemap.GE(it.lower)) }

func (it *mapIter) Last() bool {
	if it.upper == nil {
		return it.fetchDown(btreemap.Max[[]byte]())
	}
	return it.fetchDown(btreemap.LT(it.upper))
}

func (it *mapIter) SeekGE(key []byte) bool {
	if bytes.Compare(key, it.lower) < 0 {
		key = it.lower
	}
	return it.fetchUp(btreemap.GE(key))
}

func (it *mapIter) SeekLT(key []byte) bool {
	if it.upper != nil && bytes.Compare(key, it.upper) > 0 {
		key = it.upper
	}
	return it.fetchDown(btreemap.LT(key))
}

func (it *mapIter) Next() bool {
	switch {
	case !it.ok:
		return false
	case !it.back && len(it.ahead) > 0:
		return it.step()
	}
	return it.fetchUp(btreemap.GT(it.key))
}

func (it *mapIter) Prev() bool {
	switch {
	case !it.ok:
		return false
	case it.back && len(it.ahead) > 0:
		return it.step()
	}
	return it.fetchDown(btreemap.LT(it.key))
}

func (it *mapIter) Key() []byte   { return it.key }
func (it *mapIter) Value() []byte { return it.value }
func (it *mapIter) Err() error    { return it.err }

func (it *mapIter) Close() error {
	it.closed = true
	return nil
}
