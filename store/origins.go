package store

import (
	"encoding/binary"
	"errors"
	"sync"

	"replicator/oplog"
)

// An originTable gives each origin a small number, once and for all buckets,
// so that keys and rows stay short.
//
// A number is drawn before the batch that first uses it is committed. Until
// some batch that carries its row is in the store, every batch that uses the
// number carries it: no crash can keep a use and lose the meaning.
type originTable struct {
	mu      sync.RWMutex // guards all below
	numbers map[oplog.Origin]originNo
	list    []oplog.Origin // by number-1
	saved   []bool         // by number-1: the row is in the store
}

// number returns the number of o, drawn if needed, and whether a batch that
// uses it has to carry its row.
func (t *originTable) number(o oplog.Origin) (n originNo, unsaved bool) {
	t.mu.RLock()
	n = t.numbers[o]
	unsaved = n != 0 && !t.saved[n-1]
	t.mu.RUnlock()
	if n != 0 {
		return n, unsaved
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n = t.numbers[o]; n == 0 {
		n = t.add(o, false)
	}
	return n, !t.saved[n-1]
}

func (t *originTable) add(o oplog.Origin, saved bool) originNo {
	if t.numbers == nil {
		t.numbers = make(map[oplog.Origin]originNo)
	}
	t.list = append(t.list, o)
	t.saved = append(t.saved, saved)
	n := originNo(len(t.list))
	t.numbers[o] = n
	return n
}

// known returns the number of o without drawing one.
func (t *originTable) known(o oplog.Origin) (originNo, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, ok := t.numbers[o]
	return n, ok
}

// origin returns the origin behind n.
func (t *originTable) origin(n originNo) (oplog.Origin, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n == 0 || int64(n) > int64(len(t.list)) {
		return oplog.Origin{}, false
	}
	o := t.list[n-1]
	return o, !o.IsZero()
}

func (t *originTable) markSaved(list []originNo) {
	if len(list) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range list {
		t.saved[n-1] = true
	}
}

// load reads the table. A number drawn for a batch that was never committed
// leaves a hole, which is never used again.
func (t *originTable) load(kv KV) error {
	return walk(kv, []byte{tableOrigins}, []byte{tableOrigins + 1}, func(key, value []byte) error {
		if len(key) != 5 {
			return errors.New("origin number of a wrong size")
		}
		o, err := decodeOrigin(value)
		if err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(key[1:])
		if n == 0 || int64(n) > int64(len(t.list))+1<<20 {
			return errors.New("origin number out of order")
		}
		for int64(len(t.list))+1 < int64(n) {
			t.list = append(t.list, oplog.Origin{})
			t.saved = append(t.saved, true)
		}
		t.add(o, true)
		return nil
	})
}

func encodeOrigin(o oplog.Origin) []byte {
	return append(encodeUint64(o.Epoch), o.Node...)
}

func decodeOrigin(b []byte) (oplog.Origin, error) {
	if len(b) < 8 {
		return oplog.Origin{}, errors.New("origin ends early")
	}
	o := oplog.Origin{Node: string(b[8:]), Epoch: binary.BigEndian.Uint64(b)}
	if !oplog.ValidName(o.Node) || o.Epoch == 0 {
		return oplog.Origin{}, errors.New("origin with an impossible name or epoch")
	}
	return o, nil
}

// walk calls each for every pair from lower to upper. An error of each is
// reported as corruption at that key.
func walk(r Reader, lower, upper []byte, each func(key, value []byte) error) error {
	it, err := r.Iter(lower, upper)
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := each(it.Key(), it.Value()); err != nil {
			key := append([]byte(nil), it.Key()...)
			_ = it.Close()
			return &CorruptError{Key: key, Reason: err.Error()}
		}
	}
	err = it.Err()
	return errors.Join(err, it.Close())
}
