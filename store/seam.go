package store

// A KV is the ordered store under the merge rules. Its methods may be called
// from several goroutines at once; batches, iterators and snapshots belong to
// one goroutine at a time. After Close, and on what was opened before it, every
// call answers ErrClosed.
type KV interface {
	Reader
	// Snapshot returns a view that later commits do not change. Snapshots hold
	// back space: close them soon.
	Snapshot() KVSnapshot
	// Find gets the values of keys, which ascend, as they are at the time of the
	// call: found is called with each key that is there, in order, and owns the
	// value. Many keys at once, and keys that are not there, cost much less than
	// with Get.
	Find(keys [][]byte, found func(key, value []byte)) error
	NewBatch() Batch
	// Commit applies b as one: all of it is visible when Commit returns and
	// durable once a later Sync returned. A batch is committed at most once.
	// After an error the KV takes no more commits; whether b survives a restart
	// is then open.
	Commit(b Batch) error
	// Sync makes durable whatever was committed before the call.
	Sync() error
	// Close may be called twice.
	Close() error
}

// A Reader gets single values and ranges.
type Reader interface {
	// Get returns the value under key. The caller owns it.
	Get(key []byte) (value []byte, ok bool, err error)
	// Iter walks the keys from lower up to, but without, upper, as they are at
	// the time of the call.
	Iter(lower, upper []byte) (Iterator, error)
}

// An Iterator walks a range of keys. It starts outside of the range: First,
// Last or a seek moves it in. The moves report whether they found a key; after
// one that did not, Err tells the end from a failure.
type Iterator interface {
	First() bool
	Last() bool
	SeekGE(key []byte) bool // to the first key at or above key
	SeekLT(key []byte) bool // to the last key below key
	Next() bool
	Prev() bool
	// Key and Value are valid until the next move.
	Key() []byte
	Value() []byte
	Err() error
	Close() error
}

// A KVSnapshot is a Reader of one moment.
type KVSnapshot interface {
	Reader
	Close() error
}

// A Batch collects changes for one Commit. It copies what it is given; the
// last change to a key stays.
type Batch interface {
	Set(key, value []byte)
	Delete(key []byte)
	// DeleteRange deletes the keys from lower up to, but without, upper: those
	// there are at the Commit, and those this batch has set before.
	DeleteRange(lower, upper []byte)
	Len() int // bytes
}
